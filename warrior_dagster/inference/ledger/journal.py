"""What was appended and is not yet in the ledger's table, in files of JSON lines: a killed process loses none of it.

Appending a line takes microseconds, a write of the table milliseconds, and tens of them beside busy processes. The files are on
this machine, also if the table is in an object store. A writer holds locks on its two files. A process that gets the lock of a
file knows that its writer was killed.
"""

import fcntl
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex
from typing import IO, Any

from warrior_dagster.warehouse.locks import opened
from warrior_dagster.warehouse.state import local_folder


class Journal:
    """The two files of one writer. Rows are added to one of them; the other has rows that are being written to the table."""

    def __init__(self, folder: Path) -> None:
        """Create the files. Call it under the ledger's lock, or another process might lock them first. Raises OSError."""
        name = token_hex(8)
        self._files = [locked(folder / f"{name}-{number}.jsonl") for number in range(2)]

    def append(self, row: dict[str, Any]) -> None:
        """Add a row. It survives the end of this process, at any moment. Raises OSError."""
        text = json.dumps(row | {"created_at": row["created_at"].isoformat()}).encode()
        line = digest(text) + b" " + text + b"\n"
        if self._files[0].write(line) != len(line):
            raise OSError("the disk is full")

    def turn(self) -> None:
        """Add what follows to the other file, because the rows so far are about to be written to the table."""
        self._files.reverse()

    def written(self) -> None:
        """Remove the rows before the last turn: they are in the table, and so is everything that earlier turns left there."""
        self._files[1].truncate(0)

    def close(self, remove: bool) -> None:
        """Release the files; without `remove`, the next writer that opens the ledger takes their rows."""
        for file in self._files:
            if remove:
                Path(file.name).unlink(missing_ok=True)
            file.close()


def folder_of(uri: str) -> Path:
    """The folder of the journals of a warehouse's ledger."""
    return local_folder(uri) / "journal"


def locked(path: Path) -> IO[bytes]:
    """A file open for appending without a buffer, with its lock. Raises BlockingIOError if another process has the lock."""
    file = open(path, "ab", buffering=0, opener=opened)  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    return file


def left_behind(folder: Path) -> Iterator[IO[bytes]]:
    """The files of writers that were killed, each open and locked. Call it under the ledger's lock."""
    for path in sorted(folder.glob("*.jsonl")):
        try:
            file = locked(path)
        except BlockingIOError:
            continue
        with file:
            yield file


def rows_in(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """The rows of some files, by key; the first of a key counts. Lines that are cut off or damaged are left out."""
    rows: dict[str, dict[str, Any]] = {}
    for path in paths:
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:  # its writer has ended since the folder was listed
            continue
        for mark, _, text in (line.partition(b" ") for line in lines):
            if text and mark == digest(text):
                row = json.loads(text)
                rows.setdefault(row["key"], row | {"created_at": datetime.fromisoformat(row["created_at"])})
    return rows


def digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=8).hexdigest().encode()
