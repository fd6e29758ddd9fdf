"""Code that models wrote is run here and nowhere else: against checks, each judged by itself, in a sandbox (see isolation.py).

Who could cheat, and how it ends. A check `assert f(1) == 2` is taken apart: the sandbox runs `f(1)` and tells its value; the 2
never goes in, and the two are compared in this process, which runs nothing generated. So nothing passes by ending early, by
printing, by patching builtins or what looks like the checker, by walking frames, the garbage collector or descriptors, or by
objects that equal everything: a check passes when every assert at its top level was reached and told the right value, and when
it then ended without an exception.

What remains, to code written against this very module: a condition without a literal to compare with (`assert f(1)`,
`assert f(1) == g(1)`) rests on what its own interpreter says, as do an assert within a loop or a `try`, and a check without any
assert. Objects of the tested code's own classes are compared by their own `__eq__`. So judges should compare with literals.

A check may use the standard library and an empty folder of its own; no network, no other program. It starts from the freshly
loaded code: of another check or program nothing is left in memory, files or processes.
"""

import os
import queue
import statistics
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

from warrior_dagster.sandbox.host import Outcome, Worker
from warrior_dagster.sandbox.isolation import HELP, ISOLATED, Bounds, Box, IsolationError, Level

LOOP = "def loop(n):\n    total = 0\n    for i in range(n):\n        total += i * i\n    return total\n"
CALIBRATION = ("assert loop(400_000) == 21_333_253_333_400_000",)
REFERENCE_SECONDS = 0.026
"""The shortest that the calibration's check took on the machine where this was written."""
LEAST_FACTOR, MOST_FACTOR = 1.0, 10.0
UNHURRIED_SECONDS = 20.0
PROBE = """
import os, socket, threading

def seen():
    import asyncio, decimal
    return list(filter(os.path.exists, ("/etc/passwd", "/etc/shadow", "/var/log", "/sys", "/bin/sh", "/proc/self")))

def written():
    for path in ("/written", "/usr/written", os.__file__):
        try:
            open(path, "a").close()
        except OSError:
            continue
        return path

def reached():
    try:
        socket.socket().connect(("127.0.0.1", 9))
    except ConnectionRefusedError:
        return True  # there is a loopback, and maybe more
    except OSError:
        return False

def forks():
    child = os.fork()
    if child == 0:
        os._exit(7)
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""
PROBED = (
    "import asyncio, decimal",
    "assert forks() == 7",
    "assert written() is None",
    "assert reached() is False",
    "assert seen() == []",
)
"""The last one is not asked of `limits`."""


@dataclass(frozen=True, slots=True)
class Program:
    """An answer's code, and the statements that judge it, each by itself."""

    key: str
    code: str
    checks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a program: an outcome a check."""

    key: str
    outcomes: tuple[Outcome, ...]
    """`failed`: an AssertionError; `error`: another exception, or an end before the check's own."""
    reasons: tuple[str, ...]
    """A check: why it did not pass, or empty."""
    error: str
    """Why the code itself could not be loaded, else empty; no check has run then."""
    seconds: float
    """The checks' wall clock, together."""
    level: Level
    """The isolation that was in force."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one check may use, the loading of its code included.

    seconds, of wall clock and of CPU, are of the reference machine when idle. Each worker first times a loop in its sandbox
    (median of 3), while the others do the same, and multiplies the limit by how many times longer than there it took: at least
    1, at most 10. So a slow or busy machine gives more time, a fast one no less, and none so much that a sleeper holds up the
    rest for long.
    """

    seconds: float = 2.0
    bounds: Bounds = field(default_factory=Bounds)


def run_all(
    programs: Iterable[Program],
    limits: Limits | None = None,
    *,
    levels: tuple[Level, ...] = ISOLATED,
    workers: int | None = None,
) -> Iterator[Result]:
    """Run programs and give the results as they come: a worker a core, a few programs and results in memory at a time.

    The first of `levels` that this machine has is taken; `limits`, which does not isolate, only where it is named. Raises
    IsolationError if there is none. Closing the iterator ends everything that runs.
    """
    return run_in(best(levels), programs, limits or Limits(), workers or len(os.sched_getaffinity(0)))


def run_in(box: Box, programs: Iterable[Program], limits: Limits, workers: int) -> Iterator[Result]:
    """The pool of `run_all`, for one way to isolate."""
    source, lock, stop = iter(programs), threading.Lock(), threading.Event()
    results: queue.Queue[Result | BaseException | None] = queue.Queue()
    room = threading.Semaphore(4 * workers)

    def work() -> None:
        worker = Worker(box, limits.bounds, UNHURRIED_SECONDS)
        try:
            worker.seconds = limits.seconds * slowness(worker)
            while room.acquire() and not stop.is_set():
                with lock:
                    program = next(source, None)
                if program is None:
                    break
                ran = worker.run(program.code, program.checks)
                told = (tuple(ran.outcomes), tuple(ran.reasons), ran.error, sum(ran.seconds), box.level)
                results.put(Result(program.key, *told))
        except BaseException as error:  # for the caller's thread
            results.put(error)
        finally:
            worker.end()
            results.put(None)

    threads = [threading.Thread(target=work, name=f"sandbox-{number}", daemon=True) for number in range(workers)]
    for thread in threads:
        thread.start()
    try:
        running = workers
        while running:
            result = results.get()
            if isinstance(result, BaseException):
                raise result
            if result is None:
                running -= 1
            else:
                yield result
            room.release()
    finally:
        stop.set()
        for _ in threads:
            room.release()
        for thread in threads:
            thread.join()


def slowness(worker: Worker) -> float:
    """How many times longer a check takes here and now than on the reference machine, within bounds."""
    taken = [worker.run(LOOP, CALIBRATION).seconds[0] for _ in range(3)]
    return min(MOST_FACTOR, max(LEAST_FACTOR, statistics.median(taken) / REFERENCE_SECONDS))


def best(levels: tuple[Level, ...]) -> Box:
    """The first level that works here. Raises IsolationError."""
    reasons = []
    for level in levels:
        found = probed(level)
        if isinstance(found, Box):
            return found
        reasons.append(f"{level}: {found}")
    raise IsolationError(f"no isolation for generated code is to be had here; {HELP}\n" + "\n".join(reasons))


@cache
def probed(level: Level) -> Box | str:
    """The faster way of a level that works here, once a process; a reason if none does."""
    reasons = []
    for nested in (False,) if level == "limits" else (True, False):
        box = Box(level, nested)
        reason = fault(box)
        if not reason:
            return box
        reasons.append(reason)
    return "; ".join(dict.fromkeys(reasons))


def fault(box: Box) -> str:
    """What is wrong with a box, found out by running in it what must work and what must not; empty if nothing."""
    worker = Worker(box, Bounds(), UNHURRIED_SECONDS)
    checks = PROBED[:-1] if box.level == "limits" else PROBED
    try:
        ran = worker.run(PROBE, checks)
    except IsolationError as error:
        return str(error)
    finally:
        worker.end()
    wrong = [f"{check}: {reason}" for check, reason in zip(checks, ran.reasons, strict=True) if reason]
    return ran.error or ", ".join(wrong)
