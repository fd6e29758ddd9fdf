"""Process 1's part in observing what some code returns: the code is loaded in one process, and each call runs in a fork of it.

This process forks the processes of all programs, so what it reads, later code could find in its memory. So it never reads what
a call returns: those bytes move from one pipe to another within the kernel. Otherwise code could find what other answers
returned, and agree with them. pool.py has the threat model.

The loaded process says whether only itself is left after a call. Where it is not, or the call has left files, or did not end in
time, no further call runs: all is ended, and the host asks for the remaining ones, so the code is loaded again. A process that
lies about this harms only what is observed of its own code.

After the word "observe" and the seconds of a call, descriptor 0 brings the number of calls, and then a text, for the loaded
process. Messages: ["loaded", seconds], then ["observed", how, seconds, length] for each call, each followed by so many bytes
that the call wrote (loaded_process.py has what they should be), and at last ["end", why the code could not be loaded].
"""

import fcntl
import json
import os
import select
import struct
import termios
import time
from contextlib import suppress
from typing import Any, NoReturn

from warrior_dagster.sandbox.guest import kernel
from warrior_dagster.sandbox.guest.children import (
    HEADER,
    MAX_REPORT,
    START_SECONDS,
    OverLimit,
    Reports,
    described_status,
    forked,
    prepare,
    read_bytes,
    send,
    workplace,
)
from warrior_dagster.sandbox.guest.folders import Broken
from warrior_dagster.sandbox.guest.loaded_process import run_calls


def observe(config: dict[str, Any], seconds: float) -> tuple[str]:
    """Run as many calls as one loaded process can: why the code could not be loaded, or empty."""
    count = int(read_bytes(HEADER))
    waiting, going = os.pipe()
    reports, reporting = os.pipe()
    values, returning = os.pipe()
    try:
        with workplace(config) as (folder, children):
            lines = Reports(reports, folder if config["counts_files"] else "")
            children.append(forked(lambda: loaded_process(config, seconds, waiting, reporting, returning)))
            for descriptor in (waiting, reporting, returning):
                os.close(descriptor)
            started = time.monotonic()
            if error := loading_error(lines, seconds):
                return (error,)
            send("loaded", time.monotonic() - started)
            for _ in range(count):
                started = time.monotonic()
                how, goes_on = called(lines, going, started + seconds)
                length = waiting_bytes(values)
                how, length = (how, length) if length <= MAX_REPORT else ("sent too much", 0)
                send("observed", how, time.monotonic() - started, length)
                move(values, 1, length)
                if not goes_on or how == "sent too much" or os.listdir(folder):
                    break
            return ("",)
    finally:
        for descriptor in (going, reports, values):
            os.close(descriptor)


def loading_error(lines: Reports, seconds: float) -> str:
    """Wait until the code is loaded: why it cannot be, or empty. Raises Broken if nothing has read the code."""
    first = b""
    with suppress(OverLimit):
        first = lines.read(time.monotonic() + START_SECONDS)
    if first != b"read":
        raise Broken("the process to load the code did not start")
    try:
        line = lines.read(time.monotonic() + seconds)
    except OverLimit as error:
        return f"{error.args[1]} while loading"
    match parsed(line):
        case ["loaded"]:
            return ""
        case ["not loaded", str(reason)]:
            return reason or "an exception"
    return "the process ended while loading"


def called(lines: Reports, going: int, deadline: float) -> tuple[str, bool]:
    """Let one call run: how its process ended, empty if as it should, and whether the loaded process can go on."""
    try:
        os.write(going, b".")
        line = lines.read(deadline)
    except OverLimit as error:
        return error.args[1], False
    except BrokenPipeError:
        line = b""
    match parsed(line):
        case ["ended", int(status), bool(is_alone)] if 0 <= status <= 0xFFFF:
            how = described_status(status) if status else ""
            return ("timeout" if how == "ended by SIGXCPU" else how), is_alone
    return "the loaded process ended", False


def parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def waiting_bytes(descriptor: int) -> int:
    """How many bytes can be read from a pipe."""
    return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))[0])


def move(source: int, target: int, length: int) -> None:
    """Move so many bytes from a pipe to another one, through no memory of this process."""
    while length:
        try:
            moved = os.splice(source, target, length, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            moved = 0
        length -= moved
        if not moved and not waiting_bytes(source):
            # the code has taken bytes out of the pipe itself: fill up what was announced
            kernel.write_all(target, b" " * length)
            return
        if not moved:
            select.select([], [target], [])


def loaded_process(config: dict[str, Any], seconds: float, *pipes: int) -> NoReturn:
    """Read some code and calls, load the code, and run the calls one by one as process 1 says."""
    code, calls = json.loads(read_bytes(int(read_bytes(HEADER))))
    prepare(config, *pipes)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # what a call leaves behind becomes a child of the loaded process
    kernel.write_all(4, b"read\n")
    run_calls(code, calls, seconds, 3, 4, 5)
