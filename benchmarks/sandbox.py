"""Sandboxed runs per second on all cores, and the time of one, against a bare subprocess of the same program, at each level.

The peer is the same interpreter without site-packages (`-I -S`) and without isolation; it starts in a third of the time of the
virtual environment's. A run is an answer with three asserts, each judged separately.
"""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import get_args

from benchmarks.measure import QUICK, paired, result
from warrior_dagster.sandbox.host import Sandbox
from warrior_dagster.sandbox.isolation import Level, ResourceLimits, interpreter
from warrior_dagster.sandbox.pool import Program, run_in
from warrior_dagster.sandbox.probing import probe

N, ROUNDS = (40, 3) if QUICK else (300, 5)
LEAST = 0.2
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
    """Two results per level: many runs on all cores, and one run alone."""
    for level in get_args(Level):
        if probe(level):
            continue

        def sandboxed(level: Level = level) -> None:
            programs = (Program(str(number), CODE, CHECKS) for number in range(N))
            results = list(run_in(level, programs, ResourceLimits(), CORES))
            assert all(result.outcomes == ("passed",) * len(CHECKS) for result in results)

        mine, theirs, ratio = paired(sandboxed, partial(together, N), ROUNDS)
        measure = f"runs per second on {CORES} cores, {level}"
        result("sandbox", measure, N / mine, "bare subprocess", N / theirs, ratio, N, least=LEAST)
        sandbox = Sandbox(level, ResourceLimits(60.0))
        sandbox.run(CODE, CHECKS)
        mine, theirs, ratio = paired(partial(sandbox.run, CODE, CHECKS), bare, 3 * ROUNDS)
        sandbox.close()
        measure = f"milliseconds per run, {level}"
        result("sandbox", measure, 1e3 * mine, "bare subprocess", 1e3 * theirs, ratio, 3 * ROUNDS, least=LEAST)


if __name__ == "__main__":
    main()
