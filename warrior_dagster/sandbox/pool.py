"""Runs code that models wrote in sandboxes, against checks that are judged separately, or to observe what it returns.

Generated code runs nowhere else.

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

Code is also observed: `observe_all` says what it returns for calls that the caller gives. There the code is believed, as
nothing is judged: a value is what the code's own process says that it is. It may recognise calls and answer them as it likes,
but it finds nothing there of other programs or of what they returned, can report for none of them, and what is believed is a
short printable text. Code is loaded once, and each call runs in a fork of the loaded process, so a call sees nothing of another
one unless the code arranges it, and then only its own observations are wrong. Where a call leaves more than that process itself
(a process, a file), or the loaded code has threads, open files or mapped memory, the code is loaded again for the next one. The
loaded process and a call may together hold twice the memory of one.
"""

import os
import queue
import statistics
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from warrior_dagster.sandbox.host import Outcome, Sandbox
from warrior_dagster.sandbox.isolation import ISOLATING_LEVELS, Level, ResourceLimits
from warrior_dagster.sandbox.observing import observe
from warrior_dagster.sandbox.probing import PROBE_SECONDS, best_level

Item = TypeVar("Item")
Done = TypeVar("Done")
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


@dataclass(frozen=True, slots=True)
class ObservedProgram:
    """The code of an answer and the calls of it whose results are of interest."""

    key: str
    code: str
    calls: tuple[str, ...]  # each is one expression, such as "f(1, [2, 3])"


@dataclass(frozen=True, slots=True)
class Observation:
    """What the calls of a program returned."""

    key: str
    outcomes: tuple[str, ...]
    """One per call: `returned`, `raised`, `timeout`, `not plain`, `error`, `not run` or `skipped`.

    `not plain`: it returned an object of the code's own, an iterator or the like; `error`: the process ended, or used too much
    memory, or the value is too large. After 3 calls that timed out, the remaining ones are `skipped`.
    """
    values: tuple[str, ...]
    """One per call. Returned: the text of the value (see guest/canonical.py), of up to 2,000 printable characters, the same for
    equal values; raised: the name of the exception's class; otherwise a short reason, or empty.
    """
    error: str  # why the code could not be loaded, so that no call ran; empty if it was loaded
    seconds: float  # wall-clock, of loading and all calls
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
    """`run_all` at a given level."""

    def judged(sandbox: Sandbox, program: Program) -> Result:
        run = sandbox.run(program.code, program.checks)
        return Result(program.key, tuple(run.outcomes), tuple(run.reasons), run.error, sum(run.seconds), level)

    return in_sandboxes(level, programs, judged, limits, workers)


def observe_all(
    programs: Iterable[ObservedProgram],
    limits: ResourceLimits | None = None,
    *,
    levels: tuple[Level, ...] = ISOLATING_LEVELS,
    workers: int | None = None,
) -> Iterator[Observation]:
    """Observe what programs return, as `run_all` judges them: results as they are ready, few in memory, the same errors.

    The limits hold for loading the code and for each call. What a call needs of time and memory is not taken from another.
    """
    return observe_in(best_level(levels), programs, limits or ResourceLimits(), workers or len(os.sched_getaffinity(0)))


def observe_in(
    level: Level, programs: Iterable[ObservedProgram], limits: ResourceLimits, workers: int
) -> Iterator[Observation]:
    """`observe_all` at a given level."""

    def observed(sandbox: Sandbox, program: ObservedProgram) -> Observation:
        run = observe(sandbox, program.code, program.calls)
        calls = len(program.calls)
        outcomes, values = (("not run",) * calls, ("",) * calls) if run.error else (tuple(run.outcomes), tuple(run.values))
        return Observation(program.key, outcomes, values, run.error, run.seconds, level)

    return in_sandboxes(level, programs, observed, limits, workers)


def in_sandboxes(
    level: Level, items: Iterable[Item], work: Callable[[Sandbox, Item], Done], limits: ResourceLimits, workers: int
) -> Iterator[Done]:
    """What `work` makes of each item, as it is ready. Each worker has a sandbox, whose time limit it scales by `slowdown`."""
    source, lock, stop = iter(items), threading.Lock(), threading.Event()
    results: queue.Queue[tuple[Done] | BaseException | None] = queue.Queue()
    slots = threading.Semaphore(4 * workers)

    def run() -> None:
        sandbox = Sandbox(level, replace(limits, seconds=PROBE_SECONDS))
        try:
            sandbox.limits = replace(limits, seconds=limits.seconds * slowdown(sandbox))
            while slots.acquire() and not stop.is_set():
                with lock:
                    item = next(source, None)
                if item is None:
                    break
                results.put((work(sandbox, item),))
        except BaseException as error:  # raised again in the caller's thread
            results.put(error)
        finally:
            sandbox.close()
            results.put(None)

    threads = [threading.Thread(target=run, name=f"sandbox-{number}", daemon=True) for number in range(workers)]
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
                yield result[0]
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
