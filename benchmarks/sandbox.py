"""Sandboxed runs a second on all cores, and what one costs beside a bare subprocess of the same program, at each level.

The peer is the same interpreter with the same flags (`-I -S`: no site-packages), which starts in a third of the time that the
virtual environment's takes; and it isolates nothing. A run is an answer with three asserts, judged one by one.
"""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from benchmarks.measure import QUICK, paired, result
from warrior_dagster.sandbox.host import Worker
from warrior_dagster.sandbox.isolation import Bounds, Box, interpreter
from warrior_dagster.sandbox.pool import Limits, Program, fault, run_in

BOXES = (
    Box("bubblewrap", True),
    Box("namespaces", True),
    Box("bubblewrap", False),
    Box("namespaces", False),
    Box("limits", False),
)
N, N_EACH, ROUNDS = (40, 8, 3) if QUICK else (300, 40, 5)
CORES = len(os.sched_getaffinity(0))
CODE = """
def two_sum(numbers, target):
    seen = {}
    for place, number in enumerate(numbers):
        if target - number in seen:
            return [seen[target - number], place]
        seen[number] = place
"""
CHECKS = (
    "assert two_sum([2, 7, 11, 15], 9) == [0, 1]",
    "assert two_sum([3, 2, 4], 6) == [1, 2]",
    "assert two_sum([1], 3) is None",
)
BARE = [interpreter(), "-I", "-S", "-c", "\n".join((CODE, *CHECKS))]


def bare(_: int = 0) -> None:
    """The program in an interpreter of its own, in no sandbox."""
    subprocess.run(BARE, check=True)


def together(n: int) -> None:
    """n bare runs, as many at a time as there are cores."""
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(bare, range(n)))


def main() -> None:
    """Two lines a box: many runs on all cores, and one run alone."""
    for box in BOXES:
        if fault(box):
            continue
        n, least = (N, 0.2) if box.nested else (N_EACH, 0.02)
        name = f"{box.level}{'' if box.nested else ', a box a check'}"

        def sandboxed(box: Box = box, n: int = n) -> None:
            results = list(run_in(box, (Program(str(number), CODE, CHECKS) for number in range(n)), Limits(), CORES))
            assert all(result.outcomes == ("passed",) * len(CHECKS) for result in results)

        mine, theirs, ratio = paired(sandboxed, partial(together, n), ROUNDS)
        result(
            "sandbox", f"runs a second on {CORES} cores, {name}", n / mine, "bare subprocess", n / theirs, ratio, n, least=least
        )
        worker = Worker(box, Bounds(), 60.0)
        worker.run(CODE, CHECKS)
        mine, theirs, ratio = paired(partial(worker.run, CODE, CHECKS), bare, 3 * ROUNDS)
        worker.end()
        result(
            "sandbox",
            f"milliseconds a run, {name}",
            1e3 * mine,
            "bare subprocess",
            1e3 * theirs,
            ratio,
            3 * ROUNDS,
            least=least,
        )


if __name__ == "__main__":
    main()
