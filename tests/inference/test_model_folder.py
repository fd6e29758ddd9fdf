"""A model's folder is whole, or it is said what it lacks."""

import json
from pathlib import Path

import pytest

from warrior_dagster.inference.model_folder import no_model, unfinished

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "models" / "small-coder"
    made.mkdir(parents=True)
    (made / "config.json").write_text("{}")
    return made


def index(folder: Path, name: str, *files: str) -> None:
    (folder / f"{name}.index.json").write_text(json.dumps({"weight_map": dict(enumerate(files))}))


def test_a_folder_that_is_missing_is_named_with_one_that_may_be_meant(folder: Path) -> None:
    assert no_model(folder) == ""
    beside = folder.with_name("small-codr")
    assert no_model(beside).endswith(f"there is no {beside}; did you mean {folder}?")
    above = folder.parents[1] / "model" / "small-coder"
    assert no_model(above).endswith(f"there is no {above}; did you mean {folder}?")
    assert no_model(folder / "config.json").endswith("config.json is a file")
    assert no_model(folder.parent).endswith(f"has none; did you mean {folder}?")


def test_weights_that_are_missing_are_named(folder: Path) -> None:
    assert "has no weights" in unfinished(folder)
    (folder / "model-1.safetensors").write_text(POINTER)
    assert "`git lfs pull`" in unfinished(folder)
    (folder / "model-1.safetensors").write_bytes(b"weights")
    assert unfinished(folder) == ""
    index(folder, "model.safetensors", "model-1.safetensors", "model-2.safetensors")
    assert unfinished(folder) == f"{folder} lacks model-2.safetensors"
    (folder / "model-2.safetensors").write_bytes(b"weights")
    assert unfinished(folder) == ""


def test_one_whole_format_of_several_suffices(folder: Path) -> None:
    (folder / "model-1.safetensors").write_bytes(b"weights")
    index(folder, "model.safetensors", "model-1.safetensors")
    index(folder, "pytorch_model.bin", "pytorch_model-1.bin")
    assert unfinished(folder) == ""


def test_an_index_that_is_no_json_is_an_error(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "model.safetensors.index.json").write_text("{")
    assert "expected JSON" in unfinished(folder)


def test_what_is_no_model_s_folder_lacks_nothing(tmp_path: Path) -> None:
    assert unfinished(tmp_path / "absent") == ""
