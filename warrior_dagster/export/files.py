"""A data set on disk: a folder that `datasets.load_dataset` and the Hub take as it is, replaced as a whole."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import datasets

SLICE = 1000
"""Rows converted at a time: Arrow's plain strings hold at most 2 GiB in one piece."""


def write_dataset(rows: pl.DataFrame, folder: Path, name: str, card: str) -> dict[str, str]:
    """Writes `folder/name/` with train.parquet, train.jsonl and README.md (the card); returns the path of each.

    The files are written to a folder beside it, which then takes the place of an earlier export: nobody ever sees half
    of one. What an interrupted export left behind is cleared away by the next one. Equal rows make equal bytes. Rows of
    strings, numbers, booleans and lists or structs of them; none at all is fine, and keeps the columns' types.

    Raises TypeError for a column of another type.
    """
    target, new, old = folder / name, folder / f".{name}.new", folder / f".{name}.old"
    _clear(new)
    new.mkdir(parents=True)
    dataset = _dataset(rows)
    dataset.to_parquet(new / "train.parquet")
    dataset.to_json(new / "train.jsonl", force_ascii=False, double_precision=15)
    (new / "README.md").write_text(card, encoding="utf-8")

    _clear(old)
    if target.exists():
        target.rename(old)
    new.rename(target)
    _clear(old)
    files = {"parquet": "train.parquet", "jsonl": "train.jsonl", "card": "README.md"}
    return {"folder": str(target)} | {kind: str(target / file) for kind, file in files.items()}


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _dataset(rows: pl.DataFrame) -> "datasets.Dataset":
    """The rows with plain types, rather than the large ones of Polars, which would not mix with other data sets."""
    import datasets
    import pyarrow as pa

    features = datasets.Features({name: _feature(dtype) for name, dtype in rows.schema.items()})
    schema = features.arrow_schema
    # By way of Python: to cast a slice of lists, Arrow casts the whole column of which it is one.
    pieces = [pa.Table.from_pylist(piece.to_dicts(), schema=schema) for piece in rows.iter_slices(SLICE)]
    # A fixed fingerprint: it is for the cache of later operations, and to compute it means to hash the whole table.
    return datasets.Dataset(pa.concat_tables([schema.empty_table(), *pieces]), fingerprint="0" * 16)


def _feature(dtype: Any) -> Any:
    """The type that `datasets` has for a Polars type."""
    import datasets

    scalars = {pl.String: "string", pl.Boolean: "bool", pl.Int64: "int64", pl.Float64: "float64"}
    if isinstance(dtype, pl.List):
        return datasets.List(_feature(dtype.inner))
    if isinstance(dtype, pl.Struct):
        return {field.name: _feature(field.dtype) for field in dtype.fields}
    if type(dtype) not in scalars:
        raise TypeError(f"no export for a column of type {dtype}")
    return datasets.Value(scalars[type(dtype)])
