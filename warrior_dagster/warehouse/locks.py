"""Locks between processes, by flock: the kernel releases a lock when the processes that hold it end, even if they are killed.

Without them, two runs on one warehouse would pay for the same completion, start two engines on one GPU, or write one partition
twice. A child process that inherits the descriptor, such as the guard of a server, also holds the lock.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def opened(path: str | Path, flags: int) -> int:
    """Open a file, which is created if missing, with its folders: an `opener` of `open`. A link is refused. Raises OSError.

    What is created in a folder that is closed to others is closed to others; elsewhere the umask decides.
    """
    permissions = made_folder(Path(path).parent)
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, permissions & 0o666)


def made_folder(folder: Path) -> int:
    """Create a folder and its parents if missing; returns the permissions of what is created in it, before the umask."""
    if not folder.is_dir():
        folder.mkdir(made_folder(folder.parent), exist_ok=True)
    return 0o777 if folder.stat().st_mode & 0o077 else 0o700


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file. Raises FileNotFoundError."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def file_lock(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Hold the lock of a file, which is created if missing; yields its descriptor.

    `on_wait` is called once if another process holds the lock.
    """
    descriptor = opened(path, os.O_RDWR)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
