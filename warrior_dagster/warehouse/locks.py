"""Locks between processes, by flock: the kernel releases a lock when the processes that hold it end, even if they are killed.

Without them, two runs on one warehouse would pay for the same completion, start two engines on one GPU, or write one partition
twice. A child process that inherits the descriptor, such as the guard of a server, also holds the lock.
"""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path


def local_folder(warehouse: str) -> Path:
    """The folder of a warehouse's logs and locks: the warehouse itself, or a temporary folder if it is an object store."""
    if "://" not in warehouse:
        return Path(warehouse)
    name = sha256(warehouse.rstrip("/").encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"warrior-{os.getuid()}-{name}")


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
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
