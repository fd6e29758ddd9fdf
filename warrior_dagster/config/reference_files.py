"""The texts of a column in a local file: JSON Lines, a JSON list of objects, or Parquet. Errors name the file and the line."""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from warrior_dagster.config.stages import COMPRESSED
from warrior_dagster.config.suggestions import near_path

EXPECTED = "expected a .jsonl or .json file, which may end in .gz, .bz2 or .zst too, or a .parquet file"


def texts_in(path: Path, column: str) -> list[str]:
    """The texts, in order, without nulls. Raises ValueError with the file, the line, and what was expected."""
    if not path.is_file():
        raise ValueError(f"{path}: expected a file; {'this is a folder' if path.is_dir() else f'none exists{near_path(path)}'}")
    compressed = path.suffix in COMPRESSED
    kind = Path(path.stem).suffix if compressed else path.suffix
    if kind == ".parquet" and not compressed:
        texts = list(texts_of_parquet(path, column))
    elif kind in (".json", ".jsonl"):
        data = utf8(path)
        texts = list(texts_of(json_lines(data, path) if kind == ".jsonl" else json_list(data, path), path, column))
    else:
        raise ValueError(f"{path}: {EXPECTED}")
    if not texts:
        raise ValueError(f"{path}: expected texts in column {column}; it has none")
    return texts


def texts_of(rows: Iterator[tuple[str, Any]], path: Path, column: str) -> Iterator[str]:
    """The texts of rows, each with the place that an error names."""
    columns, count = set[str](), 0
    for where, row in rows:
        if not isinstance(row, dict):
            raise ValueError(f"{where}: expected an object with the key {column}; found {kind_of(row)}")
        count += 1
        columns.update(row)
        text = row.get(column)
        if text is None:
            continue
        if not isinstance(text, str):
            raise ValueError(f"{where}: expected texts in column {column}; found {kind_of(text)}")
        if half := re.search("[\ud800-\udfff]", text):
            raise ValueError(f"{where}: expected texts of characters in column {column}; found half of one, {half[0]!a}")
        yield text
    if count and column not in columns:
        raise ValueError(f"{path}: expected column {column}; it has {', '.join(sorted(columns)) or 'none'}")


def json_lines(data: bytes, path: Path) -> Iterator[tuple[str, Any]]:
    """The values of JSON Lines: lines end at line feeds only, since a text may contain U+2028 and the like."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            value = parsed(line, path, number)
            if isinstance(value, list):
                raise ValueError(f"{path}:{number}: expected an object on each line; found a list: name such a file .json")
            yield f"{path}:{number}", value


def json_list(data: bytes, path: Path) -> Iterator[tuple[str, Any]]:
    """The values of one JSON list."""
    values = parsed(data, path, 1) if data.strip() else []
    if not isinstance(values, list):
        raise ValueError(f"{path}:1: expected a list of objects; found {kind_of(values)}")
    yield from ((f"{path}: item {number}", value) for number, value in enumerate(values, 1))


def parsed(data: bytes, path: Path, line: int) -> Any:
    """A JSON value that starts at a line of a file."""
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        raise ValueError(f"{path}:{line}: expected UTF-8: {error.reason}") from error
    except json.JSONDecodeError as error:
        hint = (
            ": name a file with an object on each line .jsonl"
            if error.msg == "Extra data" and ".jsonl" not in path.name
            else ""
        )
        raise ValueError(f"{path}:{line + error.lineno - 1}: expected JSON: {error.msg}{hint}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or thousands of levels
        raise ValueError(f"{path}:{line}: expected JSON of a usual size: {error}") from error


def utf8(path: Path) -> bytes:
    """The bytes of a file in UTF-8, decompressed, without a byte order mark."""
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            data: bytes = stream.read()
    except OSError as error:
        raise ValueError(f"{path}: expected a readable file: {error}") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"{path}:1: expected UTF-8; found UTF-16")
    return data.removeprefix(codecs.BOM_UTF8)


def texts_of_parquet(path: Path, column: str) -> list[str]:
    """The texts of a column of Parquet."""
    try:
        with pq.ParquetFile(path) as file:  # Polars ends the process at some damaged files
            names = file.schema_arrow.names
            table = file.read([column] if column in names else [])
            table.validate(full=True)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path}: expected Parquet: {error}") from error
    if column not in names:
        raise ValueError(f"{path}: expected column {column}; it has {', '.join(sorted(names))}")
    texts = [text for text in table[column].to_pylist() if text is not None]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{path}: expected texts in column {column}; found {table[column].type}")
    return texts


def kind_of(value: Any) -> str:
    """A JSON value in words."""
    if isinstance(value, dict):
        return f"an object with the keys {', '.join(sorted(value)) or '(none)'}"
    return "a list" if isinstance(value, list) else f"text {value!r}" if isinstance(value, str) else json.dumps(value)
