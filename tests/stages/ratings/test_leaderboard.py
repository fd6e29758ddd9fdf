"""The leaderboard: the counts and the interval in each competitor's row."""

from typing import Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warrior_dagster.config.stages import Ratings
from warrior_dagster.stages.ratings.leaderboard import RATING_SCHEMA, rate

NAMES = ["dee", "ada", "cyd", "bob"]
SCHEMA = {"left": pl.String, "right": pl.String, "outcome": pl.Float64}

pairs = st.sampled_from([(a, b) for a in NAMES for b in NAMES if a != b])
battle_rows = st.lists(st.tuples(pairs, st.sampled_from([1.0, 0.5, 0.0])), max_size=30)


@settings(max_examples=30)
@given(battle_rows, st.sampled_from(["elo", "bradley_terry"]), st.sampled_from([0, 20]))
def test_every_competitor_has_a_row_with_its_counts_and_its_interval(
    rows: list[tuple[tuple[str, str], float]], method: Literal["elo", "bradley_terry"], rounds: int
) -> None:
    battles = pl.DataFrame([(a, b, outcome) for (a, b), outcome in rows], schema=SCHEMA, orient="row")
    rated = rate(battles, NAMES, Ratings(method=method, bootstrap_rounds=rounds))
    assert dict(rated.schema) == RATING_SCHEMA
    assert rated["competitor"].to_list() == rated["row_id"].to_list() == NAMES
    assert rated["rating"].sum() == pytest.approx(4000.0)
    for row in rated.iter_rows(named=True):
        own = [outcome for (a, _), outcome in rows if a == row["competitor"]]
        own += [1.0 - outcome for (_, b), outcome in rows if b == row["competitor"]]
        counts = [len(own), own.count(1.0), own.count(0.5), own.count(0.0)]
        assert [row[column] for column in ("battles", "wins", "ties", "losses")] == counts
        assert row["method"] == method
        if rounds:
            assert row["low"] <= row["high"]
        else:
            assert row["low"] is None
            assert row["high"] is None
