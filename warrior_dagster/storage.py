"""The warehouse: one Lance table an asset, a column `partition`, and each partition written by one atomic commit.

The same code serves a folder and an object store's URI. Rows are what they are by content: a partition whose rows did not
change is not written again, and its hash, the data version, stays. A small table of its own, `_partitions`, says which
partitions were written, so that one that is missing is an error and never an empty result.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import lancedb
import polars as pl
import pyarrow as pa
from lancedb.table import Table

from warrior_dagster.turns import our_turn

PARTITION = "partition"
ROW_ID = "row_id"
WHOLE = "_all"
"""The one partition of an unpartitioned table; no competitor can be called so."""
NEVER_MATERIALIZED = "was never materialized"
RECORDS = "_partitions"
RECORDS_SCHEMA = pa.schema([(name, pa.string()) for name in ("table", PARTITION, "sha256")] + [("rows", pa.int64())])


@dataclass(frozen=True, slots=True)
class Written:
    """What a write left behind."""

    rows: int
    sha256: str
    table_version: int


class Warehouse:
    """All tables of an arena, under a folder or an object store's URI."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._db = lancedb.connect(uri)

    def read(self, table: str, partitions: Sequence[str] | None = None) -> pl.DataFrame:
        """Rows of a table, all or those of some partitions, in the order of partition and row id.

        Raises LookupError naming the partitions that were never written: what comes before has to be materialized first.
        """
        opened = self._open(table)
        written = self.partitions(table)
        missing = [p for p in partitions or [] if p not in written]
        if opened is None or missing:
            raise LookupError(f"{table} {NEVER_MATERIALIZED} for {', '.join(missing) or 'any partition'} in {self.uri}")
        query = opened.search().limit(None)
        if partitions is not None:
            query = query.where(f"{PARTITION} IN ({', '.join(map(quoted, partitions))})")
        frame = pl.from_arrow(query.to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame.sort(PARTITION, ROW_ID)

    def partitions(self, table: str) -> dict[str, str]:
        """The partitions of a table that were written, each with the hash of its rows."""
        records = self._open(RECORDS)
        if records is None:
            return {}
        rows = records.search().where(f"`table` = {quoted(table)}").limit(None).to_list()
        return {row[PARTITION]: row["sha256"] for row in rows}

    def write(self, table: str, partition: str, rows: pl.DataFrame) -> Written:
        """Make `rows` all that a partition holds, in one commit; what other processes write to others is kept.

        `rows` needs a column `row_id` without doubles. Raises ValueError if it has any. Rows with other columns than the
        table has replace the table, and all its partitions have to be materialized again.
        """
        if rows[ROW_ID].n_unique() != len(rows):
            raise ValueError(f"{table}, partition {partition}: expected each {ROW_ID} once")
        with our_turn(Path(self.uri, "locks", "tables.lock")) if "://" not in self.uri else nullcontext():
            return self._write(table, partition, rows)

    def _write(self, table: str, partition: str, rows: pl.DataFrame) -> Written:
        """Two at once would each insert the rows that the other has not committed yet, or make the same table anew."""
        rows = rows.with_columns(pl.lit(partition).alias(PARTITION)).sort(ROW_ID)
        arrow, digest = to_arrow(rows), rows_sha256(rows)
        opened = self._open(table) or self._db.create_table(table, schema=arrow.schema, exist_ok=True)
        if opened.schema != arrow.schema:
            self._records().delete(f"`table` = {quoted(table)}")
            opened = self._db.create_table(table, schema=arrow.schema, mode="overwrite")
        if not self._holds(opened, partition, digest):
            merge = opened.merge_insert([PARTITION, ROW_ID]).when_matched_update_all().when_not_matched_insert_all()
            merge.when_not_matched_by_source_delete(f"{PARTITION} = {quoted(partition)}").execute(arrow)
        record = [{"table": table, PARTITION: partition, "sha256": digest, "rows": len(rows)}]
        records = self._records().merge_insert(["table", PARTITION])
        records.when_matched_update_all().when_not_matched_insert_all().execute(
            pa.Table.from_pylist(record, schema=RECORDS_SCHEMA)
        )
        return Written(len(rows), digest, opened.version)

    def _open(self, table: str) -> Table | None:
        try:
            return self._db.open_table(table)
        except ValueError:
            return None

    def _records(self) -> Table:
        return self._db.create_table(RECORDS, schema=RECORDS_SCHEMA, exist_ok=True)

    def _holds(self, opened: Table, partition: str, digest: str) -> bool:
        there = pl.from_arrow(opened.search().where(f"{PARTITION} = {quoted(partition)}").limit(None).to_arrow())
        assert isinstance(there, pl.DataFrame)
        return rows_sha256(there) == digest


def quoted(text: str) -> str:
    """A string literal of Lance's filters."""
    return "'" + text.replace("'", "''") + "'"


def to_arrow(rows: pl.DataFrame) -> pa.Table:
    """Arrow columns of the kinds that Lance keeps: no string views; a Polars array column is a fixed-size vector."""
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest())


def rows_sha256(rows: pl.DataFrame) -> str:
    """A hash of a partition's rows, whatever order they come in: the data version of what they hold."""
    columns = sorted(c for c in rows.columns if c != PARTITION)
    digest = sha256()
    digest.update(repr([(c, str(rows.schema[c])) for c in columns]).encode())
    digest.update(rows.select(columns).sort(ROW_ID).write_ndjson().encode())
    return digest.hexdigest()
