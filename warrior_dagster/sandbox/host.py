"""One sandbox, kept for many programs, and the judging of what it says. See sandbox.py for what a verdict rests on."""

import json
import math
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from warrior_dagster.sandbox.assert_rewriting import MISSING, Check, judged, taken_apart
from warrior_dagster.sandbox.isolation import Bounds, Box, IsolationError, send, start
from warrior_dagster.sandbox.value_codec import LOADING, Opaque, dumps

Outcome = Literal["passed", "failed", "error", "timeout", "not run"]
START_SECONDS = 60.0
GRACE_SECONDS = 10.0
"""Beyond a check's own time, until the sandbox itself is taken to be stuck."""


class Stuck(RuntimeError):
    """The sandbox itself ended, or says nothing; a new one is needed."""


@dataclass(slots=True)
class Ran:
    """What became of a program's checks so far."""

    outcomes: list[Outcome]
    reasons: list[str]
    seconds: list[float]
    error: str = ""


@dataclass(slots=True)
class Trial:
    """One check while it runs."""

    check: Check
    outcome: Outcome | None = None
    reason: str = ""
    unloadable: str = ""
    held: set[int] = field(default_factory=set)
    """Sites whose assert held when last reached."""
    asked: set[int] = field(default_factory=set)
    """Sites whose comparison the sandbox was asked to make."""

    def hear(self, text: str) -> str:  # noqa: PLR0911 -- one a message
        """The answer to what the check says: go on (JSON), end it (`next`), or end the program (`quit`)."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        sites = self.check.sites
        match message:
            case ["unloadable", str(reason)]:
                self.unloadable = reason
                return "quit"
            case ["raised", bool(asserting), str(reason)]:
                return self.settle("failed" if asserting else "error", reason)
            case ["ended"] if self.all_held():
                return self.settle("passed")
            case ["ended"]:
                return self.settle("error", "ended before its asserts")
            case ["assert", int(number), list(told)] if 0 <= number < len(sites):
                try:
                    verdict = judged(sites[number], told)
                except Opaque as error:
                    return self.settle("error", str(error))
                if verdict is None:
                    self.asked.add(number)
                    operands = [None if value is MISSING else dumps(value) for value in sites[number].operands]
                    return json.dumps({"operators": sites[number].operators, "operands": operands})
                return self.weigh(number, verdict)
            case ["truth", int(number), bool(verdict)] if number in self.asked:
                return self.weigh(number, verdict)
        return self.settle("error", "said what no check says")

    def weigh(self, number: int, verdict: bool) -> str:
        """An assert's verdict: a false one ends the check, unless something around it may catch it."""
        if verdict:
            self.held.add(number)
            if number == self.check.last and self.all_held():
                return self.settle("passed")
        elif self.check.sites[number].always:
            return self.settle("failed", f"assert {number + 1} does not hold")
        return json.dumps(verdict)

    def all_held(self) -> bool:
        """Whether every assert held that a check which ends has passed."""
        return all(number in self.held for number, site in enumerate(self.check.sites) if site.always)

    def settle(self, outcome: Outcome, reason: str = "") -> str:
        """The check's outcome."""
        self.outcome, self.reason = outcome, reason
        return "next"


class Worker:
    """A sandbox that is started when needed, and again when it ended."""

    def __init__(self, box: Box, bounds: Bounds, seconds: float) -> None:
        """`seconds` of wall clock are for each check."""
        self.box, self.bounds, self.seconds = box, bounds, seconds
        self.running: subprocess.Popen[bytes] | None = None
        self.kept = bytearray()

    def run(self, code: str, checks: Sequence[str]) -> Ran:
        """Every check, or none where the code cannot be loaded; without checks it is only loaded.

        Where a check makes an end of the sandbox, the rest runs in a new one. Raises IsolationError if none can be started.
        """
        ran = Ran(["not run"] * len(checks), [""] * len(checks), [0.0] * len(checks))
        apart: dict[int, Check] = {}
        for number, text in enumerate(checks):
            try:
                apart[number] = taken_apart(text)
            except ValueError as error:
                ran.outcomes[number], ran.reasons[number] = "error", str(error)
        trials = {number: Trial(check) for number, check in apart.items()} or {-1: Trial(Check("", []))}
        while trials and not ran.error:
            batch = dict(trials if self.box.nested else [next(iter(trials.items()))])
            try:
                for number, seconds in self.batch(code, batch, ran):
                    settled(ran, number, trials.pop(number), seconds)
            except Stuck as stuck:
                self.end()
                number = next(iter(trials))
                trial = trials.pop(number)
                trial.settle("error", str(stuck))
                settled(ran, number, trial, 0.0)
        return ran

    def batch(self, code: str, trials: dict[int, Trial], ran: Ran) -> Iterator[tuple[int, float]]:
        """Run the trials in one box; gives the number and the seconds of each that has ended. Raises Stuck."""
        if self.running is None:
            self.begin()
        checks = [
            {
                "source": t.check.source,
                "names": t.check.names,
                "truths": [n for n, s in enumerate(t.check.sites) if not s.operators],
            }
            for t in trials.values()
        ]
        self.send({"code": code, "checks": checks, "seconds": self.seconds, "cpu": math.ceil(self.seconds)})
        numbers = list(trials)
        at = 0
        while True:
            match self.hear(self.seconds + GRACE_SECONDS):
                case ["say", str(text)] if at < len(numbers):
                    self.send_line(trials[numbers[at]].hear(text))
                case ["end", int(), str(how), float(seconds)] if at < len(numbers):
                    number = numbers[at]
                    at += 1
                    trial = trials[number]
                    if trial.unloadable or how.endswith(LOADING):
                        ran.error = trial.unloadable or how
                    elif trial.outcome is None:
                        trial.settle("timeout" if how == "timeout" else "error", how)
                    yield number, seconds
                case ["unloadable", str(reason)]:
                    ran.error = reason
                case ["done"] if not self.box.nested:
                    self.end()
                    return
                case ["done"]:
                    pass
                case ["over", 0]:
                    return
                case other:
                    raise Stuck(f"the sandbox ended: {other}")

    def begin(self) -> None:
        """Start a sandbox. Raises IsolationError."""
        self.running = start(self.box, self.bounds)
        try:
            message = self.hear(START_SECONDS)
        except Stuck as stuck:
            message = [str(stuck)]
        if message != ["ready"]:
            self.end()
            raise IsolationError(f"{self.box.level}: {' '.join(map(str, message))}")

    def send(self, job: dict[str, Any]) -> None:
        """A program, after a byte that the keeper waits for and never looks at."""
        self.send_line("g" + json.dumps(job))

    def send_line(self, text: str) -> None:
        """Raises Stuck."""
        assert self.running
        try:
            send(self.running, text.encode() + b"\n")
        except OSError as error:
            raise Stuck("the sandbox ended") from error

    def hear(self, seconds: float) -> list[Any]:
        """The sandbox' next message. Raises Stuck."""
        assert self.running
        assert self.running.stdout
        descriptor = self.running.stdout.fileno()
        deadline = time.monotonic() + seconds
        searched = 0
        while (end := self.kept.find(b"\n", searched)) < 0:
            searched = len(self.kept)
            ready = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]
            data = os.read(descriptor, 1 << 16) if ready else b""
            if not data:
                raise Stuck("the sandbox ended" if ready else "the sandbox says nothing any more")
            self.kept += data
        line = bytes(self.kept[:end])
        del self.kept[: end + 1]
        try:
            message = json.loads(line)
        except ValueError as error:
            raise Stuck("the sandbox is not to be understood") from error
        return message if isinstance(message, list) else [message]

    def end(self) -> None:
        """End the sandbox and all that runs in it."""
        running, self.running = self.running, None
        self.kept.clear()
        if running is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        for pipe in (running.stdin, running.stdout):
            assert pipe
            pipe.close()


def settled(ran: Ran, number: int, trial: Trial, seconds: float) -> None:
    """Note what became of a check; the one of a program without checks is its loading."""
    if ran.error:
        return
    if number < 0:
        ran.error = trial.reason
    else:
        ran.outcomes[number], ran.reasons[number], ran.seconds[number] = trial.outcome or "not run", trial.reason, seconds
