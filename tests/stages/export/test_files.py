"""The files of an export: the same rows in both, and never a partial export."""

import json
import os
import re
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stages.export.examples import ROWS, arena, card
from warrior_dagster.stages.export import files
from warrior_dagster.stages.export.files import invalidate_dataset, write_dataset
from warrior_dagster.stages.export.kto import kto_rows
from warrior_dagster.stages.export.sft import sft_rows


def test_the_folder_has_both_files_with_the_rows_and_the_card(tmp_path: Path) -> None:
    rows = sft_rows(arena())
    paths = write_dataset(rows, tmp_path, "sft", card())
    assert sorted(path.name for path in tmp_path.iterdir()) == [".sft.lock", "sft"]
    assert sorted(path.name for path in (tmp_path / "sft").iterdir()) == ["README.md", "train.jsonl", "train.parquet"]
    assert pl.read_parquet(paths["parquet"]).equals(rows)
    assert pl.read_ndjson(paths["jsonl"], schema=rows.schema).equals(rows)
    assert "ä" in Path(paths["jsonl"]).read_text(encoding="utf-8")
    assert Path(paths["card"]).read_text() == card()


@pytest.mark.parametrize("kind", ROWS)
def test_equal_rows_make_equal_bytes(kind: str, tmp_path: Path) -> None:
    for place in ("one", "two"):
        write_dataset(ROWS[kind](arena()), tmp_path / place, kind, card(kind))
    for name in ("train.parquet", "train.jsonl", "README.md"):
        assert (tmp_path / "one" / kind / name).read_bytes() == (tmp_path / "two" / kind / name).read_bytes()


@pytest.mark.parametrize("count", [1, 4, 5, 8, 9])
def test_the_order_of_rows_is_kept_across_slices(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SLICE", 4)
    rows = kto_rows(arena(3)).head(count)
    assert len(rows) == count
    paths = write_dataset(rows, tmp_path, "kto", "")
    assert pl.read_parquet(paths["parquet"]).equals(rows)
    assert pl.read_ndjson(paths["jsonl"], schema=rows.schema).equals(rows)
    written = pq.ParquetFile(paths["parquet"])
    groups = [written.metadata.row_group(i).num_rows for i in range(written.num_row_groups)]
    assert groups == [4] * (count // 4) + [count % 4] * (count % 4 > 0)


def test_more_rows_than_one_slice_keep_their_order(tmp_path: Path) -> None:
    rows = pl.DataFrame({"n": range(2 * files.SLICE + 1)})
    paths = write_dataset(rows, tmp_path, "many", "")
    assert pl.read_parquet(paths["parquet"]).equals(rows)
    assert pl.read_ndjson(paths["jsonl"]).equals(rows)


def test_the_parquet_has_plain_types_and_the_features_of_the_hub(tmp_path: Path) -> None:
    import datasets

    schema = pq.read_schema(write_dataset(sft_rows(arena()), tmp_path, "sft", "")["parquet"])
    assert schema.field("instruction_id").type == pa.string()
    assert schema.field("messages").type == pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
    features = datasets.Features.from_arrow_schema(schema)
    assert json.loads(schema.metadata[b"huggingface"]) == {"info": {"features": features.to_dict()}}


@settings(max_examples=30)
@given(st.lists(st.tuples(st.text(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63 - 1))))
def test_any_text_and_number_are_read_back_from_both_files(rows: list[tuple[str, float, int]]) -> None:
    frame = pl.DataFrame(rows, schema={"text": pl.String, "float": pl.Float64, "int": pl.Int64}, orient="row")
    with tempfile.TemporaryDirectory() as folder:
        paths = write_dataset(frame, Path(folder), "any", "")
        lines = Path(paths["jsonl"]).read_text(encoding="utf-8").split("\n")[:-1]
        assert [tuple(json.loads(line).values()) for line in lines] == rows
        assert pl.read_parquet(paths["parquet"]).rows() == rows


def test_an_export_replaces_an_earlier_one_and_leftovers_of_an_interrupted_one(tmp_path: Path) -> None:
    write_dataset(sft_rows(arena(4)), tmp_path, "sft", card())
    for leftover in (".sft.new", ".sft.old"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "train.parquet").write_bytes(b"half")
    paths = write_dataset(sft_rows(arena(2)), tmp_path, "sft", card())
    assert len(pl.read_parquet(paths["parquet"])) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [".sft.lock", "sft"]


def test_concurrent_exports_wait_for_one_another_and_leave_a_complete_one(tmp_path: Path) -> None:
    sizes = [1, 4, 1, 4, 1, 4]
    with ThreadPoolExecutor(3) as threads:
        written = list(threads.map(lambda n: write_dataset(sft_rows(arena(n)), tmp_path, "sft", card()), sizes))
    rows = pl.read_parquet(written[0]["parquet"])
    assert len(rows) in sizes
    assert pl.read_ndjson(written[0]["jsonl"], schema=rows.schema).equals(rows)


def test_a_failed_export_does_not_change_the_earlier_one(tmp_path: Path) -> None:
    paths = write_dataset(sft_rows(arena(4)), tmp_path, "sft", card())
    before = {name: Path(paths[name]).read_bytes() for name in ("parquet", "jsonl", "card")}
    with pytest.raises(TypeError):
        write_dataset(sft_rows(arena(2)), tmp_path, "sft", None)  # type: ignore[arg-type]  # Fails at the last file.
    assert {name: Path(paths[name]).read_bytes() for name in before} == before
    write_dataset(sft_rows(arena(2)), tmp_path, "sft", card())
    assert len(pl.read_parquet(paths["parquet"])) == 2


def test_an_error_between_two_slices_does_not_change_the_earlier_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_dataset(kto_rows(arena(3)), tmp_path, "kto", card())
    before = Path(paths["parquet"]).read_bytes()
    slices, write = list[pl.DataFrame](), pl.DataFrame.write_ndjson

    def write_once(piece: pl.DataFrame, file: Any) -> None:
        if slices:
            raise OSError("no space left on device")
        slices.append(piece)
        write(piece, file)

    monkeypatch.setattr(files, "SLICE", 4)
    monkeypatch.setattr(pl.DataFrame, "write_ndjson", write_once)
    with pytest.raises(OSError, match="no space left"):
        write_dataset(kto_rows(arena(2)), tmp_path, "kto", card())
    assert len(slices) == 1
    assert Path(paths["parquet"]).read_bytes() == before


def test_a_type_that_no_trainer_reads_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="column day: expected String"):
        write_dataset(pl.DataFrame({"day": []}, schema={"day": pl.Date}), tmp_path, "days", "")


def tree(folder: Path) -> dict[str, str]:
    """Everything in a folder that is no lock: the text of a file, the target of a link."""
    found = {}
    for one in folder.rglob("*"):
        text = os.readlink(one) if one.is_symlink() else one.read_text("utf-8", "replace") if one.is_file() else "folder"
        found[str(one.relative_to(folder))] = text
    return {name: text for name, text in found.items() if not name.endswith(".lock")}


def prepare(place: Path, names: Iterable[str]) -> None:
    """A folder with some files; "x/" is a folder with a file, "x@" a link to a folder beside it with a file."""
    place.mkdir()
    beside = place.parent / "beside"
    beside.mkdir(exist_ok=True)
    (beside / "train.parquet").write_text("theirs")
    for name in names:
        if name.endswith("@"):
            (place / name[:-1]).symlink_to(beside)
        elif name.endswith("/"):
            (place / name).mkdir()
            (place / name / "train.parquet").write_text("theirs")
        else:
            (place / name).write_text("theirs")


WRITTEN = ("README.md", "train.jsonl", "train.parquet")
NAMES = st.sets(st.sampled_from([*WRITTEN, "train.parquet@", "README.md/", "notes.md", ".git/", "x@"]), max_size=4).filter(
    lambda names: len({name.rstrip("/@") for name in names}) == len(names)
)


@given(NAMES, st.sampled_from(["sft", ".sft.new", ".sft.old", "sft.invalidated"]), st.sampled_from(["write", "invalidate"]))
def test_an_export_removes_nothing_that_it_does_not_write(names: set[str], place: str, what: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if what == "invalidate" and place != "sft":
            write_dataset(pl.DataFrame({"a": ["x"]}), folder, "sft", "card")
        prepare(folder / place, names)
        before = tree(folder)
        own = names <= set(WRITTEN) and (len(names) in (0, 3) or place.startswith("."))
        used = place != (".sft.new" if what == "invalidate" else "sft.invalidated")
        refused = pytest.raises(FileExistsError, match=f"{re.escape(str(folder / place))}: expected an export")
        with refused if used and not own else nullcontext():
            if what == "write":
                write_dataset(pl.DataFrame({"a": ["x"]}), folder, "sft", "card")
            else:
                invalidate_dataset(folder, "sft")
        after = tree(folder)
        assert after["beside/train.parquet"] == "theirs"
        if not own:
            kept = {path: text for path, text in before.items() if path.startswith(place)}
            assert {path: after.get(path) for path in kept} == kept


@pytest.mark.parametrize("place", ["sft", ".sft.new", ".sft.old"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "file"])
def test_what_is_no_folder_in_the_place_of_an_export_is_refused(place: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    for file in WRITTEN:
        (tmp_path / "beside" / file).write_text("theirs")
    if kind == "file":
        (tmp_path / place).write_text("theirs")
    else:
        (tmp_path / place).symlink_to("beside" if kind == "link" else "nowhere")
    before = tree(tmp_path)
    with pytest.raises(FileExistsError, match="found a link or a file"):
        write_dataset(pl.DataFrame({"a": ["x"]}), tmp_path, "sft", "card")
    assert before.items() <= tree(tmp_path).items()


@pytest.mark.parametrize("kind", ROWS)
def test_without_rows_the_files_still_have_the_columns(kind: str, tmp_path: Path) -> None:
    rows = ROWS[kind](arena().clear())
    paths = write_dataset(rows, tmp_path, kind, card(kind))
    assert pl.read_parquet(paths["parquet"]).schema == rows.schema
    assert Path(paths["jsonl"]).read_bytes() == b""


def test_an_invalidated_export_is_moved_aside_and_the_next_one_takes_its_path(tmp_path: Path) -> None:
    rows = pl.DataFrame({"a": ["x"]})
    invalidate_dataset(tmp_path, "sft")  # nothing to invalidate yet
    write_dataset(rows, tmp_path, "sft", "card")
    invalidate_dataset(tmp_path, "sft")
    assert not (tmp_path / "sft").exists()
    assert (tmp_path / "sft.invalidated" / "train.parquet").exists()
    write_dataset(rows, tmp_path, "sft", "card")
    invalidate_dataset(tmp_path, "sft")
    write_dataset(rows, tmp_path, "sft", "card")
    assert {p.name for p in tmp_path.iterdir() if not p.name.startswith(".")} == {"sft", "sft.invalidated"}


@pytest.mark.parametrize("removed", range(4))
def test_an_invalidation_that_is_interrupted_does_not_stop_the_next(
    removed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, unlink, left = pl.DataFrame({"a": ["x"]}), os.unlink, removed

    def interrupted(*names: Any, **values: Any) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        unlink(*names, **values)

    for _ in range(2):
        write_dataset(rows, tmp_path, "sft", "card")
        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(os, "unlink", interrupted)
            invalidate_dataset(tmp_path, "sft")
    write_dataset(rows, tmp_path, "sft", "card")
    invalidate_dataset(tmp_path, "sft")
    assert {name.name for name in (tmp_path / "sft.invalidated").iterdir()} == set(WRITTEN)
