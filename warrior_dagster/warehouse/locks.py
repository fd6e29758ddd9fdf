"""One process at a time: a lock that ends with the processes that hold it, however they end.

Two runs on one warehouse would otherwise pay for the same completion, start two engines on one GPU, or write one partition
twice. The lock is the kernel's (flock): a process that is handed its descriptor, such as the guard of a server, holds it too
until it ends.
"""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path


def machine_folder(warehouse: str) -> Path:
    """Where a warehouse's logs and locks are: in it if it is a folder; for an object store, a folder of this user's here."""
    if "://" not in warehouse:
        return Path(warehouse)
    name = sha256(warehouse.rstrip("/").encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"warrior-{os.getuid()}-{name}")


def is_held(path: Path) -> bool:
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
def our_turn(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Hold the lock of a file, which is made; `waiting` is called once if another process holds it. Yields the descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
