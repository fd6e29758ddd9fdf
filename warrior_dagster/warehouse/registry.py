"""The three registry tables of a warehouse.

`_partitions` has the hash of each partition's rows, `_bases` the fingerprint of its inputs, and `_owner` the one arena whose
table names have no prefix. Callers that write hold the warehouse's lock.
"""

from collections.abc import Mapping
from typing import Any

import lancedb
import polars as pl
import pyarrow as pa
from lancedb.table import Table

from warrior_dagster.warehouse.row_hash import PARTITION

TEXT = pa.string()
PARTITIONS, FINGERPRINTS, OWNER = "_partitions", "_bases", "_owner"
SCHEMAS = {
    PARTITIONS: pa.schema([("table", TEXT), (PARTITION, TEXT), ("sha256", TEXT), ("rows", pa.int64())]),
    FINGERPRINTS: pa.schema([("table", TEXT), (PARTITION, TEXT), ("basis", TEXT)]),
    OWNER: pa.schema([("owner", TEXT)]),
}


class Registry:
    def __init__(self, database: lancedb.DBConnection) -> None:
        self._database = database
        self._read: dict[str, tuple[int, pl.DataFrame]] = {}
        """A cache: the last version that was read of each table, with its rows."""

    def partitions(self, table: str) -> dict[str, str]:
        """The written partitions of a table, each with the hash of its rows; "" if a rewrite was killed."""
        return {row[PARTITION]: row["sha256"] for row in self._rows(PARTITIONS, table)}

    def set_partition(self, table: str, partition: str, sha256: str, rows: int) -> None:
        self._upsert(PARTITIONS, [{"table": table, PARTITION: partition, "sha256": sha256, "rows": rows}])

    def clear_hash(self, table: str, partition: str) -> None:
        """Clear a partition's hash before its rows are replaced, so that a killed process leaves no wrong hash."""
        self._table(PARTITIONS).update(row_of(table, partition), {"sha256": ""})

    def remove(self, table: str, partition: str | None = None, sha256: str | None = None) -> None:
        """Remove a table, or one of its partitions, or that partition only if it still has this hash."""
        conditions = [f"`table` = {quoted(table)}"] if partition is None else [row_of(table, partition)]
        conditions += [] if sha256 is None else [f"sha256 = {quoted(sha256)}"]
        self._table(PARTITIONS).delete(" AND ".join(conditions))

    def fingerprints(self, table: str) -> dict[str, str]:
        return {row[PARTITION]: row["basis"] for row in self._rows(FINGERPRINTS, table)}

    def set_fingerprints(self, table: str, fingerprints: Mapping[str, str]) -> None:
        self._upsert(FINGERPRINTS, [{"table": table, PARTITION: p, "basis": text} for p, text in fingerprints.items()])

    def owner(self) -> str | None:
        """The arena whose table names have no prefix; None if nothing was written yet."""
        opened = open_table(self._database, OWNER)
        rows = [] if opened is None else opened.search().limit(1).to_list()
        return rows[0]["owner"] if rows else None

    def claim(self, owner: str) -> None:
        """Make an arena the owner, unless another one is."""
        if self.owner() is None:
            self._table(OWNER).add([{"owner": owner}])

    def _rows(self, name: str, table: str) -> list[dict[str, Any]]:
        opened = open_table(self._database, name)
        if opened is None:
            self._read.pop(name, None)
            return []
        version, rows = self._read.get(name, (0, pl.DataFrame()))
        if version != opened.version:
            rows = pl.DataFrame(opened.search().limit(None).to_arrow())
            self._read[name] = opened.version, rows
        return rows.filter(pl.col("table") == table).to_dicts()

    def _table(self, name: str) -> Table:
        return self._database.create_table(name, schema=SCHEMAS[name], exist_ok=True)

    def _upsert(self, name: str, rows: list[dict[str, Any]]) -> None:
        merge = self._table(name).merge_insert(["table", PARTITION])
        merge.when_matched_update_all().when_not_matched_insert_all().execute(pa.Table.from_pylist(rows, schema=SCHEMAS[name]))


def open_table(database: lancedb.DBConnection, name: str) -> Table | None:
    """A table as it is now; None if it does not exist."""
    try:
        return database.open_table(name)
    except ValueError:
        return None


def quoted(text: str) -> str:
    """A string literal of Lance's filters."""
    return "'" + text.replace("'", "''") + "'"


def row_of(table: str, partition: str) -> str:
    """The filter for one partition's row."""
    return f"`table` = {quoted(table)} AND {PARTITION} = {quoted(partition)}"
