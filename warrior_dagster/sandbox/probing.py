"""Finds the best isolation that works on this machine, by running code in it that must work and code that must be stopped."""

from functools import cache

from warrior_dagster.sandbox.host import Sandbox
from warrior_dagster.sandbox.isolation import INSTALL_HINT, IsolationError, Level, ResourceLimits

PROBE_SECONDS = 20.0  # time limit where a slow machine must not fail a check
PROBE_CODE = """
import os, socket, threading

def visible_paths():
    import asyncio, decimal
    return list(filter(os.path.exists, ("/etc/passwd", "/etc/shadow", "/var/log", "/sys", "/bin/sh", "/proc/self")))

def writable_path():
    for path in ("/written", "/usr/written", os.__file__):
        try:
            open(path, "a").close()
        except OSError:
            continue
        return path

def reaches_network():
    try:
        socket.socket().connect(("127.0.0.1", 9))
    except ConnectionRefusedError:
        return True  # a loopback interface exists, and maybe others
    except OSError:
        return False

def fork_and_thread():
    child = os.fork()
    if child == 0:
        os._exit(7)
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""
PROBE_CHECKS = (
    "import asyncio, decimal",
    "assert fork_and_thread() == 7",
    "assert writable_path() is None",
    "assert reaches_network() is False",
    "assert visible_paths() == []",
)  # the level `limits` is exempt from the last one


def best_level(levels: tuple[Level, ...]) -> Level:
    """The first of the levels that works on this machine. Raises IsolationError."""
    reasons = []
    for level in levels:
        if not (reason := probe(level)):
            return level
        reasons.append(f"{level}: {reason}")
    raise IsolationError(f"generated code cannot be isolated on this machine; {INSTALL_HINT}\n" + "\n".join(reasons))


@cache
def probe(level: Level) -> str:
    """Why a level does not work on this machine; empty if it works. Tried once per process."""
    sandbox = Sandbox(level, ResourceLimits(PROBE_SECONDS))
    checks = PROBE_CHECKS[:-1] if level == "limits" else PROBE_CHECKS
    try:
        run = sandbox.run(PROBE_CODE, checks)
    except IsolationError as error:
        return str(error)
    finally:
        sandbox.close()
    failures = [f"{check}: {reason}" for check, reason in zip(checks, run.reasons, strict=True) if reason]
    return run.error or ", ".join(failures)
