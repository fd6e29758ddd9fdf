"""Reference files of any content: the texts of a column, or one line with the file and what was expected."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from warrior_dagster.config.reference_sets import texts_of
from warrior_dagster.config.stages import COMPRESSED, ReferenceSet
from warrior_dagster.stages.export.files import write_lines

TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from("\u2028\u2029\x85\x0b\x1c\ufeff\0\n\r"))


def outcome(name: str, data: bytes, column: str = "instruction") -> list[str] | str:
    """The texts of a file, or the error without the beginning that all have."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            return texts_of(ReferenceSet(name="mine", source=str(path), column=column))
        except ValueError as error:
            (line,) = str(error).splitlines()
            assert line.isprintable()
            start, _, expected = line.partition(f"{path}:")
            assert start == "reference set mine: "
            assert "expected " in expected
            return expected


def compressed(data: bytes, ending: str) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=ending) as file:
        with pa.output_stream(file.name, compression="detect") as stream:
            stream.write(data)
        return Path(file.name).read_bytes()


@pytest.mark.parametrize("ending", ["", *COMPRESSED])
@settings(max_examples=30)
@given(st.lists(TEXTS, min_size=1))
def test_what_this_project_exports_can_be_a_reference_set(ending: str, texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.jsonl"
        write_lines(pl.DataFrame({"instruction": texts}), path)
        data = path.read_bytes()
    assert outcome(f"train.jsonl{ending}", compressed(data, ending)) == texts


@settings(max_examples=50)
@given(st.lists(TEXTS, min_size=1), st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans(), st.booleans())
def test_json_is_read_as_python_writes_it(texts: list[str], ends: str, escaped: bool, marked: bool) -> None:
    rows = [json.dumps({"instruction": text, "id": 10**30}, ensure_ascii=escaped) for text in texts]
    mark = b"\xef\xbb\xbf" if marked else b""
    assert outcome("set.jsonl", mark + ends.join(rows).encode()) == texts
    assert outcome("set.json", mark + f"[{f',{ends}'.join(rows)}]".encode()) == texts


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),  # half characters too
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["instruction", "a\nb", ""]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=200)
@given(st.lists(VALUES, max_size=4), st.sampled_from([".json", ".jsonl"]), st.sampled_from(["instruction", "a\nb", "id"]))
def test_rows_of_other_shapes_are_named(values: list[object], ending: str, column: str) -> None:
    text = json.dumps(values) if ending == ".json" else "\n".join(map(json.dumps, values))
    found = outcome(f"set{ending}", text.encode(), column)
    rows = json.loads(json.dumps(values))  # two halves beside each other are one character
    texts = [row[column] for row in rows if isinstance(row, dict) and row.get(column) is not None]
    if texts and all(isinstance(row, dict) for row in rows) and all(map(is_text, texts)):
        assert found == texts
    else:
        assert isinstance(found, str)


def is_text(value: object) -> bool:
    """Whether a value is text without half characters."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def cut(data: bytes, at: int) -> bytes:
    return data[:at]


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


@settings(max_examples=150)
@given(st.sampled_from(["set.jsonl", "set.json", "set.jsonl.gz", "set.jsonl.bz2", "set.jsonl.zst"]), st.data())
def test_a_damaged_file_gives_texts_or_one_line(name: str, data: st.DataObject) -> None:
    rows = [{"instruction": "Sort a list. é\u2028", "id": 1}, {"instruction": None, "id": 2}]
    text = json.dumps(rows, ensure_ascii=False) if ".jsonl" not in name else "\n".join(map(json.dumps, rows))
    whole = compressed(text.encode(), Path(name).suffix if name.count(".") == 2 else "")
    damage: Callable[[bytes, int], bytes] = data.draw(st.sampled_from([cut, flipped]))
    outcome(name, damage(whole, data.draw(st.integers(0, len(whole) - 1))))


@settings(max_examples=150)
@given(
    st.binary() | st.text().map(str.encode), st.sampled_from([".json", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet", ".csv"])
)
@example(b"[" * 100_000, ".json")
@example(b'{"a":' * 100_000, ".jsonl")
@example(b'{"instruction": "x", "id": ' + b"1" * 5_000 + b"}", ".jsonl")
@example('{"instruction": "x"}'.encode("utf-16"), ".jsonl")
@example("".encode("utf-8-sig"), ".json")
def test_any_bytes_give_texts_or_one_line(content: bytes, ending: str) -> None:
    outcome(f"set{ending}", content)
