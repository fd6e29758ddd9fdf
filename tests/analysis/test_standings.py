"""Win rates and the rating history, against counts by hand."""

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from warrior_dagster.analysis.standings import head_to_head, rating_history
from warrior_dagster.config.stages import Ratings
from warrior_dagster.stages.ratings.leaderboard import rate

ROSTER = ["ann", "bob", "cyd"]
BATTLES = st.lists(
    st.tuples(st.sampled_from([("ann", "bob"), ("ann", "cyd"), ("bob", "cyd")]), st.sampled_from([0.0, 0.5, 1.0])), max_size=30
)
SCHEMA = {"left": pl.String, "right": pl.String, "outcome": pl.Float64}


def table(battles: list[tuple[tuple[str, str], float]]) -> pl.DataFrame:
    return pl.DataFrame([(*pair, outcome) for pair, outcome in battles], schema=SCHEMA, orient="row")


@given(BATTLES)
@example([(("ann", "bob"), 0.0)] * 7)  # its interval's low end is below zero by rounding
def test_both_directions_of_a_pair_count_the_same_battles(battles: list[tuple[tuple[str, str], float]]) -> None:
    rows = {(row["competitor"], row["opponent"]): row for row in head_to_head(table(battles)).iter_rows(named=True)}
    assert set(rows) == {pair for (a, b), _ in battles for pair in ((a, b), (b, a))}
    for (a, b), row in rows.items():
        other = rows[b, a]
        assert row["win_rate"] + other["win_rate"] == pytest.approx(1)
        assert (row["won"], row["tied"], row["lost"]) == (other["lost"], other["tied"], other["won"])
        assert row["won"] + row["tied"] + row["lost"] == row["battles"] == sum({a, b} == set(pair) for pair, _ in battles)
        assert 0 <= row["low"] <= row["win_rate"] <= row["high"] <= 1


def test_a_tie_is_half_a_win_and_the_interval_is_that_of_wilson() -> None:
    row = head_to_head(table([(("ann", "bob"), 1.0)] * 7 + [(("ann", "bob"), 0.5)] * 2 + [(("ann", "bob"), 0.0)])).row(
        0, named=True
    )
    assert row["win_rate"] == pytest.approx(0.8)
    # Wilson's interval of 8 of 10.
    assert (row["low"], row["high"]) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))


@given(BATTLES)
def test_the_last_point_of_the_history_equals_the_rating(battles: list[tuple[tuple[str, str], float]]) -> None:
    settings = Ratings(bootstrap_rounds=5)
    history = rating_history(table(battles), ROSTER, settings)
    assert history["battles"].is_sorted()
    assert history.sort("row_id")["battles"].is_sorted()  # as the table is read, by row id
    if battles:
        last = history.filter(battles=len(battles)).select("competitor", "rating", "low", "high")
        assert last.equals(rate(table(battles), ROSTER, settings).select("competitor", "rating", "low", "high"))
        assert len(history) == len(ROSTER) * history["battles"].n_unique()
    else:
        assert history.is_empty()


def test_without_bootstrap_a_history_has_no_intervals() -> None:
    history = rating_history(table([(("ann", "bob"), 1.0)] * 20), ROSTER, Ratings(bootstrap_rounds=0))
    assert history["low"].null_count() == len(history) == 30
