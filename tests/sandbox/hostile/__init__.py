"""Programs that try to pass unfairly, to hang or crash their judge, to survive or to do harm, run next to well-behaved ones.

Each kind of attack has its file. As a script this needs only the standard library, so that another user can run it with a
separate interpreter.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from tests.sandbox.hostile import channel, crossing, escapes, forgeries, hangs, leaks, liars, limits, protocol, subclasses
from tests.sandbox.hostile.kinds import Programs
from warrior_dagster.sandbox.isolation import Level, ResourceLimits
from warrior_dagster.sandbox.pool import Program, run_in
from warrior_dagster.sandbox.probing import probe

SECONDS = 0.4
MARK = "import ctypes; ctypes.CDLL(None).prctl(15, b'{marker}')\nimport os, sys, threading, time\n"
"""Sets the name of the process and of all its forks."""
GOOD = Program(
    "good",
    "def double(n):\n    return [n, n]\nprint('x' * 1_000_000)",
    ("assert double(2) == [2, 2]", "import time; time.sleep(0.05)\nassert double(0) == [0, 0]", "assert 'y' in double('y')"),
)
FOOLS_PLAIN = {
    "liars": liars.PROGRAMS,
    "subclasses": subclasses.PROGRAMS,
    "leaks": leaks.PROGRAMS,
    "forgeries": forgeries.PROGRAMS,
}
"""The kinds whose checks all pass where the answer and the check share an interpreter."""
KINDS: dict[str, tuple[Programs, Programs]] = {
    **{kind: (programs, {}) for kind, programs in FOOLS_PLAIN.items()},
    "crossing": (crossing.PROGRAMS, {}),
    "channel": (channel.PROGRAMS, {}),
    "protocol": (protocol.PROGRAMS, {}),
    "hangs": (hangs.PROGRAMS, {}),
    "limits": (limits.EVERYWHERE, limits.CONTAINED),
    "escapes": (escapes.EVERYWHERE, escapes.CONTAINED),
}
"""The programs of each kind: those for every isolation, and those that only namespaces stop."""


def hostile_programs(level: Level, kind: str, every: int, facts: dict[str, Any]) -> list[Program]:
    """Every first, second, ... program of a kind for a level, each followed by a well-behaved one."""
    everywhere, contained = KINDS[kind]
    programs = []
    for name, (code, checks) in [*everywhere.items(), *(contained.items() if level != "limits" else ())][::every]:
        texts = [MARK + code, *checks]
        for fact, value in facts.items():
            texts = [text.replace("{" + fact + "}", str(value)) for text in texts]
        programs += [Program(name, texts[0], tuple(texts[1:])), GOOD]
    return programs


def judged(level: Level, programs: list[Program], modules: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """The result of each program, in order, with the seconds it took. What reaches the caller is the outcome `raised`.

    Where a well-behaved program timed out, as it may on a busy machine, it runs once more, after the same hostile one.
    """
    limits = ResourceLimits(seconds=SECONDS, memory=256 << 20, processes=16, modules=modules)
    waiting, again = list(programs), set[str]()
    while waiting:
        starts: list[float] = []
        judging: list[Program] = []

        def taken(starts: list[float] = starts, judging: list[Program] = judging) -> Iterator[Program]:
            while waiting:
                judging.append(waiting.pop(0))
                starts.append(time.monotonic())
                yield judging[-1]

        try:
            for number, result in enumerate(run_in(level, taken(), limits, 1)):
                elapsed, before = time.monotonic() - starts.pop(0), judging[number - 1]
                late = "timeout" in result.outcomes or result.error.startswith("timeout")
                if result.key == GOOD.key and late and before.key not in again:
                    again.add(before.key)
                    waiting.extend((before, GOOD))
                else:
                    yield asdict(result) | {"elapsed": elapsed}
        except Exception as error:
            if not judging:
                raise
            yield {"key": judging[-1].key, "outcomes": ["raised"], "reasons": [repr(error)[:300]], "elapsed": 0.0}


def main() -> None:
    """Print as JSON why the isolation is unusable here, or a line for each result. Two halves run at the same time."""
    arguments = json.loads(sys.argv[1])
    level = arguments["level"]
    if unusable := probe(level):
        print(json.dumps(unusable))
        return
    facts = arguments["facts"] | {"host": os.getpid()}
    programs = [p for kind, every in arguments["kinds"].items() for p in hostile_programs(level, kind, every, facts)]
    middle = len(programs) // 4 * 2  # a program and the well-behaved one after it stay together

    def show(half: list[Program]) -> None:
        for result in judged(level, half):
            sys.stdout.write(json.dumps(result) + "\n")  # in one piece, unlike print
            sys.stdout.flush()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(show, (programs[:middle], programs[middle:])))
