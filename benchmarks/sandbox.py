"""Sandboxed runs per second on all cores, and the time of one, against a bare subprocess of the same program, at each level.

The peer is the same interpreter without site-packages (`-I -S`) and without isolation; it starts in a third of the time of the
virtual environment's. A run is an answer with three asserts, each judged separately.
"""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from benchmarks.measure import QUICK, paired, result
from warrior_dagster.sandbox.host import Sandbox
from warrior_dagster.sandbox.isolation import Isolation, ResourceLimits, interpreter
from warrior_dagster.sandbox.pool import Program, run_in
from warrior_dagster.sandbox.probing import probe_isolation

ISOLATIONS = (
    Isolation("bubblewrap", True),
    Isolation("namespaces", True),
    Isolation("bubblewrap", False),
    Isolation("namespaces", False),
    Isolation("limits", False),
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
    """Run the program in an interpreter of its own, without a sandbox."""
    subprocess.run(BARE, check=True)


def together(n: int) -> None:
    """n bare runs, one per core at a time."""
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(bare, range(n)))


def main() -> None:
    """Two results per isolation: many runs on all cores, and one run alone."""
    for isolation in ISOLATIONS:
        if probe_isolation(isolation):
            continue
        n, least = (N, 0.2) if isolation.nested else (N_EACH, 0.02)
        name = f"{isolation.level}{'' if isolation.nested else ', one sandbox per check'}"

        def sandboxed(isolation: Isolation = isolation, n: int = n) -> None:
            programs = (Program(str(number), CODE, CHECKS) for number in range(n))
            results = list(run_in(isolation, programs, ResourceLimits(), CORES))
            assert all(result.outcomes == ("passed",) * len(CHECKS) for result in results)

        mine, theirs, ratio = paired(sandboxed, partial(together, n), ROUNDS)
        result(
            "sandbox",
            f"runs per second on {CORES} cores, {name}",
            n / mine,
            "bare subprocess",
            n / theirs,
            ratio,
            n,
            least=least,
        )
        sandbox = Sandbox(isolation, ResourceLimits(60.0))
        sandbox.run(CODE, CHECKS)
        mine, theirs, ratio = paired(partial(sandbox.run, CODE, CHECKS), bare, 3 * ROUNDS)
        sandbox.close()
        result(
            "sandbox",
            f"milliseconds per run, {name}",
            1e3 * mine,
            "bare subprocess",
            1e3 * theirs,
            ratio,
            3 * ROUNDS,
            least=least,
        )


if __name__ == "__main__":
    main()
