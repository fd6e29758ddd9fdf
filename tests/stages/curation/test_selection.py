"""Selection of centres, one competitor after another."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.config.stages import Selection
from warrior_dagster.stages.curation.selection import select_centres

ROSTER = ["zed", "ann", "bob"]


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


def test_in_parts_each_competitor_still_contributes_its_own_rows_and_only_what_earlier_ones_lack() -> None:
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
