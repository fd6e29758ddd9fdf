import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.config.serving import Endpoint, Sampling, VllmServer
from warrior_dagster.inference.request import Request, ServedModel, folder_identity, params

MODEL = ServedModel("org/m@main", "org/m", None, VllmServer())
prompts = st.text(st.characters(codec="utf-8"), max_size=20)


@given(prompt=prompts, count=st.integers(1, 5))
def test_the_number_of_samples_in_a_request_does_not_change_their_keys(prompt: str, count: int) -> None:
    together = Request(MODEL, prompt, "{}", tuple(range(count))).keys()
    assert together == [Request(MODEL, prompt, "{}", (n,)).keys()[0] for n in range(count)]
    assert len(set(together)) == count


@given(a=st.tuples(prompts, prompts, prompts), b=st.tuples(prompts, prompts, prompts))
def test_different_model_prompt_or_parameters_give_different_keys(a: tuple[str, str, str], b: tuple[str, str, str]) -> None:
    keys = [Request(ServedModel(m, "x", None, VllmServer()), p, s).keys()[0] for m, p, s in (a, b)]
    assert (keys[0] == keys[1]) == (a == b)


def test_the_server_of_a_model_does_not_change_the_key() -> None:
    elsewhere = ServedModel("org/m@main", "org/m", None, Endpoint(kind="endpoint", urls=("http://localhost:1",)))
    assert Request(MODEL, "p", "{}").keys() == Request(elsewhere, "p", "{}").keys()


def test_equal_sampling_has_equal_parameters_for_integers_and_floats() -> None:
    assert params(Sampling(temperature=1, top_p=1)) == params(Sampling(temperature=1.0, top_p=1.0))
    assert params(Sampling(), stop=["x"]) != params(Sampling())


def test_no_server_default_can_change_what_is_sampled() -> None:
    for name in ("top_k", "min_p", "repetition_penalty", "temperature", "top_p", "max_tokens"):
        assert f'"{name}":' in params(Sampling())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(bytes(10_000_000))
    return model


def test_a_copied_model_keeps_its_identity(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert folder_identity(str(copy)) == folder_identity(str(folder))


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
