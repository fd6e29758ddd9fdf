"""The ways to isolate a sandbox, and the command that starts one.

- bubblewrap: `bwrap` makes the namespaces (processes, mounts, network, users) and a root with only what Python needs.
- namespaces: the same by direct system calls, without the tool.
- limits: no isolation. Resource limits, no sockets and no signals to other processes; but the code can read what its user can
  read, and files that it writes outside its folder remain.

A sandbox runs one check at a time, and ends all processes of one before the next. Its process 1, and all that it starts, have
no privilege, not even that of a user namespace.
"""

import marshal
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import asdict, dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Literal

from warrior_dagster.sandbox.guest import (
    answer_process,
    canonical,
    check_names,
    check_process,
    children,
    conversation,
    folders,
    installed_modules,
    kernel,
    loaded_process,
    namespaces,
    observing,
    remote,
    supervisor,
    values,
)
from warrior_dagster.sandbox.modules import module_files

Level = Literal["bubblewrap", "namespaces", "limits"]
ISOLATING_LEVELS: tuple[Level, ...] = ("bubblewrap", "namespaces")  # the levels that isolate, best first
ALLOWED_LEVELS: dict[str, tuple[Level, ...]] = {"required": ISOLATING_LEVELS, "limits": (*ISOLATING_LEVELS, "limits")}
"""The levels that each policy allows, best first: `required` insists on isolation, `limits` does not."""
INSTALL_HINT = "install bubblewrap (`apt-get install bubblewrap`), or let this user make namespaces (user.max_user_namespaces, \
and in containers --security-opt seccomp=unconfined or CAP_SYS_ADMIN), or allow the level `limits`, which does not isolate"

# Descriptor 0 first brings the compiled guest modules: no file of the project is visible in the sandbox.
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
module.serve(config)
"""
SYSTEM_PATHS = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/usr/share/zoneinfo")
sandbox_numbers = count()


class IsolationError(RuntimeError):
    """No allowed level works on this machine. The message has the reason for each level and what to install."""


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """What one check may use, including the loading of its code. To be observed, loading and each call may use as much."""

    seconds: float = 2.0  # wall-clock and CPU, on the idle reference machine (see `pool.slowdown`)
    memory: int = 512 << 20  # bytes per process; callers with settings of their own pass theirs
    disk: int = 16 << 20  # bytes of files
    files: int = 64  # open at once
    processes: int = 32  # with their threads
    modules: tuple[str, ...] = ()  # installed modules, beside the standard library, with what they depend on


def start(level: Level, limits: ResourceLimits) -> "subprocess.Popen[bytes]":
    """Start a sandbox, which then sends ["ready"] (see guest/supervisor.py). Raises IsolationError and ModuleMissing."""
    contained = level != "limits"
    if not contained and sandbox_uid() is not None and not open_to_all(interpreter()):
        raise IsolationError(f"root runs the level `limits` as another user, who cannot read the interpreter, {interpreter()}")
    config: dict[str, Any] = {
        "contained": contained,
        "counts_files": level != "namespaces",  # whose mount limits them
        "builds_root": level == "namespaces",
        "visible_paths": visible_paths(),
        "hidden_paths": hidden_paths(),
        "uid": sandbox_uid(),
        **asdict(limits),
        "modules": module_files(limits.modules),
    }
    blob = marshal.dumps((config, guest_modules()))
    command = [interpreter(), "-s", "-P", "-S", "-X", "utf8", "-c", LOADER, str(len(blob))]
    if level == "bubblewrap":
        command = [*bubblewrap_command(limits.disk, config["modules"]), *command]
    environment = {"PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "2"}  # a fixed seed gives sets the same order in every sandbox
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen(  # in a session of its own: process 1 of the sandbox is in the group that is killed
        command, stdin=pipe, stdout=pipe, stderr=null, env=environment, cwd="/", bufsize=0, start_new_session=True
    )
    assert process.stdin
    try:
        kernel.write_all(process.stdin.fileno(), blob)
    except OSError:
        process.kill()
    return process


def bubblewrap_command(disk: int, modules: dict[str, str]) -> list[str]:
    """The start of a command line that runs the rest of it in a sandbox. Raises IsolationError if bwrap is not installed."""
    found = shutil.which("bwrap")
    if found is None:
        raise IsolationError("bwrap is not on the PATH")
    command = [found, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    command += ["--die-with-parent", "--as-pid-1"]
    # If this is root, the supervisor becomes an unprivileged user: in bwrap's user namespace it would still be root outside.
    command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if sandbox_uid() is not None else ["--unshare-user"]
    # Otherwise bwrap makes the parent folders inaccessible to users other than root.
    for folder in dict.fromkeys(str(f) for path in ("/dev/null", *visible_paths()) for f in reversed(Path(path).parents)):
        command += ["--perms", "0755", "--dir", folder] if folder != "/" else []
    command += ["--dev-bind", "/dev/null", "/dev/null"]
    for path in visible_paths():
        command += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind", path, path]
    for path in hidden_paths():
        command += ["--tmpfs", path, "--remount-ro", path]
    command += ["--perms", "0755", "--dir", kernel.MODULES] if modules else []
    for name, path in modules.items():
        command += ["--ro-bind", path, f"{kernel.MODULES}/{name}"]
    return [*command, "--perms", "1777", "--size", str(disk), "--tmpfs", "/tmp", "--remount-ro", "/", "--"]


@cache
def visible_paths() -> list[str]:
    """The interpreter, its library and the system's libraries, each folder before what it contains."""
    shown: list[str] = []
    for path in (*SYSTEM_PATHS, interpreter(), str(Path(sys.base_prefix, "lib")), sysconfig.get_path("stdlib")):
        if os.path.exists(path) and not any(path == p or (path.startswith(f"{p}/") and not os.path.islink(p)) for p in shown):
            shown.append(path)
    return shown


@cache
def hidden_paths() -> list[str]:
    """Folders below the visible paths that stay hidden: the packages installed for the interpreter."""
    folder = Path(sysconfig.get_path("stdlib"), "site-packages")
    return [str(folder)] if folder.is_dir() else []


@cache
def interpreter() -> str:
    """The path of the interpreter itself, not of a virtual environment's link to it."""
    return os.path.realpath(sys.executable)


def sandbox_uid() -> int | None:
    """The user id of the sandbox if this process is root; None if it is not, or its user namespace maps no other user.

    A new id each time if enough are mapped, because the limit on processes counts those of all sandboxes with the same id.
    """
    if os.getuid() != 0:
        return None
    lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    mapped = [(first, first + length) for first, _, length in (map(int, line.split()) for line in lines)]
    candidates = (0x70000000 + (os.getpid() % 100_000) * 1000 + next(sandbox_numbers) % 1000, 65534)
    return next((uid for uid in candidates if any(first <= uid < end for first, end in mapped)), None)


def open_to_all(path: str) -> bool:
    return all(os.stat(folder).st_mode & 0o001 for folder in Path(path).parents) and bool(os.stat(path).st_mode & 0o004)


@cache
def guest_modules() -> list[tuple[str, Any]]:
    """The compiled modules of the guest, each after those that it imports."""
    packages = ("warrior_dagster", "warrior_dagster.sandbox", "warrior_dagster.sandbox.guest")
    own = [kernel, values, conversation, answer_process, remote, check_names, check_process]
    own += [folders, installed_modules, namespaces, children, canonical, loaded_process, observing, supervisor]
    compiled = [(m.__name__, compile(Path(str(m.__file__)).read_bytes(), m.__name__, "exec")) for m in own]
    return [*((name, None) for name in packages), *compiled]
