"""Data sets on disk: folders that `datasets.load_dataset` and the Hub can load directly, replaced atomically.

A folder in the place of an export may be a person's work. It is replaced only if it has the files of an export alone.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl

from warrior_dagster.warehouse.locks import file_lock

FILES = {"parquet": "train.parquet", "jsonl": "train.jsonl", "card": "README.md"}
NAMED = 5
"""Files that an error names."""
SLICE = 5_000
"""Rows converted at a time, which make one row group of Parquet. An Arrow string array holds at most 2 GiB: enough for rows of
400,000 bytes.
"""


def write_dataset(rows: pl.DataFrame, folder: Path, name: str, card: str) -> dict[str, str]:
    """Write `folder/name/` with train.parquet, train.jsonl and README.md (the card); return the path of each.

    The files are written to a temporary folder, which then replaces an earlier export, so a partial export is never visible.
    Exports of one name wait for one another, and each removes what an interrupted one left. Equal rows make equal bytes. NaN
    and infinities are null in the JSON Lines. Raises FileExistsError if something else is in the place of an earlier export,
    and TypeError naming a column that is not of strings, 64-bit numbers, booleans, or lists or structs of them.
    """
    target, new, old = folder / name, folder / f".{name}.new", folder / f".{name}.old"
    with file_lock(folder / f".{name}.lock"):
        check_export(target)
        remove_export(new)
        new.mkdir()
        with ThreadPoolExecutor(1) as thread:
            lines = thread.submit(write_lines, rows, new / FILES["jsonl"])
            write_parquet(rows, new / FILES["parquet"])
            lines.result()
        (new / FILES["card"]).write_text(card, encoding="utf-8")

        remove_export(old)
        if target.exists():
            target.rename(old)
        new.rename(target)
        remove_export(old)
    return {"folder": str(target)} | {kind: str(target / file) for kind, file in FILES.items()}


def invalidate_dataset(folder: Path, name: str) -> None:
    """Rename `folder/name/` to `folder/name.invalidated/`, replacing an earlier one, so that nobody trains on it by mistake.

    Raises FileExistsError if either is something else than an export.
    """
    target, aside, old = folder / name, folder / f"{name}.invalidated", folder / f".{name}.old"
    with file_lock(folder / f".{name}.lock"):
        if os.path.lexists(target):
            check_export(target)
            check_export(aside)
            remove_export(old)
            if aside.exists():
                aside.rename(old)
            target.rename(aside)
            remove_export(old)


def remove_export(folder: Path) -> None:
    """Remove the folder of an export, or what is left of one, if it exists. Raises FileExistsError as `check_export` does."""
    check_export(folder, part=True)
    with suppress(FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            for file in FILES.values():
                with suppress(FileNotFoundError):
                    os.unlink(file, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        folder.rmdir()


def check_export(folder: Path, *, part: bool = False) -> None:
    """Raise FileExistsError unless a folder is missing or empty, or has the files of an export, or with `part` some of them,
    and nothing else. Links are not followed.
    """
    if not os.path.lexists(folder):
        return
    wanted, found = set(FILES.values()), "a link or a file"
    if folder.is_dir() and not folder.is_symlink():
        names = {one.name if one.is_file(follow_symlinks=False) else f"{one.name} (no file)" for one in os.scandir(folder)}
        if not names or names == wanted or (part and names < wanted):
            return
        found = ", ".join([*sorted(names - wanted), *sorted(names & wanted)][:NAMED])
    expected = f"expected an export, which has {', '.join(FILES.values())} and nothing else, because another one replaces it"
    raise FileExistsError(f"{folder}: {expected}; found {found}. Move it away, or name another export.folder")


def write_lines(rows: pl.DataFrame, path: Path) -> None:
    """Write JSON Lines a slice at a time, which bounds the memory."""
    with path.open("wb") as file:
        for piece in rows.iter_slices(SLICE):
            piece.write_ndjson(file)


def write_parquet(rows: pl.DataFrame, path: Path) -> None:
    """Write Parquet with the types of `datasets`. Polars would write large Arrow types, which other data sets do not have."""
    import datasets
    import pyarrow.parquet as pq

    schema = datasets.Features({name: _feature(dtype, name) for name, dtype in rows.schema.items()}).arrow_schema
    # Texts rarely repeat and are not searched by order, so dictionaries and statistics are useless. Snappy, as `datasets` uses:
    # zstd is a third smaller and a third slower.
    with pq.ParquetWriter(path, schema, compression="snappy", use_dictionary=False, write_statistics=False) as writer:
        for piece in rows.iter_slices(SLICE):
            # Gathered first: to cast a slice of lists, Arrow casts the whole column behind it.
            own = piece.select(pl.all().gather(pl.int_range(pl.len())))
            writer.write_table(own.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema))


def _feature(dtype: Any, column: str) -> Any:
    """The `datasets` feature of a Polars type. Raises TypeError naming a column without one."""
    import datasets

    scalars = {pl.String: "string", pl.Boolean: "bool", pl.Int64: "int64", pl.Float64: "float64"}
    if isinstance(dtype, pl.List):
        return datasets.List(_feature(dtype.inner, column))
    if isinstance(dtype, pl.Struct):
        return {field.name: _feature(field.dtype, f"{column}.{field.name}") for field in dtype.fields}
    if type(dtype) not in scalars:
        raise TypeError(f"column {column}: expected String, Boolean, Int64 or Float64, got {dtype}")
    return datasets.Value(scalars[type(dtype)])
