"""Supervises one program inside the sandbox: starts two processes for each check, for the code and for the check itself.

It is process 1 of its own namespaces, so Linux kills every process that a program leaves behind. It measures the time, and
reads no check: the code's process is a fork of it, and must find no check in its memory. Descriptor 0 brings the program and
then one check after another. Messages leave on descriptor 1 as a line of JSON each: ["end", outcome, reason, seconds] for
each check, up to the first that is "not loaded"; ["done"]; ["broken", reason].
"""

import fcntl
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from warrior_dagster.sandbox.guest import kernel
from warrior_dagster.sandbox.guest.answer_process import run_answer
from warrior_dagster.sandbox.guest.check_process import run_check

HEADER = 9  # hexadecimal digits of the length of what follows
TICK = 0.05  # seconds between looks at the folder of a check
START_SECONDS = 10.0  # until a check's process has read its check
MAX_REPORT = 10_000  # bytes
MAX_FILES = 4_096  # in the folder of a check, where no mount limits them


class Broken(Exception):
    """The sandbox cannot go on: it may have lost its place in what the host sends."""


class OverLimit(Exception):
    """A check has reached a limit. The arguments are its outcome and the reason."""


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


def read_text() -> str:
    """The next text on descriptor 0, after its length, and not a byte more: what follows is for another process."""
    return read_bytes(int(read_bytes(HEADER), 16)).decode(errors="surrogatepass")


def read_bytes(length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        more = os.read(0, length - len(data))
        if not more:  # the host has gone
            os._exit(1)
        data += more
    return bytes(data)


def supervise(config: dict[str, Any]) -> None:
    """Run the checks of the program on descriptor 0 in turn. Nothing of one check remains when the next starts."""
    program = json.loads(read_text())
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    if config["contained"]:
        confine(config)
    for _ in range(program["checks"]):
        outcome, reason, seconds = supervise_check(config, program)
        send("end", outcome, reason, seconds)
        if outcome == "not loaded":
            break
    send("done")


def confine(config: dict[str, Any]) -> None:
    """Give up every privilege of this process and of all that it will start, and set their limits."""
    own = 3 if config["contained"] else count_tasks(os.getuid())  # this process, and two for a check
    kernel.set_limits(config["memory"], config["disk"], config["files"], config["processes"] + own)
    kernel.drop_capabilities()
    kernel.filter_system_calls(own_signals_only=not config["contained"])


def supervise_check(config: dict[str, Any], program: dict[str, Any]) -> tuple[str, str, float]:
    """Run one check: its outcome, reason and seconds. Its processes, all that these started, and its files are then gone."""
    answer_end, check_end = socket.socketpair()
    reports, verdicts = os.pipe()
    folder = kernel.TMP if config["contained"] else temporary_folder()
    os.chdir(folder)
    children = []
    try:
        for start in (
            lambda: answer_process(config, program, answer_end.fileno()),
            lambda: check_process(config, program, check_end.fileno(), verdicts),
        ):
            children.append(os.fork())
            if children[-1] == 0:
                run_and_exit(start)
        os.close(verdicts)
        answer_end.close()
        check_end.close()
        return verdict(reports, children, program["seconds"], folder if config["counts_files"] else "")
    finally:
        for target in (-1,) if config["contained"] else (-child for child in children):
            with suppress(ProcessLookupError):
                os.kill(target, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        os.close(reports)
        empty(folder)  # or the next check finds something
        if not config["contained"]:
            os.rmdir(folder)


def verdict(reports: int, children: list[int], seconds: float, folder: str) -> tuple[str, str, float]:
    """The outcome of a running check, why it did not pass, and its seconds. Raises Broken if nothing has read the check."""
    answer, check = children
    lines = Reports(reports, folder)
    try:
        first = lines.read(time.monotonic() + START_SECONDS)
    except OverLimit as error:
        raise Broken("the check's process did not start") from error
    if first != b"read":
        raise Broken("the check's process did not start")
    started = time.monotonic()
    line, loading = b"", False
    try:
        while (line := lines.read(started + seconds)) in (b"compiled", b"loaded"):
            loading = line == b"compiled"
        outcome, reason = interpreted(line, answer, check)
    except OverLimit as error:
        outcome, reason = error.args
    if loading and line and outcome != "not loaded":
        outcome, reason = "not loaded", f"{reason or outcome} while loading"
    return outcome, reason, time.monotonic() - started


class Reports:
    """The lines that a check's process writes: "read", "compiled", "loaded", and a verdict as JSON."""

    def __init__(self, descriptor: int, folder: str) -> None:
        self.descriptor, self.folder, self.buffer = descriptor, folder, bytearray()
        self.poll = select.poll()
        self.poll.register(descriptor, select.POLLIN)
        self.poll.register(0, 0)  # only whether the host has gone

    def read(self, deadline: float) -> bytes:
        """The next line; empty if the process has ended without one. Raises OverLimit."""
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise OverLimit("timeout", "timeout")
            if (end := self.buffer.find(b"\n")) >= 0:
                break
            ready = dict(self.poll.poll(1e3 * min(left, TICK)))
            if 0 in ready:
                os._exit(1)
            if self.folder and has_too_many_files(self.folder):
                raise OverLimit("error", f"more than {MAX_FILES} files")
            if self.descriptor in ready:
                data = os.read(self.descriptor, MAX_REPORT)
                if not data or len(self.buffer) > MAX_REPORT:
                    return b""
                self.buffer += data
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        return line


def interpreted(line: bytes, answer: int, check: int) -> tuple[str, str]:
    """The outcome and the reason of a check, from the verdict of its process or the way in which a process ended."""
    try:
        message = json.loads(line) if line else None
    except (ValueError, RecursionError):
        message = None
    match message:
        case ["lost", "gone"]:
            how = describe_exit(answer)
        case ["lost", str(reason)]:
            how = f"sent {reason}"
        case [str(outcome), str(reason)]:
            return outcome, reason
        case _:
            how = f"the check's process {describe_exit(check)}"
    return ("timeout", "timeout") if how.endswith(signal.SIGXCPU.name) else ("error", how)


def describe_exit(child: int) -> str:
    for _ in range(50):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return f"ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        time.sleep(0.001)
    return "closed the sandbox' descriptor"


def has_too_many_files(folder: str) -> bool:
    """Whether there are more than MAX_FILES files in a folder, or some that cannot be counted."""
    used = os.statvfs(folder)
    if folder == kernel.TMP:  # a mount of its own
        return used.f_files - used.f_ffree > MAX_FILES
    count, waiting = 0, [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    count += 1
                    if count > MAX_FILES:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except FileNotFoundError:
            continue
        except OSError:
            return True
    return False


def answer_process(config: dict[str, Any], program: dict[str, Any], channel: int) -> NoReturn:
    """Run the code under test."""
    prepare(config, program, channel)
    run_answer(program["code"], 3)


def check_process(config: dict[str, Any], program: dict[str, Any], channel: int, verdicts: int) -> NoReturn:
    """Read a check and run it."""
    check = read_text()
    kernel.write_all(verdicts, b"read\n")
    prepare(config, program, channel, verdicts)
    run_check(check, program["code"], sorted(config["modules"]), 3, 4)


def prepare(config: dict[str, Any], program: dict[str, Any], *kept: int) -> None:
    """Give up every descriptor but some, which become 3 and up, and start to count CPU time."""
    if not config["contained"]:
        os.setsid()  # a process group of its own, which the filter lets nothing leave
        confine(config)
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 32) for descriptor in kept]
    null = os.open("/dev/null", os.O_RDWR)
    for place, descriptor in enumerate((null, null, null, *high)):
        os.dup2(descriptor, place)
    os.closerange(3 + len(kept), os.sysconf("SC_OPEN_MAX"))
    kernel.limit_cpu(program["cpu_seconds"])


def temporary_folder() -> str:
    import tempfile  # not at the top: seldom needed, and every fork would have it in its memory

    return tempfile.mkdtemp()


def empty(folder: str) -> None:
    """Remove all that a check left. Raises Broken if that is not possible."""
    if not os.listdir(folder):
        return
    import shutil

    try:
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
    except (OSError, RecursionError) as error:
        raise Broken("a check's files cannot be removed") from error


def count_tasks(uid: int) -> int:
    """The processes and threads of a user: without namespaces, the limit on processes counts them all."""
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if os.stat(f"/proc/{name}").st_uid == uid:
                count += len(os.listdir(f"/proc/{name}/task"))
    return count
