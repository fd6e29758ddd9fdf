"""The hash of a set of rows, in any order: the data version of a partition."""

import json
from hashlib import sha256

import polars as pl

PARTITION = "partition"
SLICE = 10_000
"""Rows hashed, spooled and read at a time, which bounds the memory of a large partition."""


class RowsHash:
    """A hash of rows in any order: the sum of the SHA-256 of each row, modulo 2^256. NaN counts as null.

    It detects accidental changes. It does not resist an attacker who can choose rows.
    """

    def __init__(self) -> None:
        self.rows, self._sum, self._columns = 0, 0, ""

    def update(self, frame: pl.DataFrame) -> None:
        """Add rows. The partition is not hashed."""
        columns = sorted(c for c in frame.columns if c != PARTITION)
        vectors = [c for c in columns if frame.schema[c] == pl.Array(pl.Float32, shape=getattr(frame.schema[c], "shape", 1))]
        self._columns = repr([(c, str(frame.schema[c])) for c in columns])
        for rows in frame.select(columns).iter_slices(SLICE):
            lines = rows.drop(vectors).write_ndjson().encode().split(b"\n")
            numbers = [rows[c].to_numpy() for c in vectors]
            for i in range(len(rows)):
                self._sum += int.from_bytes(sha256(b"".join([lines[i], *(n[i].tobytes() for n in numbers)])).digest(), "big")
        self.rows += len(frame)

    def hexdigest(self) -> str:
        """The hash of the columns and of all rows so far."""
        return sha256(json.dumps([self._columns, self.rows, self._sum % 2**256]).encode()).hexdigest()


def rows_sha256(rows: pl.DataFrame) -> str:
    rows_hash = RowsHash()
    rows_hash.update(rows)
    return rows_hash.hexdigest()
