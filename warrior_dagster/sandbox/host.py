"""The host's side of one sandbox, which runs many programs. pool.py has the threat model.

The host decodes no value and runs no check: it reads an outcome and a text for each check or call.
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
from warrior_dagster.sandbox.guest.children import HEADER
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


class SandboxSilent(SandboxStuck):
    """The sandbox sent nothing in time."""


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
        self.memory = limits.memory + OVERHEAD  # what its processes may hold together
        self.next_look = 0.0  # when that is looked at again

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
        self.request("check", f"{len(text):<{HEADER}}{text}")
        match self.receive(self.limits.seconds + GRACE_SECONDS):
            case ["end", str(outcome), str(reason), float(seconds)] if outcome in (*OUTCOMES, NOT_LOADED):
                return outcome, reason, seconds
            case other:
                raise SandboxStuck(f"the sandbox sent {str(other)[:100]}")

    def request(self, kind: str, rest: str, *, processes: int = 1) -> None:
        """Ask for something; so many processes may each hold as much memory as one may. Raises SandboxStuck, IsolationError."""
        if self.process is None:
            self.start()
        self.memory = processes * self.limits.memory + OVERHEAD
        self.send(f"{kind:<{HEADER}}{self.limits.seconds:<{HEADER}.6f}{rest}".encode())

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
        while (end := self.buffer.find(b"\n")) < 0:
            self.receive_more(deadline)
            if len(self.buffer) > MAX_MESSAGE:
                raise SandboxStuck("the sandbox sent too much")
        line = self.receive_bytes(end + 1, 0.0)
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SandboxStuck("the sandbox sent what is not JSON") from error
        return message if isinstance(message, list) else [message]

    def receive_bytes(self, length: int, seconds: float) -> bytes:
        """The next bytes that the sandbox sends, within so many seconds. Raises SandboxStuck."""
        if not 0 <= length <= MAX_MESSAGE:
            raise SandboxStuck("the sandbox sent too much")
        deadline = time.monotonic() + seconds
        while len(self.buffer) < length:
            self.receive_more(deadline)
        data = bytes(self.buffer[:length])
        del self.buffer[:length]
        return data

    def receive_more(self, deadline: float) -> None:
        """Add to the buffer, and look at the memory that is used every TICK. Raises SandboxStuck."""
        assert self.process
        assert self.process.stdout
        descriptor = self.process.stdout.fileno()
        while True:
            now = time.monotonic()
            if now >= deadline:
                raise SandboxSilent("the sandbox says nothing any more")
            if now >= self.next_look:
                self.next_look = now + TICK
                self.limit_memory()
            if select.select([descriptor], [], [], max(0.0, min(deadline, self.next_look) - now))[0]:
                break
        data = os.read(descriptor, 1 << 16)
        if not data:
            raise SandboxStuck("the sandbox ended")
        self.buffer += data

    def limit_memory(self) -> None:
        """Raises SandboxStuck if its processes hold more memory together than they may."""
        assert self.process
        if group_memory(self.process.pid) > self.memory:
            raise SandboxStuck(f"its processes hold more than {(self.memory - OVERHEAD) >> 20} MiB of memory together")

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
