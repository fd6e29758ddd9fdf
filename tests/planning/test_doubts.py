"""What an arena may say, and what is seldom meant, is a warning."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import load_arena
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.planning.doubts import (
    doubts,
    equal_competitors,
    equal_languages,
    folders_without_dot,
    misspelt_sets,
    moving_revisions,
    shared_warehouse,
    unlisted_competitors,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an arena's file; keyword arguments replace top-level values."""

    def made(name: str = "mine", file: str = "", **values: Any) -> Path:
        competitors = [{"name": one, "model": f"org/{one}", "revision": COMMIT} for one in ("ann", "bob", "cyd")]
        path = tmp_path / "arenas" / (file or f"{name}.yaml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump({"name": name, "competitors": competitors} | values))
        return path

    return made


def fill(arena: Arena) -> None:
    """Materialize a partition of an arena."""
    open_warehouse(arena).write("mined_instructions", "ann", pl.DataFrame({"row_id": ["x"]}))


def test_an_arena_as_it_should_be_raises_no_doubt(write: Write) -> None:
    assert doubts(load_arena(write()), write()) == []


def test_rows_of_a_competitor_that_the_file_does_not_list_are_named(write: Write) -> None:
    arena = load_arena(write())
    assert unlisted_competitors(arena) == []
    fill(arena)
    assert unlisted_competitors(arena) == []
    open_warehouse(arena).write("mined_instructions", "dan", pl.DataFrame({"row_id": ["x"]}))
    (line,) = unlisted_competitors(arena)
    assert line.startswith("competitors: the warehouse has rows of dan, which")


def test_a_competitor_that_would_give_the_same_answers_as_an_earlier_one_is_named(write: Write) -> None:
    plain: dict[str, Any] = {"model": "org/ann", "revision": COMMIT}
    place: dict[str, Any] = {"kind": "endpoint", "urls": ["http://localhost:8000"]}
    others = [
        {"name": "ann", **plain},
        {"name": "bold", **plain, "sampling": {"temperature": 1.2}},
        {"name": "bob", **plain, "system_prompt": "Be brief."},
        {"name": "small", **plain, "serve": {"kind": "vllm", "quantization": "fp8"}},
        {"name": "tuned", **plain, "serve": place | {"served_model": "ann-lora"}},
        {"name": "chat", "model": "org/ann", "serve": place | {"kind": "chat"}},
        {"name": "moving", "model": "org/ann"},
    ]
    assert equal_competitors(load_arena(write(competitors=others))) == []
    twins = [{"name": "twin", **plain, "serve": place, "license": "mit"}, {**others[-1], "name": "main", "revision": "main"}]
    first, second = equal_competitors(load_arena(write(competitors=[*others, *twins])))
    assert first.startswith("competitors: ann and twin have the same model, prompt and sampling")
    assert second.startswith("competitors: moving and main have")


@pytest.mark.parametrize("beside", ["file", "us"])
def test_a_folder_named_like_a_hub_id_is_doubted(
    write: Write, beside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write()
    folder = file.parent if beside == "file" else tmp_path
    (folder / "org" / "bob").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (line,) = folders_without_dot(load_arena(file), file)
    assert line.startswith(
        f"competitors.bob.model: org/bob is taken for a hub id; for the folder {folder / 'org' / 'bob'} write"
    )


def test_revisions_that_may_move_are_doubted(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    competitors = [
        {"name": "ann", "model": "org/m", "revision": "main"},
        {"name": "bob", "model": "org/m"},
        {"name": "cyd", "model": "org/c"},
        {"name": "dan", "model": "./local"},
        {"name": "eve", "model": "org/e", "revision": COMMIT},
        {"name": "fay", "model": "service", "serve": {"kind": "chat", "urls": ["http://host"]}},
    ]
    arena = load_arena(write(competitors=competitors, embedding={"model": "org/v", "revision": "v2"}))
    unpinned, main, tag = moving_revisions(arena)
    assert unpinned == "competitors: no revision pinned for bob, cyd: the model changes if its branch moves"
    assert main == "competitors.ann.revision: main is no commit but a branch or tag, which may move: pin the commit"
    assert tag.startswith("embedding.revision: v2 is no commit")
    snapshot = tmp_path / "hub" / "models--org--m" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(COMMIT)
    unpinned, main, _ = moving_revisions(arena)
    assert unpinned.endswith(f"its branch moves; the hub's cache has: bob {COMMIT}")
    assert main.endswith(f"pin the commit; the hub's cache has it at {COMMIT}")


def test_a_language_in_two_spellings_is_doubted_with_its_place(write: Write) -> None:
    languages = ["Python", "Rust", "py", "python ", "C++", "C", "C#", "cpp"]
    lines = equal_languages(load_arena(write(languages=languages)))
    assert [line.partition(" are one language")[0] for line in lines] == [
        "languages[2]: 'py' and 'Python'",
        "languages[3]: 'python ' and 'Python'",
        "languages[7]: 'cpp' and 'C++'",
    ]


def test_a_set_that_comes_with_a_package_is_suggested(write: Write) -> None:
    sources = ["humaneval", "HumanEval", "human_eval", "org/humaneval-x", "org/CodeAlpaca"]
    sets = [{"name": str(i), "source": source} for i, source in enumerate(sources)]
    lines = misspelt_sets(load_arena(write(export={"benchmarks": sets})))
    end = "is taken for a data set of the hub; did you mean humaneval?"
    assert lines == [f"export.benchmarks[{i}].source: {sources[i]} {end}" for i in (1, 2)]


def test_a_copy_with_the_same_name_and_warehouse_is_doubted(write: Write) -> None:
    file = write()
    shutil.copy(file, file.with_name("copy.yaml"))
    (line,) = shared_warehouse(load_arena(file), file)
    assert line.startswith(
        f"warehouse: {file.with_name('copy.yaml')} has the same name and warehouse: a run of either replaces"
    )


@pytest.mark.parametrize(("names", "doubted"), [("ann bob cyd dan", 0), ("ann bob dan", 1)])
def test_an_arena_with_competitors_appended_or_without_its_last_is_no_doubt_and_one_with_others_is(
    write: Write, names: str, doubted: int
) -> None:
    others = [{"name": one, "model": f"org/{one}", "revision": COMMIT} for one in names.split()]
    grown, file = write(file="grown.yaml", competitors=others), write()
    assert len(shared_warehouse(load_arena(file), file)) == len(shared_warehouse(load_arena(grown), grown)) == doubted


def test_a_copy_with_the_warehouse_of_another_arena_is_doubted(write: Write) -> None:
    other, file = write("other", warehouse="../data/other"), write("mine", warehouse="../data/other")
    (line,) = shared_warehouse(load_arena(file), file)
    assert line.startswith(f"warehouse: it is that of the arena other too ({other}): both use one ledger")
    assert line.endswith("for one of its own write `warehouse: ../data/mine`")


def test_a_warehouse_says_whose_it_is_without_the_file_of_that_arena(write: Write) -> None:
    other = write("other", warehouse="../data/shared")
    fill(load_arena(other))
    os.remove(other)
    file = write("mine", warehouse="../data/shared")
    (line,) = shared_warehouse(load_arena(file), file)
    assert line.startswith("warehouse: it is that of the arena other too: both use one ledger")


def test_arenas_that_share_a_warehouse_already_are_not_doubted(write: Write) -> None:
    other, file = (write(name, warehouse="../data/shared") for name in ("other", "mine"))
    for one in (other, file):
        fill(load_arena(one))
    assert shared_warehouse(load_arena(file), file) == []
    assert shared_warehouse(load_arena(other), other) == []


def test_files_beside_it_that_are_no_arenas_are_ignored(write: Write) -> None:
    file = write()
    for name, text in (("broken.yaml", "name: ["), ("other.yml", "a: 1"), ("empty.yaml", "")):
        (file.parent / name).write_text(text)
    assert doubts(load_arena(file), file) == []
    assert not Path(load_arena(file).warehouse).exists()
