"""Reference sets: the texts of each source, and the errors of sets that cannot be read."""

import json
from pathlib import Path

import polars as pl
import pytest

from warrior_dagster.config.reference_sets import tasks_of, texts_of
from warrior_dagster.config.stages import HUMANEVAL, ReferenceSet

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


def test_humaneval_comes_with_its_package() -> None:
    texts = texts_of(ReferenceSet(name="humaneval", source=HUMANEVAL))
    assert len(texts) == 164
    assert all("def " in text for text in texts)
