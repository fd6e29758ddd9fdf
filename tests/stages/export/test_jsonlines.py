"""The lines are what `json` reads as the rows, and what Polars writes, whatever they hold."""

import json
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warrior_dagster.stages.export.jsonlines import json_lines

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
SCHEMA = pa.schema(
    {
        "text": pa.string(),
        'a "key"\n': pa.large_string(),
        "messages": pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})),
        "nested": pa.large_list(pa.list_(pa.float64())),
        "float": pa.float64(),
        "int": pa.int64(),
        "label": pa.bool_(),
    }
)


def read(table: pa.Table) -> list[Any]:
    lines = json_lines(table).tobytes().split(b"\n")
    assert lines.pop() == b""
    return [json.loads(line) for line in lines]


@settings(max_examples=150)
@given(ROWS, st.integers(0, 12), st.integers(0, 12))
def test_json_reads_the_rows_of_any_slice(rows: list[dict[str, Any]], first: int, count: int) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    assert read(table) == rows
    assert read(table.slice(first, count)) == rows[first : first + count]
    assert read(pa.concat_tables([table.slice(0, first), table.slice(first)])) == rows


@settings(max_examples=50)
@given(ROWS)
def test_polars_reads_the_same_from_it_as_from_what_it_writes(rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    lines = json_lines(table).tobytes()
    assert [json.loads(line) for line in frame.write_ndjson().encode().splitlines()] == [
        json.loads(line) for line in lines.splitlines()
    ]
    if rows:
        assert pl.read_ndjson(lines, schema=frame.schema).equals(frame)


def test_every_character_is_escaped_as_polars_escapes_it() -> None:
    frame = pl.DataFrame({"text": [*map(chr, range(256)), "", "a" * 1000, '"' * 1000, "\x01" * 1000]})
    assert json_lines(frame.to_arrow()).tobytes().decode() == frame.write_ndjson()


@pytest.mark.parametrize("bits", [0, 1, 0x7FEFFFFFFFFFFFFF, 0x3FB999999999999A, 0x4341C37937E08000, 0x8000000000000000])
def test_floats_come_back_bit_for_bit(bits: int) -> None:
    values = (np.uint64(bits) + np.arange(100, dtype=np.uint64)).view(np.float64)
    values = values[np.isfinite(values)]
    back = [row["x"] for row in read(pa.table({"x": values}))]
    assert np.array_equal(np.array(back).view(np.uint64), values.view(np.uint64))
    assert all(isinstance(value, float) for value in back)


def test_what_json_has_no_number_for_is_null() -> None:
    assert json_lines(pa.table({"x": [float("nan"), float("inf"), None]})).tobytes() == b'{"x":null}\n' * 3


def test_no_rows_are_no_lines() -> None:
    assert len(json_lines(SCHEMA.empty_table())) == 0
