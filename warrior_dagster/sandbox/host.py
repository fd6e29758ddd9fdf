"""The host's side of one sandbox, which runs many programs. pool.py has the threat model.

The host decodes no value and runs no check: it reads an outcome and a reason for each.
"""

import json
import math
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, get_args

from warrior_dagster.sandbox.group_memory import group_memory
from warrior_dagster.sandbox.guest.supervisor import HEADER
from warrior_dagster.sandbox.isolation import Isolation, IsolationError, ResourceLimits, start

Outcome = Literal["passed", "failed", "error", "timeout", "abstained", "not run"]
OUTCOMES = get_args(Outcome)
NOT_LOADED = "not loaded"
MAX_CHARS = 100_000  # of a check
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
    """Starts at the first program, and again whenever it has ended. `limits.seconds` are not scaled for the machine."""

    def __init__(self, isolation: Isolation, limits: ResourceLimits) -> None:
        self.isolation, self.limits = isolation, limits
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
        waiting = []
        for number, check in enumerate(checks):
            if len(check) > MAX_CHARS:
                run.record(number, "error", f"a check of more than {MAX_CHARS} characters")
            else:
                waiting.append(number)
        while waiting and not run.error:
            try:
                for outcome, reason, seconds in self.run_batch(code, [checks[number] for number in waiting]):
                    if outcome == NOT_LOADED:
                        run.error = reason
                    else:
                        run.record(waiting.pop(0), outcome, reason, seconds)
            except SandboxStuck as stuck:
                self.close()
                if waiting:  # it may also break after the last
                    run.record(waiting.pop(0), "error", str(stuck))
        return run

    def run_batch(self, code: str, checks: Sequence[str]) -> Iterator[tuple[Any, str, float]]:
        """Run checks in one sandbox, or the first in one that takes no more, up to the first that finds the code not loadable.

        Yields the outcome, the reason and the seconds of each. Raises SandboxStuck.
        """
        checks = checks if self.isolation.nested else checks[:1]
        if self.process is None:
            self.start()
        limit = self.limits.seconds
        program = {"code": code, "checks": len(checks), "seconds": limit, "cpu_seconds": math.ceil(limit)}
        deadline = time.monotonic() + START_SECONDS
        self.send(b"g" + framed(json.dumps(program)), deadline)  # the first byte is for the fork server, which reads no more
        for check in checks:
            self.send(framed(check), time.monotonic() + GRACE_SECONDS)
            match self.receive(time.monotonic() + limit + GRACE_SECONDS):
                case ["end", str(outcome), str(reason), float(seconds)] if outcome in (*OUTCOMES, NOT_LOADED):
                    yield outcome, reason, seconds
                case other:
                    raise SandboxStuck(f"the sandbox sent {str(other)[:100]}")
            if outcome == NOT_LOADED:
                break
        expected = [["done"], ["over", 0]] if self.isolation.nested else [["done"]]
        if any(self.receive(time.monotonic() + GRACE_SECONDS) != message for message in expected):
            raise SandboxStuck("the sandbox did not end as it should")
        if not self.isolation.nested:
            self.close()

    def start(self) -> None:
        self.process = start(self.isolation, self.limits)
        try:
            message = self.receive(time.monotonic() + START_SECONDS)
        except SandboxStuck as stuck:
            message = [str(stuck)]
        if message != ["ready"]:
            self.close()
            raise IsolationError(f"{self.isolation.level}: {' '.join(map(str, message))}")

    def send(self, data: bytes, deadline: float) -> None:
        """Raises SandboxStuck if the sandbox does not read it in time."""
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

    def receive(self, deadline: float) -> list[Any]:
        """The sandbox's next message. Raises SandboxStuck."""
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
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe
            pipe.close()


def framed(text: str) -> bytes:
    """A text after its length, so that its reader takes no byte of what follows."""
    data = text.encode(errors="surrogatepass")
    return f"{len(data):0{HEADER}x}".encode() + data
