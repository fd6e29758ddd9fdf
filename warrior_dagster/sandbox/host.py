"""The host's side of one sandbox, which runs many programs, and the judging of their checks. pool.py has the threat model."""

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

from warrior_dagster.sandbox.assert_rewriting import MISSING, RewrittenCheck, evaluate_assert, rewrite_asserts
from warrior_dagster.sandbox.guest.kernel import write_all
from warrior_dagster.sandbox.isolation import Isolation, IsolationError, ResourceLimits, start
from warrior_dagster.sandbox.value_codec import WHILE_LOADING, NotPlain, dumps

Outcome = Literal["passed", "failed", "error", "timeout", "not run"]
START_SECONDS = 60.0
GRACE_SECONDS = 10.0  # how long the sandbox may stay silent beyond the time limit of a check before it counts as stuck


class SandboxStuck(RuntimeError):
    """The sandbox ended, is silent, or sent something malformed: a new one is needed."""


@dataclass(slots=True)
class ProgramRun:
    """The results of a program's checks so far."""

    outcomes: list[Outcome]
    reasons: list[str]
    seconds: list[float]
    error: str = ""

    def record(self, number: int, check_run: "CheckRun", seconds: float) -> None:
        """Store a check's result. Number -1 is the run that only loads a program without checks."""
        if not self.error and number < 0:
            self.error = check_run.reason
        elif not self.error:
            outcome = check_run.outcome or "not run"
            self.outcomes[number], self.reasons[number], self.seconds[number] = outcome, check_run.reason, seconds


@dataclass(slots=True)
class CheckRun:
    """The state of one check while it runs."""

    check: RewrittenCheck
    outcome: Outcome | None = None
    reason: str = ""
    load_error: str = ""
    held_sites: set[int] = field(default_factory=set)  # sites whose assert has held
    delegated_sites: set[int] = field(default_factory=set)  # sites whose comparison was left to the sandbox

    def handle(self, text: str) -> str:  # noqa: PLR0911 -- one return per message
        """The reply to a message of the check: JSON to continue, `next` to end the check, `quit` to end the program."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        sites = self.check.sites
        match message:
            case ["load failed", str(reason)]:
                self.load_error = reason
                return "quit"
            case ["raised", bool(is_assertion), str(reason)]:
                return self.finish("failed" if is_assertion else "error", reason)
            case ["ended"] if self.all_held():
                return self.finish("passed")
            case ["ended"]:
                return self.finish("error", "ended before its asserts")
            case ["assert", int(number), list(values)] if 0 <= number < len(sites):
                try:
                    verdict = evaluate_assert(sites[number], values)
                except NotPlain as error:
                    return self.finish("error", str(error))
                if verdict is None:
                    self.delegated_sites.add(number)
                    operands = [None if value is MISSING else dumps(value) for value in sites[number].operands]
                    return json.dumps({"operators": sites[number].operators, "operands": operands})
                return self.record_verdict(number, verdict)
            case ["compared", int(number), bool(verdict)] if number in self.delegated_sites:
                return self.record_verdict(number, verdict)
        return self.finish("error", "said what no check says")  # stored in rows: a better text would change their hashes

    def record_verdict(self, number: int, verdict: bool) -> str:
        """The reply to an assert. One that fails ends the check, unless code around it may catch the AssertionError."""
        if verdict:
            self.held_sites.add(number)
            if number == self.check.last_site and self.all_held():
                return self.finish("passed")
        elif self.check.sites[number].always_reached:
            return self.finish("failed", f"assert {number + 1} does not hold")
        return json.dumps(verdict)

    def all_held(self) -> bool:
        """Whether every assert has held that each complete run of the check reaches."""
        return all(number in self.held_sites for number, site in enumerate(self.check.sites) if site.always_reached)

    def finish(self, outcome: Outcome, reason: str = "") -> str:
        """Returns the reply that ends the check."""
        self.outcome, self.reason = outcome, reason
        return "next"


class Sandbox:
    """Starts at the first program, and again whenever it has ended. `limits.seconds` are not scaled for the machine."""

    def __init__(self, isolation: Isolation, limits: ResourceLimits) -> None:
        self.isolation, self.limits = isolation, limits
        self.process: subprocess.Popen[bytes] | None = None
        self.buffer = bytearray()

    def run(self, code: str, checks: Sequence[str]) -> ProgramRun:
        """Run every check, or none if the code cannot be loaded. Without checks the code is only loaded.

        If a check breaks the sandbox, the others run in a new one. Raises IsolationError if no sandbox can be started.
        """
        run = ProgramRun(["not run"] * len(checks), [""] * len(checks), [0.0] * len(checks))
        pending: dict[int, CheckRun] = {}
        for number, text in enumerate(checks):
            try:
                pending[number] = CheckRun(rewrite_asserts(text))
            except ValueError as error:
                run.outcomes[number], run.reasons[number] = "error", str(error)
        pending = pending or {-1: CheckRun(RewrittenCheck("", []))}
        while pending and not run.error:
            batch = dict(pending if self.isolation.nested else [next(iter(pending.items()))])
            try:
                for number, seconds in self.run_batch(code, batch, run):
                    run.record(number, pending.pop(number), seconds)
            except SandboxStuck as stuck:
                self.close()
                number, check_run = next(iter(pending.items()))
                check_run.finish("error", str(stuck))
                run.record(number, pending.pop(number), 0.0)
        return run

    def run_batch(self, code: str, batch: dict[int, CheckRun], run: ProgramRun) -> Iterator[tuple[int, float]]:
        """Run checks in one sandbox. Yields the number and the seconds of each that has ended. Raises SandboxStuck."""
        if self.process is None:
            self.start()
        checks = [
            {"source": c.source, "names": c.names, "truth_sites": [n for n, site in enumerate(c.sites) if not site.operators]}
            for c in (check_run.check for check_run in batch.values())
        ]
        limit = self.limits.seconds
        program = {"code": code, "checks": checks, "seconds": limit, "cpu_seconds": math.ceil(limit)}
        self.send("g" + json.dumps(program))  # the first byte is for the fork server, which reads nothing else
        numbers = list(batch)
        while True:
            match self.receive(limit + GRACE_SECONDS):
                case ["check message", str(text)] if numbers:
                    self.send(batch[numbers[0]].handle(text))
                case ["end", int(), str(how), float(seconds)] if numbers:
                    number = numbers.pop(0)
                    check_run = batch[number]
                    if check_run.load_error or how.endswith(WHILE_LOADING):
                        run.error = check_run.load_error or how
                    elif check_run.outcome is None:
                        check_run.finish("timeout" if how == "timeout" else "error", how)
                    yield number, seconds
                case ["load failed", str(reason)]:
                    run.error = reason
                case ["done"] if not self.isolation.nested:
                    self.close()
                    return
                case ["done"]:
                    pass
                case ["over", 0]:
                    return
                case other:
                    raise SandboxStuck(f"the sandbox ended: {other}")

    def start(self) -> None:
        self.process = start(self.isolation, self.limits)
        try:
            message = self.receive(START_SECONDS)
        except SandboxStuck as stuck:
            message = [str(stuck)]
        if message != ["ready"]:
            self.close()
            raise IsolationError(f"{self.isolation.level}: {' '.join(map(str, message))}")

    def send(self, text: str) -> None:
        assert self.process
        assert self.process.stdin
        try:
            write_all(self.process.stdin.fileno(), text.encode() + b"\n")
        except OSError as error:
            raise SandboxStuck("the sandbox ended") from error

    def receive(self, seconds: float) -> list[Any]:
        """The sandbox's next message, within so many seconds. Raises SandboxStuck."""
        assert self.process
        assert self.process.stdout
        descriptor, deadline, searched = self.process.stdout.fileno(), time.monotonic() + seconds, 0
        while (end := self.buffer.find(b"\n", searched)) < 0:
            searched = len(self.buffer)
            ready = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]
            data = os.read(descriptor, 1 << 16) if ready else b""
            if not data:
                raise SandboxStuck("the sandbox ended" if ready else "the sandbox says nothing any more")
            self.buffer += data
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        try:
            message = json.loads(line)
        except ValueError as error:
            raise SandboxStuck("the sandbox is not to be understood") from error
        return message if isinstance(message, list) else [message]

    def close(self) -> None:
        process, self.process = self.process, None
        self.buffer.clear()
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe
            pipe.close()
