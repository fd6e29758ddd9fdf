"""Enters new namespaces with a root folder that has only what Python needs."""

import os
from typing import Any

from warrior_dagster.sandbox.guest import kernel
from warrior_dagster.sandbox.guest.kernel import TMP


def build_root(config: dict[str, Any]) -> None:
    """Enter new namespaces with a new root: what Python needs, read-only, and an empty TMP. Returns as process 1."""
    namespaces = kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP
    enter_namespaces(namespaces | kernel.CLONE_NEWNET | kernel.CLONE_NEWPID, own_user=config["uid"] is None)
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


def enter_namespaces(namespaces: int, *, own_user: bool) -> None:
    """Enter new namespaces. own_user: also a user namespace, which maps only the current user."""
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare(namespaces | (kernel.CLONE_NEWUSER if own_user else 0))
    if own_user:
        for name, content in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(content)


def become_first_process() -> None:
    """Fork and return in the child, process 1 of the new namespace. The parent waits for it and exits 0 if it did, else 1."""
    kernel.die_with_parent()
    child = os.fork()
    if child:
        os.closerange(0, 2)
        os._exit(0 if os.waitpid(child, 0)[1] == 0 else 1)
    kernel.die_with_parent()
