"""Inputs per second on all cores at which the sandbox observes what answers return, against bare forks, at each level.

The peer has no sandbox: an interpreter per core (`-I -S`) loads each answer in a fork, evaluates each call in a fork of that,
and reads the `repr` of the value from a pipe. `minutes` is what 1,000 instructions would take, with 5 answers to each and 40
inputs, all run twice.
"""

import json
import os
import subprocess
from functools import partial
from typing import get_args

from benchmarks.measure import QUICK, paired, result
from warrior_dagster.sandbox.isolation import Level, ResourceLimits, interpreter
from warrior_dagster.sandbox.pool import ObservedProgram, observe_in
from warrior_dagster.sandbox.probing import probe

INSTRUCTIONS, ROUNDS = (6, 3) if QUICK else (40, 5)
ANSWERS, INPUTS = 5, 40
EXTRAPOLATED = 1_000 * ANSWERS * INPUTS * 2
LEAST = 0.4
CORES = len(os.sched_getaffinity(0))
CODE = """
import math
from collections import Counter
from typing import List

def two_sum(numbers: List[int], target: int):
    seen = {}
    for place, number in enumerate(numbers):
        if target - number in seen:
            return [seen[target - number], place]
        seen[number] = place

def summary(numbers):
    common = Counter(numbers).most_common(3)
    return {"mean": sum(numbers) / len(numbers), "root": math.sqrt(len(numbers)), "common": common}
"""
CALLS = tuple(f"two_sum({[n, 2 * n, 7, 15]}, {n + 7})" if n % 2 else f"summary({list(range(1, n + 2))})" for n in range(INPUTS))
PROGRAMS = tuple(ObservedProgram(f"{i} {a}", CODE, CALLS) for i in range(INSTRUCTIONS) for a in range(ANSWERS))
BARE = """
import json, os, sys
code, calls, programs = json.load(sys.stdin)
for _ in range(programs):
    loaded = os.fork()
    if loaded == 0:
        names = {}
        exec(compile(code, "answer.py", "exec"), names)
        reading, writing = os.pipe()
        for call in calls:
            child = os.fork()
            if child == 0:
                os.write(writing, repr(eval(call, names)).encode())
                os._exit(0)
            os.waitpid(child, 0)
            assert os.read(reading, 10_000)
        os._exit(0)
    assert os.waitpid(loaded, 0)[1] == 0
"""


def bare() -> None:
    """The calls of all programs, without a sandbox."""
    given = json.dumps([CODE, CALLS, len(PROGRAMS) // CORES])
    running = [
        subprocess.Popen([interpreter(), "-I", "-S", "-c", BARE], stdin=subprocess.PIPE, text=True) for _ in range(CORES)
    ]
    for process in running:
        assert process.stdin
        process.stdin.write(given)
        process.stdin.close()
    assert [process.wait() for process in running] == [0] * CORES


def sandboxed(level: Level) -> None:
    """The calls of all programs, in sandboxes."""
    for observation in observe_in(level, PROGRAMS, ResourceLimits(), CORES):
        assert observation.outcomes == ("returned",) * INPUTS, observation


def main() -> None:
    """One result per level."""
    for level in get_args(Level):
        if probe(level):
            continue
        mine, theirs, ratio = paired(partial(sandboxed, level), bare, ROUNDS)
        inputs = len(PROGRAMS) * INPUTS
        minutes = float(f"{EXTRAPOLATED / (inputs / mine) / 60:.3g}")
        measure = f"inputs per second on {CORES} cores, {level}"
        result("behaviours", measure, inputs / mine, "bare fork", inputs / theirs, ratio, inputs, least=LEAST, minutes=minutes)


if __name__ == "__main__":
    main()
