"""The warehouse: one Lance table an asset, a column `partition`, and each partition written by one atomic commit.

The same code serves a folder and an object store's URI. Rows are what they are by content: a partition whose rows did not
change is not written again, and its hash, the data version, stays. A small table of its own, `_partitions`, says which
partitions were written, so that one that is missing is an error and never an empty result; another, `_bases`, keeps for
each what it was made from.
"""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import lance
import lancedb
import numpy as np
import polars as pl
import pyarrow as pa
from lance.fragment import write_fragments
from lancedb.table import Table
from numpy.typing import NDArray

from warrior_dagster.warehouse.locks import machine_folder, our_turn
from warrior_dagster.warehouse.row_hash import PARTITION, SLICE, RowsDigest

ROW_ID = "row_id"
WHOLE = "_all"
"""The one partition of an unpartitioned table; no competitor can be called so."""
NEVER_MATERIALIZED = "was never materialized"
RECORDS = "_partitions"
RECORDS_SCHEMA = pa.schema([(name, pa.string()) for name in ("table", PARTITION, "sha256")] + [("rows", pa.int64())])
BASES = "_bases"
BASES_SCHEMA = pa.schema([(name, pa.string()) for name in ("table", PARTITION, "basis")])
VERSIONS_KEPT = timedelta(days=1)
"""Who began to read a table before it was written goes on reading that version of it; after this time it is deleted."""
READ_AHEAD = 2**26
"""Bytes that Lance reads ahead of a scan; its default of 2 GiB would be most of the memory of a selection."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a write left behind."""

    rows: int
    sha256: str
    table_version: int
    first: pl.DataFrame = field(compare=False)
    """Its first rows, as they were handed over."""


class Warehouse:
    """All tables of an arena, under a folder or an object store's URI."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.read_hashes: dict[tuple[str, str], str] = {}
        """The hashes of the rows of the partitions, by table and partition, that were read here, as they then were."""
        self._db = lancedb.connect(uri)

    def read(
        self,
        table: str,
        partitions: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        instructions: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Rows of a table, all or those of some partitions, and of some instructions, in the order of partition and row id.

        `columns` leaves all others but those two out. Raises LookupError naming the partitions that were never written: what
        comes before has to be materialized first.
        """
        query = self._materialized(table, partitions or []).search().limit(None)
        wanted = {PARTITION: partitions, "instruction_id": instructions}
        if conditions := [among(values, column) for column, values in wanted.items() if values is not None]:
            query = query.where(" AND ".join(conditions))
        if columns is not None:
            query = query.select(list(dict.fromkeys([PARTITION, ROW_ID, *columns])))
        frame = pl.from_arrow(query.to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame.sort(PARTITION, ROW_ID)

    def count(self, table: str, partitions: Sequence[str]) -> int:
        """How many rows some partitions of a table have. Raises LookupError as `read` does."""
        return int(self._materialized(table, partitions).count_rows(among(partitions)))

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns; none if there is no table."""
        opened = self._open(table)
        return [] if opened is None else opened.schema.names

    def vectors(self, table: str, partition: str, row_ids: pl.Series, column: str = "vector") -> NDArray[np.float32]:
        """The vectors of some rows of a partition, shape (n, d), in the order of their ids, which are ascending.

        Streamed into place: the memory is that of the result. Raises LookupError if a row is missing, and as `read` does.
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
            rows = pl.from_arrow(pa.Table.from_batches([batch]))
            assert isinstance(rows, pl.DataFrame)
            place = row_ids.search_sorted(rows[ROW_ID])  # inside: no id of a batch is above the last
            asked = row_ids.gather(place) == rows[ROW_ID]
            found[place.filter(asked).to_numpy()] = rows[column].filter(asked).to_numpy()
            np.add.at(seen, place.filter(asked).to_numpy(), 1)
        if (seen != 1).any():
            raise LookupError(
                f"{table}, partition {partition}: expected each of {len(row_ids)} rows once; found {(seen == 1).sum()}"
            )
        return found

    def nearest(self, table: str, partitions: Sequence[str], vector: NDArray[np.float32], most: int) -> pl.DataFrame:
        """The rows of some partitions whose `vector` is nearest by cosine, with its distance as `_distance`."""
        query: Any = self._materialized(table, partitions).search(vector, vector_column_name="vector")
        frame = pl.from_arrow(query.distance_type("cosine").where(among(partitions), prefilter=True).limit(most).to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def partitions(self, table: str) -> dict[str, str]:
        """The partitions of a table that were written, each with the hash of its rows; none ("") if a rewrite was killed."""
        records = self._open(RECORDS)
        if records is None:
            return {}
        rows = records.search().where(f"`table` = {quoted(table)}").limit(None).to_list()
        return {row[PARTITION]: row["sha256"] for row in rows}

    def there(self, table: str, partitions: Iterable[str]) -> list[str]:
        """Those of some partitions that a table has, in their order."""
        written = self.partitions(table)
        return [partition for partition in partitions if partition in written]

    def bases(self, table: str) -> dict[str, str]:
        """What `keep_bases` kept of each partition of a table."""
        kept = self._open(BASES)
        rows = [] if kept is None else kept.search().where(f"`table` = {quoted(table)}").limit(None).to_list()
        return {row[PARTITION]: row["basis"] for row in rows}

    def keep_bases(self, table: str, bases: Mapping[str, str]) -> None:
        """Keep a text for each of some partitions, in the place of what was kept before."""
        if bases:
            rows = [{"table": table, PARTITION: partition, "basis": basis} for partition, basis in bases.items()]
            with our_turn(machine_folder(self.uri) / "locks" / "tables.lock"):
                kept = self._db.create_table(BASES, schema=BASES_SCHEMA, exist_ok=True).merge_insert(["table", PARTITION])
                kept.when_matched_update_all().when_not_matched_insert_all().execute(
                    pa.Table.from_pylist(rows, schema=BASES_SCHEMA)
                )
                self._clean_up(BASES)

    def write(self, table: str, partition: str, rows: pl.DataFrame | Iterable[pl.DataFrame]) -> Written:
        """Make `rows` all that a partition holds, in one commit; what other processes write to others is kept.

        `rows` needs a column `row_id` without doubles. Raises ValueError if it has any, and for no frame at all. Rows with
        other columns than the table has replace the table, and all its partitions have to be materialized again. Frames of the
        same columns are taken as they come and wait on disk, so that no table is locked while they are made, and no more than
        one is in memory. The processes of one machine take turns; in an object store only one machine at a time may write.
        """
        frames = [rows.sort(ROW_ID)] if isinstance(rows, pl.DataFrame) else rows
        folder = None if "://" in self.uri else Path(self.uri)  # a temporary folder may be too small, or memory
        with tempfile.TemporaryFile(dir=folder) as spool:
            schema, digest, first = _spooled(frames, table, partition, spool)
            with our_turn(machine_folder(self.uri) / "locks" / "tables.lock"):
                version = self._replace(table, partition, schema, digest, spool)
        return Written(digest.rows, digest.hexdigest(), version, rows.head(SLICE) if isinstance(rows, pl.DataFrame) else first)

    def withdraw(self, table: str, partitions: Mapping[str, str]) -> None:
        """Make some partitions missing, given with their hashes; one that was written anew since then stays.

        Their rows are still in the table for whoever looks into it, but `read` refuses them until they are written again.
        """
        with our_turn(machine_folder(self.uri) / "locks" / "tables.lock"):
            for partition, digest in partitions.items():
                mine = f"`table` = {quoted(table)} AND {PARTITION} = {quoted(partition)}"
                self._records().delete(f"{mine} AND sha256 = {quoted(digest)}")

    def _replace(self, table: str, partition: str, schema: pa.Schema, digest: RowsDigest, spool: IO[bytes]) -> int:
        """Put the spooled rows in the place of a partition's, unless they are there; the table's version.

        Two at once would each take the table as it was before the other. New rows get fragments of their own, and one
        transaction adds those and takes the old rows out: a merge would hold the whole table in memory.
        """
        opened = self._open(table)
        if opened is None:
            opened = self._db.create_table(table, schema=schema)
        elif opened.schema != schema:
            self._records().delete(f"`table` = {quoted(table)}")
            opened = self._db.create_table(table, schema=schema, mode="overwrite")
        mine = f"{PARTITION} = {quoted(partition)}"
        if self.partitions(table).get(partition) == digest.hexdigest() and opened.count_rows(mine) == digest.rows:
            return int(opened.version)
        dataset = opened.to_lance()
        spool.seek(0)
        new = write_fragments(pa.ipc.open_stream(spool), dataset) if digest.rows else []
        before = [fragment for fragment in dataset.get_fragments() if fragment.count_rows(mine)]
        after = {fragment.fragment_id: fragment.delete(mine) for fragment in before}
        change = lance.LanceOperation.Update(
            removed_fragment_ids=[number for number, left in after.items() if left is None],
            updated_fragments=[left for left in after.values() if left is not None],
            new_fragments=new,
        )
        # Were this killed after the commit, the old hash would vouch for the new rows. Readers see the old or the new ones.
        self._records().update(f"`table` = {quoted(table)} AND {mine}", {"sha256": ""})
        if new or after:
            lance.LanceDataset.commit(dataset, change, read_version=dataset.version)
        record = [{"table": table, PARTITION: partition, "sha256": digest.hexdigest(), "rows": digest.rows}]
        records = self._records().merge_insert(["table", PARTITION])
        records.when_matched_update_all().when_not_matched_insert_all().execute(
            pa.Table.from_pylist(record, schema=RECORDS_SCHEMA)
        )
        self._clean_up(table)
        self._clean_up(RECORDS)
        return int(self._db.open_table(table).version)

    def _clean_up(self, table: str) -> None:
        """Remove old versions, or what was replaced would lie on the disk for good."""
        self._db.open_table(table).to_lance().cleanup_old_versions(VERSIONS_KEPT, error_if_tagged_old_versions=False)

    def _materialized(self, table: str, partitions: Sequence[str]) -> Table:
        """A table that has some partitions. Raises LookupError naming those that were never written."""
        before, opened, after = self.partitions(table), self._open(table), self.partitions(table)
        if before.items() - after.items():  # rows were replaced just then, perhaps with the whole table
            return self._materialized(table, partitions)
        missing = [p for p in partitions if p not in before]
        if opened is None or missing or not before:
            which = ", ".join(missing) or "any partition"
            raise LookupError(f"{table} {NEVER_MATERIALIZED} for {which} in {self.uri}, or a failed check withdrew it")
        self.read_hashes |= {(table, p): before[p] for p in partitions}
        return opened

    def _open(self, table: str) -> Table | None:
        try:
            return self._db.open_table(table)
        except ValueError:
            return None

    def _records(self) -> Table:
        return self._db.create_table(RECORDS, schema=RECORDS_SCHEMA, exist_ok=True)


def quoted(text: str) -> str:
    """A string literal of Lance's filters."""
    return "'" + text.replace("'", "''") + "'"


def among(values: Sequence[str], column: str = PARTITION) -> str:
    """Lance's filter for the rows of some partitions, or with one of some values of another column."""
    return f"{column} IN ({', '.join(map(quoted, values))})"


def to_arrow(rows: pl.DataFrame) -> pa.Table:
    """Arrow columns of the kinds that Lance keeps: no string views; a Polars array column is a fixed-size vector."""
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest())


def _spooled(
    frames: Iterable[pl.DataFrame], table: str, partition: str, spool: IO[bytes]
) -> tuple[pa.Schema, RowsDigest, pl.DataFrame]:
    """Write frames to a file, as Arrow, and return their schema, their hash and the first of them."""
    digest, ids, first, writer = RowsDigest(), list[pl.Series](), None, None
    for frame in frames:
        first = frame.head(SLICE) if first is None else first
        for rows in frame.with_columns(pl.lit(partition).alias(PARTITION)).iter_slices(SLICE):
            digest.update(rows)
            ids.append(rows[ROW_ID])
            arrow = to_arrow(rows)
            writer = writer or pa.ipc.new_stream(spool, arrow.schema)
            writer.write_table(arrow)
        if writer is None:  # no rows so far, but their columns
            digest.update(frame)
            writer = pa.ipc.new_stream(spool, to_arrow(frame.with_columns(pl.lit(partition).alias(PARTITION))).schema)
    if writer is None or first is None:
        raise ValueError(f"{table}, partition {partition}: expected a frame, if need be without rows")
    writer.close()
    if ids and pl.concat(ids).n_unique() != digest.rows:
        raise ValueError(f"{table}, partition {partition}: expected each {ROW_ID} once")
    spool.seek(0)
    return pa.ipc.open_stream(spool).schema, digest, first
