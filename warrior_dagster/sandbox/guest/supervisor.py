"""Supervises one program inside the sandbox: starts a process for each check and relays its messages to the host.

It is process 1 of its own namespaces, so Linux kills every process that a program leaves behind. It also measures the time.
Descriptor 0 brings the program and then the host's replies; messages leave on descriptor 1 as a line of JSON each:
["check message", text], ["end", check number, how it ended, seconds], ["load failed", reason], ["done"], ["broken", reason].
"""

import json
import os
import select
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from types import CodeType
from typing import Any, NoReturn

from warrior_dagster.sandbox.guest import kernel
from warrior_dagster.sandbox.guest.check_runner import Channel, allow_modules, run_check
from warrior_dagster.sandbox.value_codec import MAX_CHARS, WHILE_LOADING

MAX_MESSAGES = 10_000  # per check; each assert sends one, so loops have enough


def send(*message: Any) -> None:
    kernel.write_all(1, json.dumps(message).encode() + b"\n")


def run_and_exit(work: Callable[[], None]) -> NoReturn:
    """In a forked child: run the work and end the process, so that nothing returns into the parent's code."""
    try:
        work()
        os._exit(0)
    except BaseException as error:
        with suppress(OSError):
            send("broken", f"{type(error).__name__}: {error}")
    finally:
        os._exit(1)


class LineReader:
    """Reads lines from a descriptor, up to the length that a check may send."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.buffer = descriptor, bytearray()

    def read(self, deadline: float | None = None) -> bytes | None:
        """The next line, or None after the deadline. Raises EOFError at the end of input and for a line that is too long."""
        searched = 0
        while (end := self.buffer.find(b"\n", searched)) < 0:
            searched = len(self.buffer)
            if deadline is not None:
                left = deadline - time.monotonic()
                ready = select.select([self.descriptor, 0], [], [], left)[0] if left > 0 else []
                if 0 in ready:  # the host has gone
                    raise SystemExit
                if not ready:
                    return None
                if searched > 8 * MAX_CHARS:
                    raise EOFError
            data = os.read(self.descriptor, 1 << 16)
            if not data:
                raise EOFError
            self.buffer += data
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        return line


def supervise(config: dict[str, Any]) -> None:
    """Run the checks of the program on descriptor 0 in turn. Nothing of one check remains when the next starts."""
    host = LineReader(0)
    program = json.loads(host.read() or b"")
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    try:
        code = compile(program["code"], "answer.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        send("load failed", f"{type(error).__name__}: {error}")
        return
    for number, check in enumerate(program["checks"]):
        started = time.monotonic()
        how = supervise_check(config, program, code, check, host)
        send("end", number, how, time.monotonic() - started)
        if how == "quit" or how.endswith(WHILE_LOADING):
            break
    send("done")


def supervise_check(
    config: dict[str, Any], program: dict[str, Any], code: CodeType, check: dict[str, Any], host: LineReader
) -> str:
    """Run one check and return how its process ended. That process, all that it started, and its files are gone afterwards."""
    ours, theirs = socket.socketpair()
    token = os.urandom(16).hex()
    folder = kernel.TMP
    if config["nested"]:
        kernel.mount_tmp(config["disk"])
    elif not config["contained"]:
        folder = tempfile.mkdtemp()
    child = os.fork()
    if child == 0:
        run_and_exit(lambda: confine_and_run(config, program, code, check, Channel(theirs.detach(), token), folder))
    theirs.close()
    try:
        return relay(ours, child, token, time.monotonic() + program["seconds"], host)
    finally:
        with suppress(ProcessLookupError):
            os.kill(-1 if os.getpid() == 1 else -child, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        ours.close()
        if config["nested"]:
            kernel.unmount(kernel.TMP)
        elif not config["contained"]:
            shutil.rmtree(folder, ignore_errors=True)


def relay(ours: socket.socket, child: int, token: str, deadline: float, host: LineReader) -> str:
    """Pass messages of the check to the host and replies back until the check ends. Returns how it ended."""
    lines = LineReader(ours.fileno())
    loaded = False
    for _ in range(MAX_MESSAGES):
        try:
            line = lines.read(deadline)
        except (EOFError, OSError):
            return describe_exit(child) + ("" if loaded else WHILE_LOADING)
        if line is None:
            return "timeout" if loaded else f"timeout{WHILE_LOADING}"
        if not line.startswith(token.encode()):
            return "wrote where only the sandbox may"
        text = line[len(token) :]
        if text == b"loaded":
            loaded = True
            continue
        send("check message", text.decode(errors="replace"))
        reply = host.read() or b""
        if reply in (b"next", b"quit"):
            return reply.decode()
        ours.settimeout(max(0.001, deadline - time.monotonic()))
        with suppress(OSError):
            ours.sendall(reply + b"\n")
    return "too many asserts"


def describe_exit(child: int) -> str:
    for _ in range(50):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            if -code == signal.SIGXCPU:
                return "timeout"
            return f"ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        time.sleep(0.001)
    return "closed the sandbox' descriptor"


def confine_and_run(
    config: dict[str, Any], program: dict[str, Any], code: CodeType, check: dict[str, Any], channel: Channel, folder: str
) -> None:
    """In the process of a check: give up every descriptor, variable and privilege, then run the check."""
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    channel.move_to(3)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    os.chdir(folder)
    os.environ.clear()
    if config["modules"]:
        allow_modules(config["modules"], contained=config["contained"])
    processes = config["processes"] + (0 if config["contained"] else count_tasks(os.getuid()))
    kernel.set_limits(config["memory"], program["cpu_seconds"], config["disk"], config["files"], processes)
    kernel.drop_capabilities()
    kernel.filter_system_calls(own_signals_only=not config["contained"])
    run_check(code, check, channel)


def count_tasks(uid: int) -> int:
    """The processes and threads of a user: without namespaces, the limit on processes counts them all."""
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if os.stat(f"/proc/{name}").st_uid == uid:
                count += len(os.listdir(f"/proc/{name}/task"))
    return count
