"""A model's identity holds all that changes what it says, and nothing else; completions under an earlier one can be adopted."""

import shutil
from pathlib import Path

import pytest

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.identity import earlier_folder_identity, folder_identity, stored_identity


def arena_of(*competitors: dict[str, object], **values: object) -> Arena:
    """An arena of these competitors of one model, and of two others."""
    named = [{"name": f"n{place}", "model": "org/m"} | one for place, one in enumerate(competitors)]
    others = [{"name": "x", "model": "org/x"}, {"name": "y", "model": "org/y"}]
    return Arena.model_validate({"name": "mine", "competitors": [*named, *others]} | values)


def identity_of(**competitor: object) -> str:
    arena = arena_of(competitor)
    return stored_identity(arena, arena.competitors[0])


def endpoint(name: str | None = None) -> dict[str, object]:
    return {"kind": "endpoint", "urls": ["http://localhost:1"], "served_model": name}


def test_the_names_of_a_served_model_are_different_models() -> None:
    names = ("lora-a", "lora-b", None)
    assert len({identity_of(serve=endpoint(name)) for name in names}) == 3


def test_another_data_type_is_another_model() -> None:
    types = ("auto", "bfloat16", "float16", "float32")
    assert len({identity_of(serve={"kind": "vllm", "dtype": one}) for one in types}) == 4
    assert identity_of(serve={"kind": "vllm", "dtype": "float16", "quantization": "fp8"}) == "org/m@main+fp8+dtype=float16"


@pytest.mark.parametrize(
    ("competitor", "identity"),
    [
        ({}, "org/m@main"),
        ({"revision": "abc"}, "org/m@abc"),
        ({"serve": {"kind": "vllm", "dtype": "auto", "extra_args": ["--block-size", "32"]}}, "org/m@main"),
        ({"serve": {"kind": "vllm", "quantization": "fp8", "tensor_parallel_size": 2}}, "org/m@main+fp8"),
        ({"serve": endpoint()}, "org/m@main"),
        ({"serve": endpoint("org/m")}, "org/m@main"),
    ],
)
def test_old_identities_stay_where_nothing_of_this_applies(competitor: dict[str, object], identity: str) -> None:
    assert identity_of(**competitor) == identity


def test_an_adopted_identity_is_the_one_that_completions_are_stored_under() -> None:
    arena = arena_of({"revision": "abc"}, {"revision": "abc"}, adopted={"org/m@abc": "org/m@main"})
    assert [stored_identity(arena, one) for one in arena.competitors[:2]] == ["org/m@main"] * 2
    moved_on = arena_of({"revision": "def"}, adopted={"org/m@abc": "org/m@main"})
    assert stored_identity(moved_on, moved_on.competitors[0]) == "org/m@def"


@pytest.mark.parametrize(
    ("other", "adopted"),
    [
        ({}, {"org/m@abc": "org/m@main"}),
        ({"revision": "def"}, {"org/m@abc": "org/m@main", "org/m@def": "org/m@main"}),
    ],
)
def test_an_earlier_identity_is_never_that_of_two_models(other: dict[str, object], adopted: dict[str, str]) -> None:
    arena = arena_of({"revision": "abc"}, other, adopted=adopted)
    with pytest.raises(ValueError, match="adopted: expected one model for each earlier identity; org/m@main is n1's too"):
        stored_identity(arena, arena.competitors[0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(bytes(10_000_000))
    return model


def copy_with(folder: Path, file: str) -> str:
    """A copy of a model's folder with a new file, or with another content of one."""
    copy = Path(shutil.copytree(folder, folder.parent / "other"))
    (copy / file).parent.mkdir(parents=True, exist_ok=True)
    (copy / file).write_text("new")
    return str(copy)


def test_a_copied_model_keeps_its_identity(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert folder_identity(str(copy)) == folder_identity(str(folder))


@pytest.mark.parametrize(
    "file",
    [
        *("notes.txt", "README.md", "docs/usage.md", "LICENSE", "LICENSE-CODE.txt", "loss.png", "train.log", ".gitattributes"),
        *("optimizer.pt", "training_args.bin", "trainer_state.json", "rng_state_0.pth", "runs/x/events.out.tfevents.1"),
        *("original/consolidated.00.pth", "original/params.json", "checkpoint-500/model.safetensors", "requirements.txt"),
    ],
)
def test_a_file_that_cannot_change_what_a_model_says_is_no_part_of_its_identity(folder: Path, file: str) -> None:
    copy = copy_with(folder, file)
    assert folder_identity(copy) == folder_identity(str(folder))


@pytest.mark.parametrize(
    "file",
    [
        *("generation_config.json", "tokenizer.json", "tokenizer.model", "vocab.txt", "merges.txt", "qwen.tiktoken"),
        *("bpe.codes", "chat_template.jinja", "additional_chat_templates/tool_use.jinja", "modeling.py", "layers/attention.py"),
        *("pytorch_model.bin", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "model.gguf", "unknown.xyz"),
    ],
)
def test_a_file_that_a_model_may_load_is_part_of_its_identity_by_the_same_hash_as_ever(folder: Path, file: str) -> None:
    copy = copy_with(folder, file)
    assert folder_identity(copy) != folder_identity(str(folder))
    assert folder_identity(copy) == earlier_folder_identity(copy)


def test_a_folder_keeps_the_identity_that_earlier_versions_gave_it(bundled_model: Path) -> None:
    identities = {folder_identity(str(bundled_model)), earlier_folder_identity(str(bundled_model))}
    assert identities == {"local@8b51c739e4d06cd34dd015dfb558d9f6"}


@pytest.mark.parametrize("change", ["template", "weights", "size"])
def test_another_template_or_other_weights_are_another_model(folder: Path, tmp_path: Path, change: str) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    if change == "template":
        (other / "chat_template.jinja").write_text("{{ messages }}")
    elif change == "weights":
        (other / "model.safetensors").write_bytes(b"\1" * 10_000_000)
    else:
        (other / "model.safetensors").write_bytes(bytes(10_000_001))
    assert folder_identity(str(other)) != folder_identity(str(folder))


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        folder_identity(str(tmp_path))
