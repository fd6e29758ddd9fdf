"""The warehouse: one Lance table per asset, with a column `partition`; each partition is written by one atomic commit.

Rows are identified by content: a partition whose rows did not change is not written again, and its hash, the data version,
stays the same. Reading a partition that was never written is an error, never an empty result.
"""

import copy
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple

import lance
import lancedb
import numpy as np
import polars as pl
import pyarrow as pa
from lancedb.table import Table
from numpy.typing import NDArray

from warrior_dagster.warehouse.locks import file_lock
from warrior_dagster.warehouse.registry import FINGERPRINTS, PARTITIONS, Registry, open_table, quoted
from warrior_dagster.warehouse.row_hash import PARTITION, SLICE, RowsHash
from warrior_dagster.warehouse.spool import ROW_ID, replacement, spooled
from warrior_dagster.warehouse.state import local_folder

WHOLE = "_all"
"""The only partition of an unpartitioned table; no competitor can have this name."""
NEVER_MATERIALIZED = "was never materialized"
VERSIONS_KEPT = timedelta(days=1)
"""A reader that opened a table before it was written keeps reading that version; after this time it is deleted."""
FRAGMENTS = 32
"""The most fragments of a registry table, each of which a read opens."""
READ_AHEAD = 2**26
"""Bytes that Lance reads ahead of a scan; its default of 2 GiB would be most of the memory of a selection."""


@dataclass(frozen=True, slots=True)
class Written:
    """The result of a write."""

    rows: int
    sha256: str
    table_version: int
    first: pl.DataFrame = field(compare=False)
    """The first rows, in the order in which they were passed to `write`."""


class UndeclaredTable(RuntimeError):
    """A step used a table that its asset does not declare, so that Dagster's lineage and staleness would miss it."""


class StepTables(NamedTuple):
    """The tables that a step may use: the one that it writes, with its columns besides `partition`, and those it reads."""

    writes: str
    columns: Collection[str]
    reads: Collection[str]


class Warehouse:
    """The tables of one owner, under a folder or an object store's URI."""

    def __init__(self, uri: str, owner: str = "") -> None:
        """Without an `owner` table names have no prefix."""
        self.uri = uri
        self.read_hashes: dict[tuple[str, str], str] = {}
        """The hash of each partition that was read, by table and partition, at the time of reading."""
        self._owner, self._prefix = owner, None if owner else ""
        self._step: StepTables | None = None
        self._database = lancedb.connect(uri)
        self._registry = Registry(self._database)

    def for_step(self, table: str, columns: Collection[str], reads: Collection[str]) -> "Warehouse":
        """The warehouse for a step that writes `table`, with these columns besides `partition`, and reads only some tables.

        Reading any other table raises UndeclaredTable, and writing other columns ValueError.
        """
        step = copy.copy(self)
        step.read_hashes, step._step = {}, StepTables(table, columns, reads)
        return step

    def read(
        self,
        table: str,
        partitions: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        instructions: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Rows of a table, of all or some partitions and instructions, sorted by partition and row id.

        `columns` selects columns besides those two. Raises LookupError naming the partitions that were never written.
        """
        query = self._materialized(table, partitions or []).search().limit(None)
        wanted = {PARTITION: partitions, "instruction_id": instructions}
        if conditions := [among(values, column) for column, values in wanted.items() if values is not None]:
            query = query.where(" AND ".join(conditions))
        if columns is not None:
            query = query.select(list(dict.fromkeys([PARTITION, ROW_ID, *columns])))
        return pl.DataFrame(query.to_arrow()).sort(PARTITION, ROW_ID)

    def read_existing(
        self,
        table: str,
        partitions: Iterable[str],
        columns: Sequence[str] | None = None,
        instructions: Sequence[str] | None = None,
    ) -> pl.DataFrame | None:
        """As `read`, but without the partitions that do not exist; None if none of them exists."""
        existing = self.existing_partitions(table, partitions)
        return self.read(table, existing, columns, instructions) if existing else None

    def count(self, table: str, partitions: Sequence[str]) -> int:
        """The number of rows of some partitions. Raises LookupError as `read` does."""
        return int(self._materialized(table, partitions).count_rows(among(partitions)))

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns; empty if the table does not exist."""
        opened = open_table(self._database, self._name(table))
        return [] if opened is None else opened.schema.names

    def vectors(self, table: str, partition: str, row_ids: pl.Series, column: str = "vector") -> NDArray[np.float32]:
        """The vectors of some rows of a partition, given by ascending ids; shape (n, d), in the same order.

        Rows are streamed, so that the memory is that of the result. Raises LookupError as `read` does, and if a row is missing.
        """
        opened = self._materialized(table, [partition])
        seen = np.zeros(len(row_ids), dtype=np.int64)
        found = np.empty((len(row_ids), opened.schema.field(column).type.list_size), dtype=np.float32)
        if row_ids.is_empty():
            return found
        within = f"{ROW_ID} >= {quoted(row_ids[0])} AND {ROW_ID} <= {quoted(row_ids[-1])}"
        scanner = opened.to_lance().scanner(
            columns=[ROW_ID, column],
            filter=f"{PARTITION} = {quoted(partition)} AND {within}",
            batch_size=SLICE,
            batch_readahead=2,
            fragment_readahead=1,
            io_buffer_size=READ_AHEAD,
        )
        for batch in scanner.to_batches():
            rows = pl.DataFrame(pa.Table.from_batches([batch]))
            place = row_ids.search_sorted(rows[ROW_ID])  # in range: no id of a batch is above the last
            wanted = row_ids.gather(place) == rows[ROW_ID]
            found[place.filter(wanted).to_numpy()] = rows[column].filter(wanted).to_numpy()
            np.add.at(seen, place.filter(wanted).to_numpy(), 1)
        if (seen != 1).any():
            raise LookupError(
                f"{table}, partition {partition}: expected each of {len(row_ids)} rows once; found {(seen == 1).sum()}"
            )
        return found

    def nearest(self, table: str, partitions: Sequence[str], vector: NDArray[np.float32], most: int) -> pl.DataFrame:
        """The rows of some partitions whose `vector` is nearest by cosine, with a column `_distance`."""
        query: Any = self._materialized(table, partitions).search(vector, vector_column_name="vector")
        return pl.DataFrame(query.distance_type("cosine").where(among(partitions), prefilter=True).limit(most).to_arrow())

    def partitions(self, table: str) -> dict[str, str]:
        """The written partitions of a table, each with the hash of its rows; "" if a rewrite was killed."""
        return self._registry.partitions(self._name(table))

    def existing_partitions(self, table: str, partitions: Iterable[str]) -> list[str]:
        """Those of `partitions` that were written, in the same order."""
        written = self.partitions(table)
        return [partition for partition in partitions if partition in written]

    def fingerprints(self, table: str) -> dict[str, str]:
        """The fingerprint that `save_fingerprints` stored for each partition of a table."""
        return self._registry.fingerprints(self._name(table))

    def save_fingerprints(self, table: str, fingerprints: Mapping[str, str]) -> None:
        """Store the fingerprints of some partitions, replacing earlier ones."""
        if fingerprints:
            with self._lock():
                self._registry.set_fingerprints(self._name(table), fingerprints)
                self._clean_up(FINGERPRINTS)

    def write(self, table: str, partition: str, rows: pl.DataFrame | Iterable[pl.DataFrame]) -> Written:
        """Replace all rows of a partition in one commit. Frames are consumed one at a time and spooled to disk.

        Raises ValueError if a `row_id` repeats, and without any frame. Rows with other columns than the table's replace the
        whole table, and all its partitions have to be materialized again. The processes of one machine take turns; in an
        object store only one machine at a time may write.
        """
        if self._step and table != self._step.writes:
            raise UndeclaredTable(f"{self._step.writes} does not write {table}")
        frames = [rows.sort(ROW_ID)] if isinstance(rows, pl.DataFrame) else rows
        folder = None if "://" in self.uri else Path(self.uri)  # a temporary folder may be too small, or memory
        with tempfile.TemporaryFile(dir=folder) as spool:
            schema, digest, first = spooled(frames, table, partition, spool)
            if self._step and (wrong := {*schema.names} ^ {PARTITION, *self._step.columns}):
                wrong_names = ", ".join(sorted(wrong))
                raise ValueError(f"{table}: expected the declared columns; missing or undeclared are {wrong_names}")
            with self._lock():
                if self._prefix is None:  # the owner is not known yet
                    self._registry.claim(self._owner)
                version = self._replace(self._name(table), partition, schema, digest, spool)
        return Written(digest.rows, digest.hexdigest(), version, rows.head(SLICE) if isinstance(rows, pl.DataFrame) else first)

    def invalidate(self, table: str, partitions: Mapping[str, str]) -> None:
        """Make some partitions missing, unless their hash is no longer the given one.

        Their rows stay in the table for inspection, but `read` refuses them until they are written again.
        """
        with self._lock():
            for partition, sha256 in partitions.items():
                self._registry.remove(self._name(table), partition, sha256)

    def _replace(self, name: str, partition: str, schema: pa.Schema, digest: RowsHash, spool: IO[bytes]) -> int:
        """Replace a partition's rows by the spooled ones unless they are equal; returns the table's version."""
        opened = open_table(self._database, name)
        if opened is None:
            opened = self._database.create_table(name, schema=schema)
        elif opened.schema != schema:
            self._registry.remove(name)
            opened = self._database.create_table(name, schema=schema, mode="overwrite")
        existing = self._registry.partitions(name).get(partition)
        if existing == digest.hexdigest() and opened.count_rows(among([partition])) == digest.rows:
            return int(opened.version)
        dataset = opened.to_lance()
        change = replacement(dataset, partition, spool, digest.rows)
        if existing:
            self._registry.clear_hash(name, partition)  # only now: a failure before leaves the old rows valid
        if change:
            lance.LanceDataset.commit(dataset, change, read_version=dataset.version)
        self._registry.set_partition(name, partition, digest.hexdigest(), digest.rows)
        self._clean_up(name)
        self._clean_up(PARTITIONS)
        return int(self._database.open_table(name).version)

    def _lock(self) -> AbstractContextManager[int]:
        """Allow one writer at a time: each of two would overwrite what the other added."""
        return file_lock(local_folder(self.uri) / "locks" / "tables.lock")

    def _clean_up(self, name: str) -> None:
        """Delete old versions, which would stay on disk forever; merge the fragments of a registry table that has many."""
        dataset = self._database.open_table(name).to_lance()
        if name in (PARTITIONS, FINGERPRINTS) and len(dataset.get_fragments()) > FRAGMENTS:
            dataset.optimize.compact_files()
        dataset.cleanup_old_versions(VERSIONS_KEPT, error_if_tagged_old_versions=False)

    def _name(self, table: str) -> str:
        """A table's name in the database. Raises UndeclaredTable."""
        if self._step and table not in (self._step.writes, *self._step.reads):
            raise UndeclaredTable(f"{self._step.writes} does not declare that it reads {table}")
        if self._prefix is None:
            owner = self._registry.owner()
            if owner is None:  # nothing was written yet
                return table
            self._prefix = "" if owner == self._owner else f"{self._owner}."
        return self._prefix + table

    def _materialized(self, table: str, partitions: Sequence[str]) -> Table:
        """The opened table. Raises LookupError naming those of `partitions` that were never written."""
        before, opened = self.partitions(table), open_table(self._database, self._name(table))
        if before.items() - self.partitions(table).items():  # rows were replaced just now, perhaps with the whole table
            return self._materialized(table, partitions)
        missing = [p for p in partitions if p not in before]
        if opened is None or missing or not before:
            which = ", ".join(missing) or "any partition"
            raise LookupError(f"{table} {NEVER_MATERIALIZED} for {which} in {self.uri}, or a failed check invalidated it")
        self.read_hashes |= {(table, p): before[p] for p in partitions or before}
        return opened


def among(values: Sequence[str], column: str = PARTITION) -> str:
    """Lance's filter for rows with one of some values."""
    return f"{column} IN ({', '.join(map(quoted, values))})"
