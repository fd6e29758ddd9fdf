"""The sandbox's first process: enters the namespaces, loads Python once, and forks a supervisor for each program.

It never reads a program, so no program can find another in its memory. The guest modules use the standard library only: the
sandbox has nothing else. Messages on descriptor 1: the supervisor's, ["ready"], and after each program ["over", wait status].
"""

import gc
import os
import signal
from contextlib import suppress
from typing import Any

from warrior_dagster.sandbox.guest import kernel
from warrior_dagster.sandbox.guest.installed_modules import allow_modules
from warrior_dagster.sandbox.guest.kernel import TMP
from warrior_dagster.sandbox.guest.supervisor import run_and_exit, send, supervise


def serve(config: dict[str, Any]) -> None:
    """Run one program for each byte on descriptor 0. Without nesting, run one program and end."""
    kernel.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python's handler would let code interrupt process 1
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")  # the first to be killed when memory runs out
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY) if os.path.isdir("/proc") else -1
    if config["builds_root"]:
        build_root(config, proc)
    if (uid := config["uid"]) is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # so that its own user may write its uid and gid maps
    kernel.die_with_parent()  # a change of user resets it
    os.environ.clear()
    if config["modules"]:
        allow_modules(config["modules"], contained=config["contained"])
    gc.freeze()  # a collection in a fork then writes to, and so copies, no memory of this process
    send("ready")
    while os.read(0, 1):
        if not config["nested"]:
            supervise(config)
            return
        child = os.fork()
        if child == 0:
            run_and_exit(lambda: supervise_in_namespaces(config, proc))
        send("over", os.waitpid(child, 0)[1])


def build_root(config: dict[str, Any], proc: int) -> None:
    """Enter new namespaces with a new root: what Python needs, read-only, and an empty TMP. Returns as process 1."""
    namespaces = kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP
    namespaces |= kernel.CLONE_NEWNET | kernel.CLONE_NEWPID
    enter_namespaces(namespaces | (0 if config["uid"] is not None else kernel.CLONE_NEWUSER), proc)
    become_first_process()
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", TMP, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=755")
    os.mkdir(f"{TMP}/old")
    kernel.pivot_root(TMP, f"{TMP}/old")
    os.chdir("/")
    for path in [*config["visible_paths"], "/dev/null"]:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.islink(f"/old{path}"):
            os.symlink(os.readlink(f"/old{path}"), path)
            continue
        if os.path.isdir(f"/old{path}"):
            os.makedirs(path, exist_ok=True)
        else:
            os.close(os.open(path, os.O_CREAT))
        kernel.bind_mount(f"/old{path}", path, read_only=path != "/dev/null")
    for path in config["hidden_paths"]:
        kernel.mount("tmpfs", path, "tmpfs", kernel.MS_RDONLY, "size=4k,mode=755")
    if config["modules"]:
        os.mkdir(kernel.MODULES)
    for name, path in config["modules"].items():
        target = f"{kernel.MODULES}/{name}"
        if os.path.isdir(f"/old{path}"):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT))
        kernel.bind_mount(f"/old{path}", target)
    os.mkdir(TMP)
    kernel.mount_tmp(config["disk"])
    kernel.unmount("/old")
    os.rmdir("/old")
    kernel.mount("", "/", "", kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV)


def supervise_in_namespaces(config: dict[str, Any], proc: int) -> None:
    """Supervise one program in its own namespaces, nested in the sandbox's."""
    namespaces = kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    enter_namespaces(namespaces | kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID, proc)
    become_first_process()
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    if os.path.isdir("/proc"):
        kernel.mount("tmpfs", "/proc", "tmpfs", kernel.MS_RDONLY, "size=4k,mode=755")
    kernel.mount_tmp(config["disk"])
    supervise(config)


def enter_namespaces(namespaces: int, proc: int) -> None:
    """Enter new namespaces. A new user namespace maps only the current user. `proc` is a descriptor of /proc."""
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare(namespaces)
    if namespaces & kernel.CLONE_NEWUSER:
        for name, content in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            file = os.open(f"self/{name}", os.O_WRONLY, dir_fd=proc)
            os.write(file, content.encode())
            os.close(file)


def become_first_process() -> None:
    """Fork and return in the child, process 1 of the new namespace. The parent waits for it and exits 0 if it did, else 1."""
    kernel.die_with_parent()
    child = os.fork()
    if child:
        os.closerange(0, 2)
        os._exit(0 if os.waitpid(child, 0)[1] == 0 else 1)
    kernel.die_with_parent()
