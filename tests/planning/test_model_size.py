"""The size of a model comes from its weights or its name, and is unknown rather than wrong or an error."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.planning.model_size import in_words, of_name, parameters


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Qwen/Qwen2.5-Coder-0.5B-Instruct", 0.5e9),
        ("deepseek-ai/deepseek-coder-1.3b-instruct", 1.3e9),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 135e6),
        ("meta-llama/Llama-3.3-70B-Instruct", 70e9),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 56e9),
        ("Qwen/QwQ-32B-Preview", 32e9),
        ("org7b/Athene-V2-Chat", None),
        ("deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct", None),
        ("org/model-4bit", None),
        ("org/zero-0B", None),
    ],
)
def test_a_hub_id_says_its_size_by_its_last_part(name: str, size: float | None) -> None:
    assert parameters(name) == size


def folder(path: Path, config: str, size: int, weights: str = "model.safetensors") -> str:
    """A model's folder with so many bytes of weights."""
    path.mkdir()
    (path / "config.json").write_text(config)
    (path / weights).write_bytes(b"\0" * size)
    return str(path)


def test_a_folder_says_its_size_by_its_weights_and_their_type(tmp_path: Path) -> None:
    assert parameters(folder(tmp_path / "two", json.dumps({"dtype": "bfloat16"}), 4_000)) == 2_000
    assert parameters(folder(tmp_path / "four", json.dumps({"torch_dtype": "float32"}), 4_000)) == 1_000
    twice = folder(tmp_path / "twice", "{}", 4_000)
    (Path(twice) / "consolidated.safetensors").write_bytes(b"\0" * 4_000)
    (Path(twice) / "model-00001-of-00001.safetensors").write_bytes(b"\0" * 4_000)
    assert parameters(twice) == 2_000
    trained = folder(tmp_path / "trained", "{}", 4_000, "pytorch_model.bin")
    for name in ("optimizer.bin", "adapter_model.safetensors"):
        (Path(trained) / name).write_bytes(b"\0" * 8_000)
    assert parameters(trained) == 2_000
    assert parameters(folder(tmp_path / "coder-7b-gguf", "{}", 4_000, "coder-q4_k_m.gguf")) == 7e9


@pytest.mark.parametrize("config", ["{", "[]", json.dumps({"quantization_config": {"bits": 4}})])
def test_a_folder_that_does_not_say_it_has_the_size_in_its_name(tmp_path: Path, config: str) -> None:
    assert parameters(folder(tmp_path / "coder-7b", config, 4_000)) == 7e9
    assert parameters(folder(tmp_path / "coder", config, 4_000)) is None
    assert parameters(str(tmp_path / "missing")) is None


def test_the_bundled_model_has_about_as_many_parameters_as_its_name_says(bundled_model: Path) -> None:
    size = parameters(str(bundled_model))
    assert size
    assert size == pytest.approx(of_name(bundled_model.name), rel=0.01)
    assert in_words(size) == "135 M"


@given(st.text())
def test_no_name_is_an_error(name: str) -> None:
    assert (of_name(name) or 1) > 0
