"""A child process that never outlives this one.

A guard process (this file as a script, so with the standard library only) runs the command in its own process group and holds
a pipe from us. However we end, even by `kill -9`, the pipe closes and the guard kills the group: a GPU's memory is free again.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

GRACE_SECONDS = 10.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


@contextmanager
def guarded_process(
    command: list[str], environment: dict[str, str], *, log: Path, lock: int | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command under a guard, with its output appended to `log`; yields the guard, which ends when the command ends.

    Leaving kills the command and all it started. The guard holds `lock`, a file descriptor, until they have ended.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    guarded, kept = [sys.executable, "-P", "-S", "-E", __file__, *command], () if lock is None else (lock,)
    with log.open("ab") as out:
        process = subprocess.Popen(
            guarded, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, env=environment, pass_fds=kept
        )
    try:
        yield process
    finally:
        assert process.stdin
        with suppress(OSError):
            process.stdin.close()
        process.wait()


def guard(command: list[str]) -> int:
    """Run a command until it ends or standard input closes; kill all it started. Returns its exit status, as a shell would."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # the pipe closes when our parent ends; nothing else may end the guard
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans of the command become our children, so we can wait for them
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=default_signals)  # noqa: PLW1509
    while child.poll() is None:
        if select.select([0], [], [], 0.2)[0]:  # nothing is ever written to the pipe: readable means closed
            break
    deadline = time.monotonic() + GRACE_SECONDS
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    status = child.wait()
    while orphans_left() and time.monotonic() < deadline + GRACE_SECONDS:
        time.sleep(0.02)
    return status if status >= 0 else 128 - status


def orphans_left() -> bool:
    """Whether a process that the command started still runs. Reaps those that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def default_signals() -> None:
    """In the child, before the command starts: die with the guard, and handle signals as usual again."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(guard(sys.argv[1:]))
