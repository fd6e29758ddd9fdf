"""`json` and Polars read the same rows from JSON Lines, for any values."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warrior_dagster.stages.export import files
from warrior_dagster.stages.export.files import write_lines

TEXTS = st.none() | st.text(st.characters(codec="utf-8") | st.sampled_from('"\\/\b\f\n\r\t\0\x0b\x1f\x7f é漢🐍\u2028'))
FLOATS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
MESSAGE = st.none() | st.fixed_dictionaries({"role": TEXTS, "content": TEXTS})
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": TEXTS,
            'a "key"\n': TEXTS,
            "messages": st.none() | st.lists(MESSAGE, max_size=4),
            "nested": st.none() | st.lists(st.none() | st.lists(FLOATS, max_size=3), max_size=3),
            "float": FLOATS,
            "int": st.none() | st.integers(-(2**63), 2**63 - 1),
            "label": st.none() | st.booleans(),
        }
    ),
    max_size=12,
)
SCHEMA: dict[str, Any] = {
    "text": pl.String,
    'a "key"\n': pl.String,
    "messages": pl.List(pl.Struct({"role": pl.String, "content": pl.String})),
    "nested": pl.List(pl.List(pl.Float64)),
    "float": pl.Float64,
    "int": pl.Int64,
    "label": pl.Boolean,
}


def written(frame: pl.DataFrame) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.jsonl"
        write_lines(frame, path)
        return path.read_bytes()


def read(frame: pl.DataFrame) -> list[Any]:
    lines = written(frame).split(b"\n")
    assert lines.pop() == b""
    return [json.loads(line) for line in lines]


@settings(max_examples=150)
@given(ROWS, st.integers(0, 12), st.integers(0, 12), st.sampled_from([1, 5, 5_000]))
def test_json_reads_the_rows_of_any_slice(rows: list[dict[str, Any]], first: int, count: int, size: int) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "SLICE", size)
        assert read(frame) == rows
        assert read(frame.slice(first, count)) == rows[first : first + count]
        assert read(pl.concat([frame.slice(0, first), frame.slice(first)], rechunk=False)) == rows


@settings(max_examples=50)
@given(ROWS)
def test_polars_reads_the_rows(rows: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    if rows:
        assert pl.read_ndjson(written(frame), schema=frame.schema).equals(frame)


def test_every_character_is_read_back() -> None:
    texts = [*map(chr, range(256)), "", "a" * 1000, '"' * 1000, "\x01" * 1000]
    assert [row["text"] for row in read(pl.DataFrame({"text": texts}))] == texts


@pytest.mark.parametrize("bits", [0, 1, 0x7FEFFFFFFFFFFFFF, 0x3FB999999999999A, 0x4341C37937E08000, 0x8000000000000000])
def test_floats_are_read_back_bit_for_bit(bits: int) -> None:
    values = (np.uint64(bits) + np.arange(100, dtype=np.uint64)).view(np.float64)
    values = values[np.isfinite(values)]
    back = [row["x"] for row in read(pl.DataFrame({"x": values}))]
    assert np.array_equal(np.array(back).view(np.uint64), values.view(np.uint64))
    assert all(isinstance(value, float) for value in back)


def test_nan_and_infinities_are_null() -> None:
    frame = pl.DataFrame({"x": [float("nan"), float("inf"), float("-inf"), None], "nested": [[float("nan"), 1.0]] * 4})
    assert written(frame) == b'{"x":null,"nested":[null,1.0]}\n' * 4


def test_no_rows_give_an_empty_file() -> None:
    assert written(pl.DataFrame(schema=SCHEMA)) == b""
