from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.config.stages import Deduplication, Embedding, Selection
from warrior_dagster.stages.curation import selection
from warrior_dagster.stages.curation.selection import embedded, mark_duplicates, select_centres

ROSTER = ["zed", "ann", "bob"]


def mined(texts: dict[str, list[str]]) -> pl.DataFrame:
    rows = [
        {
            "row_id": f"{name}{n}", "instruction_id": f"{name}{n}", "competitor": name, "language": "Python",
            "temperature": 1.0, "top_p": 0.9, "sample": n, "status": "ok" if text else "empty", "instruction": text,
            "completion_key": "k",
        }
        for name, own in texts.items() for n, text in enumerate(own)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def test_the_first_in_roster_order_is_kept_and_the_repetition_names_it() -> None:
    texts = {"ann": ["sort a list of words", "new"], "zed": ["sort a list of words", ""], "bob": ["new"]}
    marked = {r["row_id"]: r for r in mark_duplicates(mined(texts), ROSTER, Deduplication()).to_dicts()}
    assert {k for k, r in marked.items() if r["kept"]} == {"zed0", "ann1"}
    assert (marked["ann0"]["duplicate_of"], marked["ann0"]["similarity"]) == ("zed0", 1.0)
    assert marked["bob0"]["duplicate_of"] == "ann1"
    assert marked["zed0"]["duplicate_of"] is None
    assert "zed1" not in marked


words = st.lists(st.text("abc ", min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=6)


@given(st.tuples(words, words, words), words)
def test_a_later_competitor_and_more_samples_change_no_earlier_row(texts: tuple[list[str], ...], more: list[str]) -> None:
    few = mark_duplicates(mined(dict(zip(ROSTER[:2], texts, strict=False))), ROSTER, Deduplication())
    appended = mark_duplicates(mined(dict(zip(ROSTER, texts, strict=True))), ROSTER, Deduplication())
    assert appended.filter(pl.col("competitor") != "bob").equals(few)
    longer = mark_duplicates(mined({"zed": texts[0] + more}), ROSTER, Deduplication())
    assert longer.head(len(texts[0])).equals(few.filter(competitor="zed"))


def vectors(points: dict[str, np.ndarray]) -> pl.DataFrame:
    frames = []
    for name, own in points.items():
        ids = [f"{name}{n}" for n in range(len(own))]
        texts = dict.fromkeys(("row_id", "instruction_id", "language", "instruction"), pl.Series(ids, dtype=pl.String))
        vector = pl.Series(own.astype(np.float32), dtype=pl.Array(pl.Float32, 2))
        score = pl.Series([7.0] * len(own), dtype=pl.Float64)
        frames.append(
            pl.DataFrame(
                {**texts, "competitor": pl.Series([name] * len(own), dtype=pl.String), "score": score, "vector": vector}
            )
        )
    return pl.concat(frames)


def select(instructions: pl.DataFrame, roster: list[str], settings: Selection) -> pl.DataFrame:
    return select_centres(instructions, roster, settings, lambda _, rows: rows["vector"].to_numpy())


@given(st.integers(0, 1000), st.integers(1, 5))
def test_a_later_competitor_changes_no_earlier_selection(seed: int, centres: int) -> None:
    rng = np.random.default_rng(seed)
    points = {name: rng.normal(size=(int(rng.integers(0, 8)), 2)) for name in ROSTER}
    chosen = select(vectors(points), ROSTER, Selection(centres=centres))
    before = select(vectors({n: points[n] for n in ROSTER[:2]}), ROSTER[:2], Selection(centres=centres))
    assert chosen.filter(pl.col("competitor") != "bob").equals(before)
    assert all(n <= centres for n in chosen["competitor"].value_counts()["count"])


def test_a_competitor_contributes_only_what_the_earlier_ones_lack() -> None:
    points = {"zed": np.array([[0.0, 0.0], [9.0, 9.0]]), "ann": np.array([[0.0, 0.0], [5.0, 0.0], [9.0, 9.0]])}
    chosen = select(vectors(points), ROSTER[:2], Selection(centres=3))
    assert chosen.filter(competitor="ann")["row_id"].to_list() == ["ann1"]


def test_in_parts_each_competitor_still_contributes_centres_of_its_own_rows_and_what_the_others_lack() -> None:
    rng = np.random.default_rng(0)
    points = {name: rng.normal(size=(40, 2)) for name in ROSTER}
    reads = list[int]()

    def read(_: str, rows: pl.DataFrame) -> np.ndarray:
        reads.append(len(rows))
        found: np.ndarray = rows["vector"].to_numpy()
        return found

    chosen = select_centres(vectors(points), ROSTER, Selection(centres=5, part_rows=10), read)
    assert reads == [10] * 12
    assert chosen["competitor"].value_counts().sort("competitor").rows() == [("ann", 5), ("bob", 5), ("zed", 5)]
    assert chosen["instruction_id"].n_unique() == 15
    assert all(row_id.startswith(name) for name, row_id in chosen.select("competitor", "row_id").iter_rows())
    before = select_centres(vectors({"zed": points["zed"]}), ROSTER[:1], Selection(centres=5, part_rows=10), read)
    assert chosen.filter(competitor="zed").equals(before)


def test_a_vector_does_not_depend_on_the_other_partitions_of_a_run(bundled_embedder: Path) -> None:
    texts = {
        "zed": ["sort a list", "reverse a string in place"],
        "ann": ["a much longer request about sockets and threads"],
    }
    kept = mark_duplicates(mined(texts), ROSTER, Deduplication()).with_columns(score=pl.lit(7.0))
    settings = Embedding(model=str(bundled_embedder))
    first, second = (pl.concat(embedded(kept.filter(competitor=name), settings)) for name in ("zed", "ann"))
    assert pl.concat(embedded(kept.filter(competitor="zed"), settings)).equals(first)
    assert first.schema == second.schema == pl.concat(embedded(kept.head(0), settings)).schema
    assert first["instruction"].to_list() == ["reverse a string in place", "sort a list"]  # the longest first


def test_chunks_lose_no_row_and_cut_no_batch_apart(bundled_embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"zed": [f"write a function number {n} that " + "sorts " * (n % 7) for n in range(21)]}
    kept = mark_duplicates(mined(texts), ["zed"], Deduplication(threshold=1.0)).with_columns(score=pl.lit(7.0))
    settings = Embedding(model=str(bundled_embedder), batch_size=4)
    whole = pl.concat(embedded(kept, settings))
    monkeypatch.setattr(selection, "CHUNK", 8)
    pieces = list(embedded(kept, settings))
    assert [len(piece) for piece in pieces] == [8, 8, 5]
    assert pl.concat(pieces).drop("vector").equals(whole.drop("vector"))
    np.testing.assert_allclose(pl.concat(pieces)["vector"].to_numpy(), whole["vector"].to_numpy(), atol=1e-6)
