"""What process 1 of the sandbox does with its children: starts and confines them, listens to them, and ends them."""

import fcntl
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from warrior_dagster.sandbox.guest import kernel
from warrior_dagster.sandbox.guest.folders import MAX_FILES, Broken, empty, has_too_many_files, temporary_folder

HEADER = 16  # bytes of each word and number on descriptor 0
TICK = 0.05  # seconds between looks at the folder of a check or of loaded code
START_SECONDS = 10.0  # until a process has read what it runs
MAX_REPORT = 10_000  # bytes of a report, and of what one call returns: MAX_TEXT characters fit


class OverLimit(Exception):
    """A check, a call or the loading of code has reached a limit. The arguments are its outcome and the reason."""


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


def read_bytes(length: int) -> bytes:
    """So many bytes of descriptor 0, and not one more: what follows is for another process."""
    data = bytearray()
    while len(data) < length:
        more = os.read(0, length - len(data))
        if not more:  # the host has gone
            os._exit(0)
        data += more
    return bytes(data)


@contextmanager
def workplace(config: dict[str, Any]) -> Iterator[tuple[str, list[int]]]:
    """An empty folder, made the current one, and a list for the processes that work there.

    Afterwards these, all processes that they started, and all files are gone. Raises Broken if that is not possible.
    """
    folder = kernel.TMP if config["contained"] else temporary_folder()
    os.chdir(folder)
    children = list[int]()
    try:
        yield folder, children
    finally:
        for target in (-1,) if config["contained"] else (-child for child in children):
            with suppress(ProcessLookupError):
                os.kill(target, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        empty(folder)  # or what runs next finds something
        if not config["contained"]:
            os.rmdir(folder)


def forked(work: Callable[[], None]) -> int:
    """The process id of a child that does some work and ends."""
    child = os.fork()
    if child == 0:
        run_and_exit(work)
    return child


class Reports:
    """The lines that a process writes, such as "read", "loaded", and JSON."""

    def __init__(self, descriptor: int, folder: str) -> None:
        self.descriptor, self.folder, self.buffer = descriptor, folder, bytearray()
        self.poll = select.poll()
        self.poll.register(descriptor, select.POLLIN)
        self.poll.register(0, 0)  # only whether the host has gone

    def read(self, deadline: float) -> bytes:
        """The next line; empty if the process has ended without one. Raises OverLimit, and Broken if the host has gone."""
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise OverLimit("timeout", "timeout")
            if (end := self.buffer.find(b"\n")) >= 0:
                break
            ready = dict(self.poll.poll(1e3 * min(left, TICK)))
            if 0 in ready:
                raise Broken("the host has gone")
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


def confine(config: dict[str, Any]) -> None:
    """Give up every privilege of this process and of all that it will start, and set their limits."""
    own = 3 if config["contained"] else count_tasks(os.getuid())  # process 1, and two for a check or a call
    kernel.set_limits(config["memory"], config["disk"], config["files"], config["processes"] + own)
    kernel.drop_capabilities()
    kernel.filter_system_calls(own_signals_only=not config["contained"])


def prepare(config: dict[str, Any], *kept: int) -> None:
    """Give up every descriptor but some, which become 3 and up, and every privilege that is left."""
    if not config["contained"]:
        os.setsid()  # a process group of its own, which the filter lets nothing leave
        confine(config)
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 32) for descriptor in kept]
    null = os.open("/dev/null", os.O_RDWR)
    for place, descriptor in enumerate((null, null, null, *high)):
        os.dup2(descriptor, place)
    os.closerange(3 + len(kept), os.sysconf("SC_OPEN_MAX"))


def described_status(status: int) -> str:
    """How a process ended, given what waiting for it returned."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal, most of which have no name
        return f"ended by signal {-code}"


def count_tasks(uid: int) -> int:
    """The processes and threads of a user: without namespaces, the limit on processes counts them all."""
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if os.stat(f"/proc/{name}").st_uid == uid:
                count += len(os.listdir(f"/proc/{name}/task"))
    return count
