"""Where a warehouse keeps what belongs to this machine: locks, logs, and answers that are not in its table yet.

A user who may write there could block runs or forge answers, so the folder of an object store is closed to others.
"""

import os
import shutil
import stat
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from warrior_dagster.warehouse.locks import file_lock, is_locked, opened

LEAST_FREE = 2**28
"""Bytes of a disk with which no run begins: Lance writes rows again before it removes the old ones."""


class UnsafeFolder(PermissionError):
    """The state folder cannot be made, or others may change what is in it; the message names the folder and what to do."""


def no_room(folder: Path) -> str:
    """Why nothing can be written to a folder, or to the one that it would be made in; empty if something can."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return f"expected a folder that can be written; {there} {'cannot' if there.is_dir() else 'is a file'}"
    free = shutil.disk_usage(there).free
    return f"expected at least {LEAST_FREE >> 20} MiB of room; {there} has {free >> 20} left" if free < LEAST_FREE else ""


def local_folder(warehouse: str) -> Path:
    """The folder of a warehouse's logs, locks and journals: the warehouse itself, or a folder of this user's state (see
    `state_folder`) if it is an object store; made if missing. Raises UnsafeFolder.
    """
    if "://" not in warehouse:
        return Path(warehouse)
    name = sha256(warehouse.rstrip("/").encode()).hexdigest()[:16]
    folder = state_folder() / name
    make_private(folder)
    take_over(Path(tempfile.gettempdir(), f"warrior-{os.getuid()}-{name}"), folder)
    return folder


def dagster_home() -> Path:
    """Where Dagster records runs: DAGSTER_HOME, by default `dagster_home` in the working directory."""
    return Path(os.environ.get("DAGSTER_HOME") or "dagster_home").expanduser().resolve()


def state_folder() -> Path:
    """`warrior-dagster` in the folder that XDG_STATE_HOME names, by default ~/.local/state; made if missing.

    Raises UnsafeFolder. The folder that the user names is trusted if it exists; what is made is closed to others.
    """
    named = os.environ.get("XDG_STATE_HOME", "")
    try:
        base = Path(named) if os.path.isabs(named) else Path.home() / ".local" / "state"
    except RuntimeError as error:
        raise UnsafeFolder(f"expected a home folder, or one of your own in XDG_STATE_HOME: {error}") from error
    folder = base / "warrior-dagster"
    missing = [parent for parent in folder.parents if not parent.exists()]
    for one in (*reversed(missing), folder):
        make_private(one)
    return folder


def make_private(folder: Path) -> None:
    """Make a folder that is closed to others, unless it exists. Raises UnsafeFolder if others may change what is in it."""
    try:
        folder.mkdir(0o700, exist_ok=True)
        fault = fault_of(folder)
    except OSError as error:
        fault = str(error)
    if fault:
        expected = "expected a folder that only you may write to, or a place where one can be made"
        raise UnsafeFolder(f"{folder}: {expected}; XDG_STATE_HOME names another place: {fault}")


def fault_of(folder: Path) -> str:
    """Why others may change what is in a folder, or "". Links are not followed. Raises OSError."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return "it is a link or a file"
    if found.st_uid != os.geteuid():
        return f"it belongs to the user {found.st_uid}"
    return "its group or others may write to it" if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""


def take_over(earlier: Path, folder: Path) -> None:
    """Move what killed runs left, and identities, from the temporary folder, where earlier versions kept them.

    Raises UnsafeFolder if it is this user's own, but others may have changed it. A folder of another user is ignored.
    """
    try:
        fault, own = fault_of(earlier), earlier.lstat().st_uid == os.geteuid()
    except FileNotFoundError:
        return
    if fault and own:
        raise UnsafeFolder(f"{earlier}: an earlier version kept answers there, and {fault}. Remove it, or `chmod go-w` it")
    if fault or not left_in(earlier):
        return
    with file_lock(folder / "taking_over.lock"):  # of two processes, the second would empty what the first copied
        for file in left_in(earlier):
            with suppress(FileNotFoundError):  # a process of the earlier version has ended, and removed its journal
                if not is_locked(file):
                    move(file, folder / file.relative_to(earlier))


def left_in(earlier: Path) -> list[Path]:
    """The files of an earlier version's folder that have answers or identities, or show which runs were killed."""
    return [*earlier.glob("journal/*.jsonl"), *earlier.glob("*.json"), *earlier.glob("locks/runs/*")]


def move(file: Path, target: Path) -> None:
    """Move a file to another file system, at once for those who look for `target`. Raises OSError."""
    unfinished = target.with_name(f"{target.name}.new")
    with open(unfinished, "wb", opener=opened) as copy:
        copy.write(file.read_bytes())
    unfinished.replace(target)
    file.unlink()
