"""A data set on disk: a folder that `datasets.load_dataset` and the Hub take as it is, replaced as a whole."""

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl

from warrior_dagster.stages.export.jsonlines import json_lines
from warrior_dagster.warehouse.locks import our_turn

SLICE = 5_000
"""Rows of one row group of Parquet, which are converted at a time. Arrow's plain strings hold at most 2 GiB in one piece:
enough for texts of 400,000 bytes a row.
"""


def write_dataset(rows: pl.DataFrame, folder: Path, name: str, card: str) -> dict[str, str]:
    """Writes `folder/name/` anew with train.parquet, train.jsonl and README.md (the card); returns the path of each.

    The files are written to a folder beside it, which then takes the place of an earlier export: nobody ever sees half
    of one. Exports of one name take turns, and what an interrupted one left behind is cleared away by the next. Equal rows
    make equal bytes. Rows of strings, 64-bit numbers, booleans and lists or structs of them. None at all are files with their
    columns, of which `load_dataset` says that they are empty. A number that is none (NaN, infinity) is null in the JSON lines.

    Raises TypeError for a column of another type, and names it.
    """
    target, new, old = folder / name, folder / f".{name}.new", folder / f".{name}.old"
    with our_turn(folder / f".{name}.lock"):
        _clear(new)
        new.mkdir()
        _write_rows(rows, new / "train.parquet", new / "train.jsonl")
        (new / "README.md").write_text(card, encoding="utf-8")

        _clear(old)
        if target.exists():
            target.rename(old)
        new.rename(target)
        _clear(old)
    files = {"parquet": "train.parquet", "jsonl": "train.jsonl", "card": "README.md"}
    return {"folder": str(target)} | {kind: str(target / file) for kind, file in files.items()}


def withdraw_dataset(folder: Path, name: str) -> None:
    """Move `folder/name/` aside to `folder/name.withdrawn/`, in the place of an earlier one: nobody trains on it unawares."""
    target, aside = folder / name, folder / f"{name}.withdrawn"
    with our_turn(folder / f".{name}.lock"):
        if target.exists():
            _clear(aside)
            target.rename(aside)


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _write_rows(rows: pl.DataFrame, parquet: Path, jsonl: Path) -> None:
    """Both files from the same slices, at the same time.

    With the types of `datasets`: plain ones, rather than the large ones of Polars, which other data sets do not have.
    """
    import datasets
    import pyarrow.parquet as pq

    schema = datasets.Features({name: _feature(dtype, name) for name, dtype in rows.schema.items()}).arrow_schema
    # No dictionaries and no statistics: hardly a text comes twice, and nobody looks for one by its order. Compressed as
    # `datasets` does: zstd takes a third less room, and a third longer.
    options: dict[str, Any] = {"compression": "snappy", "use_dictionary": False, "write_statistics": False}
    with (
        pq.ParquetWriter(parquet, schema, **options) as writer,
        jsonl.open("wb") as lines,
        ThreadPoolExecutor(1) as thread,  # last: on an error the writer is closed once the thread is done with it
    ):
        written: Future[None] | None = None
        for piece in rows.iter_slices(SLICE):
            # Gathered: to cast a slice of lists, Arrow casts the whole column of which it is one.
            own = piece.select(pl.all().gather(pl.int_range(pl.len())))
            table = own.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
            if written:
                written.result()
            written = thread.submit(writer.write_table, table)
            lines.write(json_lines(table))
        if written:
            written.result()


def _feature(dtype: Any, column: str) -> Any:
    """The type that `datasets` has for a column's Polars type."""
    import datasets

    scalars = {pl.String: "string", pl.Boolean: "bool", pl.Int64: "int64", pl.Float64: "float64"}
    if isinstance(dtype, pl.List):
        return datasets.List(_feature(dtype.inner, column))
    if isinstance(dtype, pl.Struct):
        return {field.name: _feature(field.dtype, f"{column}.{field.name}") for field in dtype.fields}
    if type(dtype) not in scalars:
        raise TypeError(f"column {column}: expected String, Boolean, Int64 or Float64, got {dtype}")
    return datasets.Value(scalars[type(dtype)])
