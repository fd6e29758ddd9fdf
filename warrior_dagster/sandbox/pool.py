"""Runs code that models wrote against checks, each judged separately, in sandboxes. Generated code runs nowhere else.

Threat model. The tested code may try to cheat. Each check runs as ordinary Python in a process of its own, and the code in
another, which never holds the check: where the check calls `f(1)`, the arguments cross over and a value comes back. So code
cannot pass by exiting early, by printing, by patching builtins, by walking frames, the garbage collector, descriptors or
memory: whatever it sends is a value that the check compares. Only plain values of builtin types cross. Objects of the code's
own can be called, read and iterated, but what they say of equality, order, truth, membership or arithmetic is not heard:
where a pass would rest on that, the check abstains. Checks are untrusted too, as models write them, so both processes are
confined. This process, which may not hang or crash, decodes no value: it reads an outcome and a reason for each check.

What remains possible: a check that compares nothing with a value that the code does not know, such as `assert f(1)` or
`assert f(1) == f(1)`, believes what the code returns, as it must.

A check may use the standard library and an empty folder that it shares with the code, but no network and no other program. It
starts from the freshly loaded code: nothing of other checks or programs remains in memory, processes or files. Compiling and
loading count towards the limits of time and memory. All processes of a check together may hold as much memory as one of them.
"""

import os
import queue
import statistics
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from warrior_dagster.sandbox.host import Outcome, Sandbox
from warrior_dagster.sandbox.isolation import ISOLATING_LEVELS, Level, ResourceLimits
from warrior_dagster.sandbox.probing import PROBE_SECONDS, best_level

CALIBRATION_CODE = "def loop(n):\n    total = 0\n    for i in range(n):\n        total += i * i\n    return total\n"
CALIBRATION_CHECKS = ("assert loop(400_000) == 21_333_253_333_400_000",)
REFERENCE_SECONDS = 0.023  # the shortest time of the calibration check on the reference machine
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
    """One per check. `failed`: an AssertionError; `error`: another exception, or the process ended before the check did;
    `abstained`: the check would have to believe objects of the code's own.
    """
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
    return run_in(best_level(levels), programs, limits or ResourceLimits(), workers or len(os.sched_getaffinity(0)))


def run_in(level: Level, programs: Iterable[Program], limits: ResourceLimits, workers: int) -> Iterator[Result]:
    """`run_all` at a given level. Each worker scales the time limit by its `slowdown`."""
    source, lock, stop = iter(programs), threading.Lock(), threading.Event()
    results: queue.Queue[Result | BaseException | None] = queue.Queue()
    slots = threading.Semaphore(4 * workers)

    def work() -> None:
        sandbox = Sandbox(level, replace(limits, seconds=PROBE_SECONDS))
        try:
            sandbox.limits = replace(limits, seconds=limits.seconds * slowdown(sandbox))
            while slots.acquire() and not stop.is_set():
                with lock:
                    program = next(source, None)
                if program is None:
                    break
                run = sandbox.run(program.code, program.checks)
                outcomes, reasons = tuple(run.outcomes), tuple(run.reasons)
                results.put(Result(program.key, outcomes, reasons, run.error, sum(run.seconds), level))
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
