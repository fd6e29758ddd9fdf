"""The host's side of one sandbox, which runs many programs. pool.py has the threat model.

The host decodes no value and runs no check: it reads an outcome and a reason for each.
"""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, get_args

from warrior_dagster.sandbox.group_memory import group_memory
from warrior_dagster.sandbox.guest.supervisor import HEADER
from warrior_dagster.sandbox.isolation import IsolationError, Level, ResourceLimits, start

Outcome = Literal["passed", "failed", "error", "timeout", "abstained", "not run"]
OUTCOMES = get_args(Outcome)
NOT_LOADED = "not loaded"
MAX_CHARS = 800_000  # of code and a check, as JSON
MAX_MESSAGE = 100_000  # bytes
START_SECONDS = 60.0
GRACE_SECONDS = 10.0  # how long the sandbox may stay silent beyond the time limit of a check before it counts as stuck
TICK = 0.05  # seconds between looks at the memory that a check uses
OVERHEAD = 64 << 20  # bytes that the sandbox itself holds


class SandboxStuck(RuntimeError):
    """The sandbox ended, is silent, holds too much memory, or sent something malformed: a new one is needed."""


@dataclass(slots=True)
class ProgramRun:
    """The results of a program's checks so far."""

    outcomes: list[Outcome]
    reasons: list[str]
    seconds: list[float]
    error: str = ""

    def record(self, number: int, outcome: Outcome, reason: str, seconds: float = 0.0) -> None:
        self.outcomes[number], self.reasons[number], self.seconds[number] = outcome, reason, seconds


class Sandbox:
    """Starts at the first check, and again whenever it has ended. `limits.seconds` are not scaled for the machine."""

    def __init__(self, level: Level, limits: ResourceLimits) -> None:
        self.level, self.limits = level, limits
        self.process: subprocess.Popen[bytes] | None = None
        self.buffer = bytearray()

    def run(self, code: str, checks: Sequence[str]) -> ProgramRun:
        """Run every check, or none if the code cannot be loaded. Without checks the code is only loaded.

        If a check breaks the sandbox, the others run in a new one. Raises IsolationError if no sandbox can be started.
        """
        if not checks:
            loaded = self.run(code, [""])
            return ProgramRun([], [], [], loaded.error or loaded.reasons[0])
        run = ProgramRun(["not run"] * len(checks), [""] * len(checks), [0.0] * len(checks))
        for number, check in enumerate(checks):
            text = json.dumps([code, check])
            if len(text) > MAX_CHARS:
                run.record(number, "error", f"code and a check of more than {MAX_CHARS} characters")
                continue
            try:
                outcome, reason, seconds = self.run_check(text)
            except SandboxStuck as stuck:
                self.close()
                run.record(number, "error", str(stuck))
                continue
            if outcome == NOT_LOADED:
                run.error = reason
                break
            run.record(number, outcome, reason, seconds)
        return run

    def run_check(self, text: str) -> tuple[Any, str, float]:
        """The outcome, the reason and the seconds of a check, given the code and the check as JSON. Raises SandboxStuck."""
        if self.process is None:
            self.start()
        limit = self.limits.seconds
        self.send(f"{limit:<{HEADER}.6f}{len(text):<{HEADER}}{text}".encode())
        match self.receive(limit + GRACE_SECONDS):
            case ["end", str(outcome), str(reason), float(seconds)] if outcome in (*OUTCOMES, NOT_LOADED):
                return outcome, reason, seconds
            case other:
                raise SandboxStuck(f"the sandbox sent {str(other)[:100]}")

    def start(self) -> None:
        self.process = start(self.level, self.limits)
        try:
            message = self.receive(START_SECONDS)
        except SandboxStuck as stuck:
            message = [str(stuck)]
        if message != ["ready"]:
            self.close()
            raise IsolationError(f"{self.level}: {' '.join(map(str, message))}")

    def send(self, data: bytes) -> None:
        """Raises SandboxStuck if the sandbox does not read it in time."""
        deadline = time.monotonic() + GRACE_SECONDS
        assert self.process
        assert self.process.stdin
        descriptor = self.process.stdin.fileno()
        os.set_blocking(descriptor, False)
        while data:
            if not select.select([], [descriptor], [], max(0.0, deadline - time.monotonic()))[1]:
                raise SandboxStuck("the sandbox reads nothing any more")
            try:
                data = data[os.write(descriptor, data) :]
            except OSError as error:
                raise SandboxStuck("the sandbox ended") from error

    def receive(self, seconds: float) -> list[Any]:
        """The sandbox's next message, within so many seconds. Raises SandboxStuck."""
        deadline = time.monotonic() + seconds
        assert self.process
        assert self.process.stdout
        descriptor = self.process.stdout.fileno()
        while (end := self.buffer.find(b"\n")) < 0:
            left = deadline - time.monotonic()
            if left <= 0:
                raise SandboxStuck("the sandbox says nothing any more")
            if not select.select([descriptor], [], [], min(left, TICK))[0]:
                self.limit_memory()
                continue
            data = os.read(descriptor, 1 << 16)
            if not data:
                raise SandboxStuck("the sandbox ended")
            self.buffer += data
            if len(self.buffer) > MAX_MESSAGE:
                raise SandboxStuck("the sandbox sent too much")
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SandboxStuck("the sandbox sent what is not JSON") from error
        return message if isinstance(message, list) else [message]

    def limit_memory(self) -> None:
        """Raises SandboxStuck if the processes of a check hold more memory together than one of them may."""
        assert self.process
        if group_memory(self.process.pid) > self.limits.memory + OVERHEAD:
            raise SandboxStuck(f"its processes hold more than {self.limits.memory >> 20} MiB of memory together")

    def close(self) -> None:
        process, self.process = self.process, None
        self.buffer.clear()
        if process is None:
            return
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        if self.level == "limits":  # no namespace ends with its first process, which ends what it has started
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
