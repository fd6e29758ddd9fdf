"""A partition's frames are spooled to a file before they enter the table, so that no table is locked while they are made."""

from collections.abc import Iterable
from typing import IO

import lance
import polars as pl
import pyarrow as pa
from lance.fragment import write_fragments

from warrior_dagster.warehouse.registry import quoted
from warrior_dagster.warehouse.row_hash import PARTITION, SLICE, RowsHash

ROW_ID = "row_id"


def spooled(
    frames: Iterable[pl.DataFrame], table: str, partition: str, spool: IO[bytes]
) -> tuple[pa.Schema, RowsHash, pl.DataFrame]:
    """Write frames to a file as Arrow; returns their schema, their hash and the first rows.

    Raises ValueError without any frame, and if a row id repeats.
    """
    digest, ids, first, writer = RowsHash(), list[pl.Series](), None, None
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
        raise ValueError(f"{table}, partition {partition}: expected at least one frame, which may have no rows")
    writer.close()
    if ids and pl.concat(ids).n_unique() != digest.rows:
        raise ValueError(f"{table}, partition {partition}: expected each {ROW_ID} once")
    spool.seek(0)
    return pa.ipc.open_stream(spool).schema, digest, first


def replacement(dataset: lance.LanceDataset, partition: str, spool: IO[bytes], rows: int) -> lance.LanceOperation.Update | None:
    """The change that replaces a partition's rows by the spooled ones in one commit; None if there is nothing to change.

    New rows get their own fragments, and one transaction adds these and removes the old rows. A merge would hold the whole
    table in memory.
    """
    spool.seek(0)
    new = write_fragments(pa.ipc.open_stream(spool), dataset) if rows else []
    old = f"{PARTITION} = {quoted(partition)}"
    before = [fragment for fragment in dataset.get_fragments() if fragment.count_rows(old)]
    after = {fragment.fragment_id: fragment.delete(old) for fragment in before}
    if not (new or after):
        return None
    return lance.LanceOperation.Update(
        removed_fragment_ids=[number for number, left in after.items() if left is None],
        updated_fragments=[left for left in after.values() if left is not None],
        new_fragments=new,
    )


def to_arrow(rows: pl.DataFrame) -> pa.Table:
    """An Arrow table of types that Lance stores: no string views; a Polars array column becomes a fixed-size list."""
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest())
