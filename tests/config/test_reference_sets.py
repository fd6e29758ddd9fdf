"""Reference sets: the texts of each source, and the errors of sets that cannot be read."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from warrior_dagster.config.reference_sets import tasks_of, texts_of
from warrior_dagster.config.stages import HUMANEVAL, ReferenceSet
from warrior_dagster.stages.export.files import write_lines

ROWS = [{"instruction": "Sort a list.", "id": 1}, {"instruction": None, "id": 2}, {"instruction": "Parse a date.", "id": 3}]


def written(folder: Path, kind: str) -> str:
    path = folder / f"set.{kind}"
    if kind == "parquet":
        pl.DataFrame(ROWS).write_parquet(path)
    elif kind == "json":
        path.write_text(json.dumps(ROWS), encoding="utf-8")
    else:
        path.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("kind", ["json", "jsonl", "parquet"])
def test_a_local_file_gives_the_texts_of_a_column_in_order_without_nulls(kind: str, tmp_path: Path) -> None:
    reference = ReferenceSet(name="mine", source=written(tmp_path, kind))
    assert texts_of(reference) == ["Sort a list.", "Parse a date."]
    assert tasks_of(reference) == {"0": "Sort a list.", "1": "Parse a date."}


def test_the_tasks_of_humaneval_have_their_names_and_solutions() -> None:
    tasks, prompts = tasks_of(ReferenceSet(name="h", source=HUMANEVAL)), texts_of(ReferenceSet(name="h", source=HUMANEVAL))
    assert list(tasks) == [f"HumanEval/{number}" for number in range(164)]
    assert all(
        task.startswith(prompt) and len(task) > len(prompt) for task, prompt in zip(tasks.values(), prompts, strict=True)
    )


@pytest.mark.parametrize("kind", ["json", "jsonl", "parquet"])
def test_a_missing_column_is_named_with_the_existing_ones(kind: str, tmp_path: Path) -> None:
    reference = ReferenceSet(name="mine", source=written(tmp_path, kind), column="prompt")
    with pytest.raises(ValueError, match=r"reference set mine: .*expected column prompt; it has .*instruction"):
        texts_of(reference)


def test_a_column_of_numbers_is_refused(tmp_path: Path) -> None:
    reference = ReferenceSet(name="mine", source=written(tmp_path, "json"), column="id")
    with pytest.raises(ValueError, match=r"reference set mine: .*expected texts in column id"):
        texts_of(reference)


@pytest.mark.parametrize(
    ("name", "content"), [("set.csv", "a"), ("set.json", "{"), ("set.parquet", "no"), ("gone.jsonl", None)]
)
def test_a_file_that_cannot_be_read_is_named(name: str, content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match="reference set mine: "):
        texts_of(ReferenceSet(name="mine", source=str(tmp_path / name)))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("set.jsonl", b'{"instruction": "a"}\n\n{"instruction": 7}\n', ":3: expected texts in column instruction; found 7"),
        ("set.jsonl", b'{"instruction": "a"}\r\n{"instruction"\r\n', ":2: expected JSON: Expecting ':' delimiter"),
        ("set.jsonl", b'{"instruction": "a"}\n{"instruction": "\xff"}\n', ":2: expected UTF-8: invalid start byte"),
        ("set.jsonl", b'{"instruction": "\\ud800"}\n', ":1: expected texts of characters in column instruction; found half of"),
        ("set.jsonl", b'{"instruction": "a"}\nnull\n', ":2: expected an object with the key instruction; found null"),
        ("set.jsonl", b'[{"instruction": "a"}]', ":1: expected an object on each line; found a list: name such a file .json"),
        ("set.jsonl", b'{"id": ' + b"1" * 5000 + b"}", ":1: expected JSON of a usual size"),
        ("set.jsonl", '{"instruction": "a"}'.encode("utf-16"), ":1: expected UTF-8; found UTF-16"),
        ("set.jsonl", b"", ": expected texts in column instruction; it has none"),
        ("set.jsonl", b'{"instruction": null}', ": expected texts in column instruction; it has none"),
        ("set.jsonl", b'{"a\\nb": 1}', ": expected column instruction; it has a\\nb"),
        (
            "set.jsonl.gz",
            gzip.compress(b'{"instruction": "a"}\n7\n', mtime=0),
            ":2: expected an object with the key instruction; found 7",
        ),
        (
            "set.jsonl.gz",
            gzip.compress(b'{"instruction": "a"}\n', mtime=0)[:-4],
            ": expected a readable file: Truncated compressed stream",
        ),
        ("set.jsonl.xz", b"", ": expected a .jsonl or .json file, which may end in .gz, .bz2 or .zst too, or a .parquet file"),
        ("set.json", b'{"data": [], "v": 1}', ":1: expected a list of objects; found an object with the keys data, v"),
        ("set.json", b'["a", "b"]', ": item 1: expected an object with the key instruction; found text 'a'"),
        (
            "set.json",
            b'{"instruction": "a"}\n{"instruction": "b"}\n',
            ":2: expected JSON: Extra data: name a file with an object",
        ),
        ("set.json", b'[\n{"instruction": "a"},\n{"instruction"}]', ":3: expected JSON: Expecting ':' delimiter"),
        ("set.json", b"[" * 100_000, ":1: expected JSON of a usual size"),
    ],
)
def test_a_file_of_another_shape_is_named_with_the_line(name: str, content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match="reference set mine: ") as error:
        texts_of(ReferenceSet(name="mine", source=str(path)))
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"reference set mine: {path}{expected}")


def test_a_line_ends_at_a_line_feed_only(tmp_path: Path) -> None:
    texts = ["\u2028", "a\x85b", "\x0b\x0c\x1c", "c\rd"]
    write_lines(pl.DataFrame({"instruction": texts}), tmp_path / "train.jsonl")
    assert texts_of(ReferenceSet(name="mine", source=str(tmp_path / "train.jsonl"))) == texts


def test_brackets_in_the_name_of_a_file_are_no_pattern(tmp_path: Path) -> None:
    pl.DataFrame(ROWS).write_parquet(tmp_path / "set[1].parquet")
    assert texts_of(ReferenceSet(name="mine", source=str(tmp_path / "set[1].parquet"))) == ["Sort a list.", "Parse a date."]


def test_a_configuration_of_a_hub_s_data_set_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "owner" / "tasks"
    folder.mkdir(parents=True)
    for name in ("python", "rust"):
        (folder / f"{name}.jsonl").write_text(json.dumps({"instruction": f"Write {name}."}))
    configs = "".join(f"- config_name: {name}\n  data_files: {name}.jsonl\n" for name in ("python", "rust"))
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    monkeypatch.chdir(tmp_path)  # `datasets` reads such a folder as it reads the hub
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    assert texts_of(ReferenceSet(name="mine", source="owner/tasks", config="rust")) == ["Write rust."]
    with pytest.raises(ValueError, match=r"reference set mine: owner/tasks: .*python.*rust"):
        texts_of(ReferenceSet(name="mine", source="owner/tasks", config="c"))
    with pytest.raises(ValueError, match="reference set mine: owner/tasks: expected column prompt; it has instruction"):
        texts_of(ReferenceSet(name="mine", source="owner/tasks", config="rust", column="prompt"))


def test_humaneval_comes_with_its_package() -> None:
    texts = texts_of(ReferenceSet(name="humaneval", source=HUMANEVAL))
    assert len(texts) == 164
    assert all("def " in text for text in texts)
