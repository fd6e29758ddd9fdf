"""Which isolation this machine has, found out by really running something in each; and the command that starts a sandbox.

- bubblewrap: `bwrap` makes the box: namespaces of processes, mounts, network, users, and a root of only what Python needs.
- namespaces: the same without the tool, by the system calls that it makes.
- limits: no box at all. Limits, no sockets and no signals to others, but it reads what its user may read, and files that it
  writes outside its folder stay. Only for who asks for it by name.

Each program gets namespaces of its own within a box that stays. Where Linux refuses such nesting (some distributions let only
bwrap make namespaces), a box serves one check: several times slower, and as tight.
"""

import marshal
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Literal

from warrior_dagster.sandbox import value_codec
from warrior_dagster.sandbox.guest import check_runner, fork_server, kernel

Level = Literal["bubblewrap", "namespaces", "limits"]
ISOLATED: tuple[Level, ...] = ("bubblewrap", "namespaces")
"""The levels that isolate, the best first."""
ALLOWED: dict[str, tuple[Level, ...]] = {"required": ISOLATED, "limits": (*ISOLATED, "limits")}
"""The levels that code may run at, by the YAML's execution.isolation."""
HELP = "install bubblewrap (`apt-get install bubblewrap`), or let this user make namespaces (user.max_user_namespaces, and in \
containers --security-opt seccomp=unconfined or CAP_SYS_ADMIN), or name the level `limits` in the YAML, which isolates nothing"

# Descriptor 0 first brings the sandbox' own modules, compiled; nothing of the project lies in the box.
LOADER = """
import marshal, sys, types
data = open(0, "rb", closefd=False).read(int(sys.argv[1]))
config, modules = marshal.loads(data)
for name, code in modules:
    module = sys.modules[name] = types.ModuleType(name)
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    if code:
        exec(code, vars(module))
del data, modules, code
module.keep(config)
"""
EVERYWHERE = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/usr/share/zoneinfo")
numbers = count()


class IsolationError(RuntimeError):
    """No isolation of the wanted levels is to be had; the message says why for each, and what to install."""


@dataclass(frozen=True, slots=True)
class Box:
    """One way to isolate, as found to work."""

    level: Level
    nested: bool
    """Whether one box serves many programs, each in namespaces of its own."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one check may use: bytes of memory a process, bytes of files, open files, processes and threads together."""

    memory: int = 512 << 20
    disk: int = 16 << 20
    files: int = 64
    processes: int = 32


def start(box: Box, bounds: Bounds) -> "subprocess.Popen[bytes]":
    """A sandbox that is ready to be talked to (see inner.py) once it has said so."""
    contained = box.level != "limits"
    if not contained and nobody() is not None and not open_to_all(interpreter()):
        raise IsolationError(f"root's limits are another user's, who cannot read the interpreter, {interpreter()}")
    config: dict[str, Any] = {
        "nested": box.nested,
        "contained": contained,
        "builds": box.level == "namespaces",
        "view": view(),
        "hidden": hidden(),
        "uid": nobody(),
        "memory": bounds.memory,
        "disk": bounds.disk,
        "files": bounds.files,
        "processes": bounds.processes,
    }
    blob = marshal.dumps((config, modules()))
    command = [interpreter(), "-s", "-P", "-S", "-X", "utf8", "-c", LOADER, str(len(blob))]
    if box.level == "bubblewrap":
        command = [*bubblewrap(box.nested, bounds.disk), *command]
    # A fixed seed of hashes: the order of a set is the same in every sandbox.
    environment = {"PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "2"}
    running = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd="/",
        bufsize=0,
        start_new_session=True,  # one kill of the group ends it all: process 1 of the box is in it
    )
    assert running.stdin
    try:
        send(running, blob)
    except OSError:
        running.kill()
    return running


def send(running: "subprocess.Popen[bytes]", data: bytes) -> None:
    """Write all of it. Raises OSError when the sandbox is gone."""
    assert running.stdin
    left = memoryview(data)
    while left:
        left = left[running.stdin.write(left) :]


def bubblewrap(nested: bool, disk: int) -> list[str]:
    """The start of a command line that runs the rest of it in a box."""
    found = shutil.which("bwrap")
    if found is None:
        raise IsolationError("bwrap is not on the PATH")
    command = [found, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    command += ["--die-with-parent", "--as-pid-1"]
    # As root the sandbox becomes an unprivileged user by itself: bwrap could only make it root by another name.
    command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if nobody() is not None else ["--unshare-user"]
    # Else bwrap closes the folders on the way to those who are not root.
    for folder in dict.fromkeys(str(above) for path in ("/dev/null", *view()) for above in reversed(Path(path).parents)):
        command += ["--perms", "0755", "--dir", folder] if folder != "/" else []
    command += ["--dev-bind", "/dev/null", "/dev/null"]
    for path in view():
        command += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind", path, path]
    for path in hidden():
        command += ["--tmpfs", path, "--remount-ro", path]
    command += ["--proc", "/proc", "--dir", "/tmp"] if nested else ["--perms", "1777", "--size", str(disk), "--tmpfs", "/tmp"]
    return [*command, "--remount-ro", "/", "--"]


@cache
def view() -> list[str]:
    """What is to be seen in a box, folders before what lies in them: this interpreter, its library, the system's libraries."""
    paths = [*EVERYWHERE, interpreter(), str(Path(sys.base_prefix, "lib")), sysconfig.get_path("stdlib")]
    shown: list[str] = []
    for path in paths:
        if os.path.exists(path) and not any(path == p or (path.startswith(f"{p}/") and not os.path.islink(p)) for p in shown):
            shown.append(path)
    return shown


@cache
def hidden() -> list[str]:
    """What lies in the view and is not to be seen: the packages that are installed beside the interpreter's library."""
    folder = Path(sysconfig.get_path("stdlib"), "site-packages")
    return [str(folder)] if folder.is_dir() else []


@cache
def interpreter() -> str:
    """The interpreter itself, not a virtual environment's link to it."""
    return os.path.realpath(sys.executable)


def nobody() -> int | None:
    """For root: whom the sandbox becomes; None for who is not root, or is so only in a namespace without other users.

    Another one each time where there are enough, so that one sandbox' limit on processes counts no other's.
    """
    if os.getuid() != 0:
        return None
    lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    mapped = [(first, first + length) for first, _, length in (map(int, line.split()) for line in lines)]
    wished = (0x70000000 + (os.getpid() % 100_000) * 1000 + next(numbers) % 1000, 65534)
    return next((uid for uid in wished if any(first <= uid < end for first, end in mapped)), None)


def open_to_all(path: str) -> bool:
    """Whether every user may read a file."""
    return all(os.stat(folder).st_mode & 0o001 for folder in Path(path).parents) and bool(os.stat(path).st_mode & 0o004)


@cache
def modules() -> list[tuple[str, Any]]:
    """The sandbox' own modules in the order of their imports, compiled."""
    parents: list[tuple[str, Any]] = [
        ("warrior_dagster", None),
        ("warrior_dagster.sandbox", None),
        ("warrior_dagster.sandbox.guest", None),
    ]
    own = (value_codec, kernel, check_runner, fork_server)
    return parents + [(m.__name__, compile(Path(str(m.__file__)).read_bytes(), m.__name__, "exec")) for m in own]
