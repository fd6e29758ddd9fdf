"""What runs inside the sandbox: a keeper that stays, a supervisor a program, a process a check in which the tested code runs.

The keeper loads Python once, and forks for each program into new namespaces: a fork takes a tenth of an interpreter's start.
It never reads a program, so that none can find another's text in its memory. The supervisor is process 1 of those namespaces:
what it leaves, Linux kills. It passes lines between the tested code and the judging process outside, and measures the time.
Only the standard library: in the sandbox there is nothing else. Talks on descriptors 0 and 1, a line of JSON a message.
"""

import gc
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
from warrior_dagster.sandbox.guest.check_runner import Channel, run
from warrior_dagster.sandbox.value_codec import LOADING, MOST_CHARS

MOST_LINES = 10_000
"""Lines a check, a line an assert: enough for loops."""
TMP = "/tmp"


def keep(config: dict[str, Any]) -> None:
    """The keeper: a program for each byte that comes."""
    kernel.dies_with_parent()
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")  # if memory runs out, this goes first
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY) if os.path.isdir("/proc") else -1
    if config["builds"]:
        build(config, proc)
    if config["uid"] is not None:
        os.setgroups([])
        os.setresgid(config["uid"], config["uid"], config["uid"])
        os.setresuid(config["uid"], config["uid"], config["uid"])
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # its own user's, so that it may write its maps of users
    kernel.dies_with_parent()  # lost with a change of user
    gc.freeze()  # a collection in a fork touches, and so copies, nothing of this
    say("ready")
    while os.read(0, 1):
        if not config["nested"]:
            supervise(config)
            return
        child = os.fork()
        if child == 0:
            guarded(lambda: enter(config, proc))
        say("over", os.waitpid(child, 0)[1])


def guarded(work: Callable[[], None]) -> NoReturn:
    """In a child: end with it, whatever happens."""
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:  # nothing may get back into the parent's code
        with suppress(OSError):
            say("broken", f"{type(error).__name__}: {error}")
    finally:
        os._exit(status)


def say(*message: Any) -> None:
    """A line to the judging process."""
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(1, data) :]


def build(config: dict[str, Any], proc: int) -> None:
    """Go into new namespaces with a root of their own: what Python needs, read-only, and an empty TMP. Returns as process 1."""
    namespaces = kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP
    namespaces |= kernel.CLONE_NEWNET | kernel.CLONE_NEWPID
    into(namespaces | (0 if config["uid"] is not None else kernel.CLONE_NEWUSER), proc)
    follow()
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", TMP, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=755")
    os.mkdir(f"{TMP}/old")
    kernel.pivot_root(TMP, f"{TMP}/old")
    os.chdir("/")
    for path in [*config["view"], "/dev/null"]:
        if os.path.islink(f"/old{path}"):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.symlink(os.readlink(f"/old{path}"), path)
            continue
        if os.path.isdir(f"/old{path}"):
            os.makedirs(path, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.close(os.open(path, os.O_CREAT))
        kernel.bind(f"/old{path}", path, read_only=path != "/dev/null")
    for path in config["hidden"]:
        kernel.mount("tmpfs", path, "tmpfs", kernel.MS_RDONLY, "size=4k,mode=755")
    os.mkdir(TMP)
    scratch(config["disk"])
    kernel.unmount("/old")
    os.rmdir("/old")
    kernel.mount("", "/", "", kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV)


def enter(config: dict[str, Any], proc: int) -> None:
    """Supervise one program in namespaces of its own, within the sandbox' ones."""
    namespaces = kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    into(namespaces | kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID, proc)
    follow()
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    if os.path.isdir("/proc"):
        kernel.mount("tmpfs", "/proc", "tmpfs", kernel.MS_RDONLY, "size=4k,mode=755")
    supervise(config)


def into(namespaces: int, proc: int) -> None:
    """New namespaces, with this user as the only one where users are among them."""
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare(namespaces)
    if namespaces & kernel.CLONE_NEWUSER:
        for name, content in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            file = os.open(f"self/{name}", os.O_WRONLY, dir_fd=proc)
            os.write(file, content.encode())
            os.close(file)


def follow() -> None:
    """Go on as process 1 of the new namespace; the process that made it only waits and ends alike."""
    kernel.dies_with_parent()
    child = os.fork()
    if child:
        os.closerange(0, 2)
        status = os.waitpid(child, 0)[1]
        os._exit(0 if status == 0 else 1)
    kernel.dies_with_parent()


def scratch(size: int) -> None:
    """An empty TMP of so many bytes."""
    kernel.mount("tmpfs", TMP, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"size={size},nr_inodes=4096,mode=1777")


class Lines:
    """Lines of a descriptor, none longer than the most that a check may say."""

    def __init__(self, descriptor: int) -> None:
        """Nothing read yet."""
        self.descriptor, self.kept = descriptor, bytearray()

    def read(self, deadline: float | None = None) -> bytes | None:
        """The next line; None when the time is over, EOFError at the end or when a line is too long.

        With a deadline, the end of descriptor 0 is the end of all: whoever asked is gone.
        """
        searched = 0
        while (end := self.kept.find(b"\n", searched)) < 0:
            searched = len(self.kept)
            if deadline is not None:
                left = deadline - time.monotonic()
                ready = select.select([self.descriptor, 0], [], [], left)[0] if left > 0 else []
                if 0 in ready:
                    raise SystemExit
                if not ready:
                    return None
                if searched > 8 * MOST_CHARS:
                    raise EOFError
            data = os.read(self.descriptor, 1 << 16)
            if not data:
                raise EOFError
            self.kept += data
        line = bytes(self.kept[:end])
        del self.kept[: end + 1]
        return line


def supervise(config: dict[str, Any]) -> None:
    """Run the checks of the program that comes on descriptor 0, nothing left of one when the next begins."""
    outside = Lines(0)
    job = json.loads(outside.read() or b"")
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    try:
        code = compile(job["code"], "answer.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        say("unloadable", f"{type(error).__name__}: {error}")
        return
    for number, check in enumerate(job["checks"]):
        started = time.monotonic()
        how = one_check(config, job, code, check, outside)
        say("end", number, how, time.monotonic() - started)
        if how == "quit" or how.endswith(LOADING):
            break
    say("done")


def one_check(config: dict[str, Any], job: dict[str, Any], code: CodeType, check: dict[str, Any], outside: Lines) -> str:
    """How the process ended in which the tested code ran; it and all that it started are gone then, and so are its files."""
    ours, theirs = socket.socketpair()
    token = os.urandom(16).hex()
    folder = TMP
    if config["nested"]:
        scratch(config["disk"])
    elif not config["contained"]:
        folder = tempfile.mkdtemp()
    child = os.fork()
    if child == 0:
        guarded(lambda: tested(config, job, code, check, Channel(theirs.detach(), token), folder))
    theirs.close()
    try:
        return relay(ours, child, token, time.monotonic() + job["seconds"], outside)
    finally:
        with suppress(ProcessLookupError):
            os.kill(-1 if os.getpid() == 1 else -child, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        ours.close()
        if config["nested"]:
            kernel.unmount(TMP)
        elif not config["contained"]:
            shutil.rmtree(folder, ignore_errors=True)


def relay(ours: socket.socket, child: int, token: str, deadline: float, outside: Lines) -> str:
    """Pass on what the check says, and the answers; how it ended."""
    lines = Lines(ours.fileno())
    loaded = False
    for _ in range(MOST_LINES):
        try:
            line = lines.read(deadline)
        except (EOFError, OSError):
            return ending(child) + ("" if loaded else LOADING)
        if line is None:
            return "timeout" if loaded else f"timeout{LOADING}"
        if not line.startswith(token.encode()):
            return "wrote where only the sandbox may"
        text = line[len(token) :]
        if text == b"loaded":
            loaded = True
            continue
        say("say", text.decode(errors="replace"))
        answer = outside.read() or b""
        if answer in (b"next", b"quit"):
            return answer.decode()
        ours.settimeout(max(0.001, deadline - time.monotonic()))
        with suppress(OSError):
            ours.sendall(answer + b"\n")
    return "too many asserts"


def ending(child: int) -> str:
    """How a process ended that says nothing more."""
    for _ in range(50):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            if -code == signal.SIGXCPU:
                return "timeout"
            return f"ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        time.sleep(0.001)
    return "closed the sandbox' descriptor"


def tested(
    config: dict[str, Any], job: dict[str, Any], code: CodeType, check: dict[str, Any], channel: Channel, folder: str
) -> None:
    """In the check's own process: give up everything, then let the tested code run."""
    os.setsid()
    nothing = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    channel.move(3)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    os.chdir(folder)
    os.environ.clear()
    processes = config["processes"] + (0 if config["contained"] else tasks_of(os.getuid()))
    kernel.limit(config["memory"], job["cpu"], config["disk"], config["files"], processes)
    kernel.no_capabilities()
    kernel.filter_calls(own_signals_only=not config["contained"])
    run(code, check, channel)


def tasks_of(uid: int) -> int:
    """Processes and threads of a user: where there are no namespaces, the limit on processes counts them all."""
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if os.stat(f"/proc/{name}").st_uid == uid:
                count += len(os.listdir(f"/proc/{name}/task"))
    return count
