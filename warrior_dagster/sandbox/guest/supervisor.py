"""The sandbox's process 1: enters the namespaces, loads Python once, and forks two processes for each check.

One process is for the code under test and one for the check itself. This process reads neither, so no code finds a check or
other code in the memory that it inherits. It measures the time, and ends every process that a check leaves behind.

For each check, descriptor 0 brings its seconds, which are for this process, and then a text, which is for the check's process.
Messages leave on descriptor 1 as a line of JSON each: ["ready"], then ["end", outcome, reason, seconds] for each check, or
["broken", reason].
"""

import fcntl
import gc
import json
import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from warrior_dagster.sandbox.guest import kernel
from warrior_dagster.sandbox.guest.answer_process import run_answer
from warrior_dagster.sandbox.guest.check_process import run_check
from warrior_dagster.sandbox.guest.folders import MAX_FILES, Broken, empty, has_too_many_files, temporary_folder
from warrior_dagster.sandbox.guest.installed_modules import allow_modules
from warrior_dagster.sandbox.guest.namespaces import build_root

HEADER = 16  # bytes of each number on descriptor 0
TICK = 0.05  # seconds between looks at the folder of a check
START_SECONDS = 10.0  # until a check's process has read its check
MAX_REPORT = 10_000  # bytes


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


def serve(config: dict[str, Any]) -> None:
    """Run one check after another until the host goes."""
    kernel.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python's handler would let code interrupt process 1
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")  # the first to be killed when memory runs out
    if config["builds_root"]:
        build_root(config)
    if (uid := config["uid"]) is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    kernel.die_with_parent()  # a change of user resets it
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    os.environ.clear()
    for name in [name for name in sys.modules if name.startswith("warrior_dagster")]:
        del sys.modules[name]  # the code imports none of these
    if config["modules"]:
        allow_modules(config["modules"], contained=config["contained"])
    if config["contained"]:
        confine(config)
    gc.freeze()  # a collection in a fork then writes to, and so copies, no memory of this process
    send("ready")
    while True:
        seconds = float(read_bytes(HEADER))
        try:
            send("end", *run_one(config, seconds))
        except Broken as error:
            send("broken", str(error))
            return


def read_bytes(length: int) -> bytes:
    """So many bytes of descriptor 0, and not one more: what follows is for another process."""
    data = bytearray()
    while len(data) < length:
        more = os.read(0, length - len(data))
        if not more:  # the host has gone
            os._exit(0)
        data += more
    return bytes(data)


def confine(config: dict[str, Any]) -> None:
    """Give up every privilege of this process and of all that it will start, and set their limits."""
    own = 3 if config["contained"] else count_tasks(os.getuid())  # this process, and two for a check
    kernel.set_limits(config["memory"], config["disk"], config["files"], config["processes"] + own)
    kernel.drop_capabilities()
    kernel.filter_system_calls(own_signals_only=not config["contained"])


def run_one(config: dict[str, Any], seconds: float) -> tuple[str, str, float]:
    """Run one check: its outcome, reason and seconds. Its processes, all that these started, and its files are then gone."""
    to_check, from_answer = os.pipe()
    to_answer, from_check = os.pipe()
    reports, verdicts = os.pipe()
    folder = kernel.TMP if config["contained"] else temporary_folder()
    os.chdir(folder)
    lines, children = Reports(reports, folder if config["counts_files"] else ""), list[int]()
    try:
        children.append(forked(lambda: check_process(config, seconds, to_check, from_check, verdicts)))
        children.append(forked(lambda: answer_process(config, seconds, to_answer, from_answer)))
        for descriptor in (to_check, from_answer, to_answer, from_check, verdicts):
            os.close(descriptor)
        return verdict(lines, children[0], children[1], seconds)
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


def forked(work: Callable[[], None]) -> int:
    """The process id of a child that does some work and ends."""
    child = os.fork()
    if child == 0:
        run_and_exit(work)
    return child


def verdict(lines: "Reports", check: int, answer: int, seconds: float) -> tuple[str, str, float]:
    """The outcome of a running check, why it did not pass, and its seconds. Raises Broken if nothing has read the check."""
    first = b""
    with suppress(OverLimit):
        first = lines.read(time.monotonic() + START_SECONDS)
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


def answer_process(config: dict[str, Any], seconds: float, *pipes: int) -> NoReturn:
    """Run the code under test, which the check's process sends."""
    prepare(config, seconds, *pipes)
    run_answer(3, 4)


def check_process(config: dict[str, Any], seconds: float, *pipes: int) -> NoReturn:
    """Read some code and a check, and run it."""
    code, check = json.loads(read_bytes(int(read_bytes(HEADER))))
    prepare(config, seconds, *pipes)
    kernel.write_all(5, b"read\n")
    run_check(check, code, sorted(config["modules"]), 3, 4, 5)


def prepare(config: dict[str, Any], seconds: float, *kept: int) -> None:
    """Give up every descriptor but some, which become 3 and up, and start to count CPU time."""
    if not config["contained"]:
        os.setsid()  # a process group of its own, which the filter lets nothing leave
        confine(config)
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 32) for descriptor in kept]
    null = os.open("/dev/null", os.O_RDWR)
    for place, descriptor in enumerate((null, null, null, *high)):
        os.dup2(descriptor, place)
    os.closerange(3 + len(kept), os.sysconf("SC_OPEN_MAX"))
    kernel.limit_cpu(math.ceil(seconds))


def count_tasks(uid: int) -> int:
    """The processes and threads of a user: without namespaces, the limit on processes counts them all."""
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if os.stat(f"/proc/{name}").st_uid == uid:
                count += len(os.listdir(f"/proc/{name}/task"))
    return count
