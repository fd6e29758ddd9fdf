"""Runs code that models wrote against checks, each judged separately, in sandboxes. Generated code runs nowhere else.

Threat model. The tested code may try to cheat. A check `assert f(1) == 2` is rewritten: the sandbox evaluates `f(1)` and sends
the value; the 2 never enters the sandbox, and this process, which runs no generated code, compares the two. So code cannot pass
by exiting early, by printing, by patching builtins or anything that looks like the checker, by walking frames, the garbage
collector or descriptors, or with objects that equal everything. A check passes only if every assert at its top level was
reached with a value for which it holds, and the check then ended without an exception.

What remains possible for code written against this very module: an assert that compares with no literal (`assert f(1)`,
`assert f(1) == g(1)`), an assert within a loop or a `try`, and a check without asserts all rely on what the sandbox's
interpreter reports. Objects of the tested code's own classes are compared by their own `__eq__`.

A check may use the standard library and an empty folder of its own, but no network and no other program. It starts from the
freshly loaded code: nothing of other checks or programs remains in memory, processes or files.
"""

import os
import queue
import statistics
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from warrior_dagster.sandbox.host import Outcome, Sandbox
from warrior_dagster.sandbox.isolation import ISOLATING_LEVELS, Isolation, Level, ResourceLimits
from warrior_dagster.sandbox.probing import PROBE_SECONDS, best_isolation

CALIBRATION_CODE = "def loop(n):\n    total = 0\n    for i in range(n):\n        total += i * i\n    return total\n"
CALIBRATION_CHECKS = ("assert loop(400_000) == 21_333_253_333_400_000",)
REFERENCE_SECONDS = 0.026  # the shortest time of the calibration check on the reference machine
MIN_SLOWDOWN, MAX_SLOWDOWN = 1.0, 10.0


@dataclass(frozen=True, slots=True)
class Program:
    """The code of an answer and the checks to run against it."""

    key: str
    code: str
    checks: tuple[str, ...]  # each is one or more statements


@dataclass(frozen=True, slots=True)
class Result:
    """The results of a program's checks."""

    key: str
    outcomes: tuple[Outcome, ...]
    """One per check. `failed`: an AssertionError; `error`: another exception, or the process ended before the check did."""
    reasons: tuple[str, ...]  # one per check: why it did not pass, or empty
    error: str  # why the code could not be loaded, so that no check ran; empty if it was loaded
    seconds: float  # wall-clock, of all checks
    level: Level  # the isolation level that was used


def run_all(
    programs: Iterable[Program],
    limits: ResourceLimits | None = None,
    *,
    levels: tuple[Level, ...] = ISOLATING_LEVELS,
    workers: int | None = None,
) -> Iterator[Result]:
    """Run programs and yield results as they are ready, one worker per core, with only a few programs and results in memory.

    Uses the first of `levels` that works on this machine. Raises IsolationError if none does. Closing ends all processes.
    """
    return run_in(best_isolation(levels), programs, limits or ResourceLimits(), workers or len(os.sched_getaffinity(0)))


def run_in(isolation: Isolation, programs: Iterable[Program], limits: ResourceLimits, workers: int) -> Iterator[Result]:
    """`run_all` with a given isolation. Each worker scales the time limit by its `slowdown`."""
    source, lock, stop = iter(programs), threading.Lock(), threading.Event()
    results: queue.Queue[Result | BaseException | None] = queue.Queue()
    slots = threading.Semaphore(4 * workers)

    def work() -> None:
        sandbox = Sandbox(isolation, replace(limits, seconds=PROBE_SECONDS))
        try:
            sandbox.limits = replace(limits, seconds=limits.seconds * slowdown(sandbox))
            while slots.acquire() and not stop.is_set():
                with lock:
                    program = next(source, None)
                if program is None:
                    break
                run = sandbox.run(program.code, program.checks)
                outcomes, reasons = tuple(run.outcomes), tuple(run.reasons)
                results.put(Result(program.key, outcomes, reasons, run.error, sum(run.seconds), isolation.level))
        except BaseException as error:  # raised again in the caller's thread
            results.put(error)
        finally:
            sandbox.close()
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
            slots.release()
    finally:
        stop.set()
        for _ in threads:
            slots.release()
        for thread in threads:
            thread.join()


def slowdown(sandbox: Sandbox) -> float:
    """How many times longer a check takes than on the idle reference machine: the median of 3 runs of a loop.

    Limited to MIN_SLOWDOWN, so that a fast machine gives no less time, and to MAX_SLOWDOWN, because code may sleep.
    """
    seconds = [sandbox.run(CALIBRATION_CODE, CALIBRATION_CHECKS).seconds[0] for _ in range(3)]
    return min(MAX_SLOWDOWN, max(MIN_SLOWDOWN, statistics.median(seconds) / REFERENCE_SECONDS))
