from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from warrior_dagster.arena import Deduplication, Embedding, Selection
from warrior_dagster.curation.selection import embedded, mark_duplicates, select_centres

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


@settings(deadline=None)
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
        frames.append(pl.DataFrame({
            "row_id": ids, "instruction_id": ids, "competitor": [name] * len(own), "instruction": ids,
            "vector": pl.Series(own.astype(np.float32), dtype=pl.Array(pl.Float32, 2)),
        }, schema_overrides=dict.fromkeys(("row_id", "instruction_id", "competitor", "instruction"), pl.String)))  # fmt: skip
    return pl.concat(frames)


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 5))
def test_a_later_competitor_changes_no_earlier_selection(seed: int, centres: int) -> None:
    rng = np.random.default_rng(seed)
    points = {name: rng.normal(size=(int(rng.integers(0, 8)), 2)) for name in ROSTER}
    chosen = select_centres(vectors(points), ROSTER, Selection(centres=centres))
    before = select_centres(vectors({n: points[n] for n in ROSTER[:2]}), ROSTER[:2], Selection(centres=centres))
    assert chosen.filter(pl.col("competitor") != "bob").equals(before)
    assert all(n <= centres for n in chosen["competitor"].value_counts()["count"])


def test_a_competitor_contributes_only_what_the_earlier_ones_lack() -> None:
    points = {"zed": np.array([[0.0, 0.0], [9.0, 9.0]]), "ann": np.array([[0.0, 0.0], [5.0, 0.0], [9.0, 9.0]])}
    chosen = select_centres(vectors(points), ROSTER[:2], Selection(centres=3))
    assert chosen.filter(competitor="ann")["row_id"].to_list() == ["ann1"]


def test_a_vector_does_not_depend_on_the_other_partitions_of_a_run(bundled_embedder: Path) -> None:
    texts = {
        "zed": ["sort a list", "reverse a string in place"],
        "ann": ["a much longer request about sockets and threads"],
    }
    kept = mark_duplicates(mined(texts), ROSTER, Deduplication()).with_columns(score=pl.lit(7.0))
    settings = Embedding(model=str(bundled_embedder))
    together = embedded(kept, settings)
    apart = pl.concat([embedded(kept.filter(competitor=name), settings) for name in ("zed", "ann")])
    assert together.equals(apart)
    assert embedded(kept.head(0), settings).schema == together.schema
