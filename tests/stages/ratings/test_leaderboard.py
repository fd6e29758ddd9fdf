"""The leaderboard: the counts and the interval in each competitor's row."""

from random import Random
from typing import Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warrior_dagster.config.stages import Ratings
from warrior_dagster.stages.ratings.bootstrap import elo_samples, intervals
from warrior_dagster.stages.ratings.elo import elo
from warrior_dagster.stages.ratings.leaderboard import RATING_SCHEMA, rate

NAMES = ["dee", "ada", "cyd", "bob"]
SCHEMA = {"left": pl.String, "right": pl.String, "outcome": pl.Float64}

pairs = st.sampled_from([(a, b) for a in NAMES for b in NAMES if a != b])
battle_rows = st.lists(st.tuples(pairs, st.sampled_from([1.0, 0.5, 0.0])), max_size=30)


def table(rows: list[tuple[tuple[str, str], float]]) -> pl.DataFrame:
    return pl.DataFrame([(a, b, outcome) for (a, b), outcome in rows], schema=SCHEMA, orient="row")


@settings(max_examples=30)
@given(battle_rows, st.sampled_from(["elo", "bradley_terry"]), st.sampled_from(["many", "one"]), st.sampled_from([0, 20]))
def test_every_competitor_has_a_row_with_its_counts_and_its_interval(
    rows: list[tuple[tuple[str, str], float]],
    method: Literal["elo", "bradley_terry"],
    orders: Literal["many", "one"],
    rounds: int,
) -> None:
    rated = rate(table(rows), NAMES, Ratings(method=method, orders=orders, bootstrap_rounds=rounds))
    schema = dict(RATING_SCHEMA)
    if (method, orders) != ("elo", "many"):
        del schema["order_deviation"]
    assert dict(rated.schema) == schema
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


@settings(max_examples=50)
@given(
    battle_rows,
    st.permutations(NAMES),
    st.permutations(NAMES),
    st.randoms(use_true_random=False),
    st.sampled_from(["elo", "bradley_terry"]),
)
def test_names_the_order_of_the_roster_sides_and_the_order_of_battles_change_no_bit_of_a_rating(
    rows: list[tuple[tuple[str, str], float]],
    listed: list[str],
    renamed: list[str],
    random: Random,
    method: Literal["elo", "bradley_terry"],
) -> None:
    chosen, new_name = Ratings(method=method, bootstrap_rounds=5), dict(zip(NAMES, renamed, strict=True))
    turned = [((b, a), 1.0 - outcome) if random.random() < 0.5 else ((a, b), outcome) for (a, b), outcome in rows]
    random.shuffle(turned)
    other = rate(table(turned).with_columns(pl.col("left", "right").replace(new_name)), listed, chosen)
    rated = rate(table(rows), NAMES, chosen).with_columns(pl.col("row_id", "competitor").replace(new_name))
    assert other.sort("competitor").equals(rated.sort("competitor"))


def test_competitors_that_won_and_lost_alike_have_the_same_rating_and_interval() -> None:
    alike = [((name, "cyd"), outcome) for name in ("ada", "bob") for outcome in (1.0, 1.0, 0.0)] + [(("ada", "bob"), 0.5)]
    rated = rate(table(alike), NAMES, Ratings()).drop("row_id").rows_by_key("competitor")
    assert rated["ada"] == rated["bob"] != rated["cyd"]


def test_one_pass_gives_the_ratings_of_a_single_seeded_replay() -> None:
    battles = table([(("ada", "bob"), 1.0), (("cyd", "dee"), 0.0), (("bob", "cyd"), 0.5)] * 30)
    chosen = Ratings(orders="one", seed=3, bootstrap_rounds=20)
    rated = rate(battles, NAMES, chosen)
    assert dict(rated.select("competitor", "rating").rows()) == elo(battles, NAMES, k=40, initial=1000, seed=3)
    samples = elo_samples(battles, NAMES, k=40.0, initial=1000.0, rounds=20, seed=3)
    assert dict(rated.select("competitor", pl.concat_list("low", "high")).rows()) == {
        name: list(interval) for name, interval in intervals(samples, NAMES).items()
    }
