"""Ratings: evalica's Elo against METHOD's formula, and properties of any rating."""

import math
from random import Random

import numpy as np
import polars as pl
import pytest
from evalica import Winner
from hypothesis import given, settings
from hypothesis import strategies as st

from warrior_dagster.stages.ratings.elo import WINNER_OF_OUTCOME, bradley_terry, elo, expected

some = settings(max_examples=50)

NAMES = ["ada", "bob", "cyd", "dee"]
SCHEMA = {"left": pl.String, "right": pl.String, "outcome": pl.Float64}

pairs = st.sampled_from([(a, b) for a in NAMES for b in NAMES if a != b])
battle_rows = st.lists(st.tuples(pairs, st.sampled_from([1.0, 0.5, 0.0])), max_size=60)
ratings_pair = st.tuples(st.floats(-5000, 5000), st.floats(-5000, 5000))


def table(rows: list[tuple[tuple[str, str], float]]) -> pl.DataFrame:
    return pl.DataFrame([(a, b, outcome) for (a, b), outcome in rows], schema=SCHEMA, orient="row")


def looped_elo(battles: pl.DataFrame, *, k: float, initial: float, seed: int) -> dict[str, float]:
    """METHOD's formula, literally."""
    rating = dict.fromkeys(NAMES, initial)
    rows = battles.rows()
    for i in np.random.default_rng(seed).permutation(len(rows)):
        a, b, s = rows[i]
        x = 1 / (1 + 10 ** ((rating[b] - rating[a]) / 400))
        rating[a], rating[b] = rating[a] + k * (s - x), rating[b] + k * ((1 - s) - (1 - x))
    return rating


def test_the_numbers_of_the_winners_are_evalica_s() -> None:
    assert {1.0: Winner.X.value, 0.5: Winner.Draw.value, 0.0: Winner.Y.value} == WINNER_OF_OUTCOME


@some
@given(ratings_pair)
def test_expectations_of_the_two_sides_add_up_to_one(pair: tuple[float, float]) -> None:
    a, b = pair
    assert expected(a, b) + expected(b, a) == pytest.approx(1.0, abs=1e-12)
    assert (expected(a, b) >= 0.5) == (a >= b) or math.isclose(a, b, abs_tol=1e-6)


def test_four_hundred_points_are_odds_of_ten_to_one() -> None:
    assert expected(1400.0, 1000.0) == pytest.approx(10 / 11)


@some
@given(battle_rows, st.floats(0.0, 100.0), st.floats(0.0, 2000.0), st.integers(0, 2**32))
def test_elo_equals_the_formula_of_the_method(
    rows: list[tuple[tuple[str, str], float]], k: float, initial: float, seed: int
) -> None:
    rated = elo(table(rows), NAMES, k=k, initial=initial, seed=seed)
    assert rated == pytest.approx(looped_elo(table(rows), k=k, initial=initial, seed=seed), abs=1e-9, rel=0)


@some
@given(battle_rows, st.integers(0, 99))
def test_elo_is_zero_sum(rows: list[tuple[tuple[str, str], float]], seed: int) -> None:
    assert sum(elo(table(rows), NAMES, k=40.0, initial=1000.0, seed=seed).values()) == pytest.approx(4000.0, abs=1e-8)


@some
@given(battle_rows, st.permutations(NAMES), st.permutations(NAMES))
def test_elo_does_not_depend_on_names_or_the_order_of_competitors(
    rows: list[tuple[tuple[str, str], float]], listed: list[str], renamed: list[str]
) -> None:
    new_name = dict(zip(NAMES, renamed, strict=True))
    battles = table(rows)
    rated = elo(battles, NAMES, k=40.0, initial=1000.0, seed=7)
    other = elo(battles.with_columns(pl.col("left", "right").replace(new_name)), listed, k=40.0, initial=1000.0, seed=7)
    assert other == {new_name[name]: rating for name, rating in rated.items()}


def test_elo_depends_on_the_seed_and_is_repeatable() -> None:
    rng = np.random.default_rng(0)
    battles = table([(("ada", "bob"), float(outcome)) for outcome in rng.integers(0, 2, 100)])
    first = elo(battles, NAMES, k=40.0, initial=1000.0, seed=1)
    assert elo(battles, NAMES, k=40.0, initial=1000.0, seed=1) == first
    assert elo(battles, NAMES, k=40.0, initial=1000.0, seed=2) != first


def test_a_competitor_without_a_battle_keeps_the_initial_elo_rating() -> None:
    rated = elo(table([(("ada", "bob"), 1.0)]), NAMES, k=40.0, initial=1200.0, seed=0)
    assert rated == {"ada": 1220.0, "bob": 1180.0, "cyd": 1200.0, "dee": 1200.0}


@some
@given(battle_rows, st.randoms(use_true_random=False))
def test_bradley_terry_does_not_depend_on_the_order_of_battles_or_of_their_sides(
    rows: list[tuple[tuple[str, str], float]], random: Random
) -> None:
    shuffled = [((b, a), 1.0 - outcome) if random.random() < 0.5 else ((a, b), outcome) for (a, b), outcome in rows]
    random.shuffle(shuffled)
    rated = bradley_terry(table(rows), NAMES, initial=1000.0)
    assert bradley_terry(table(shuffled), NAMES, initial=1000.0) == pytest.approx(rated, abs=1e-6)
    assert bradley_terry(table(rows[::-1]), NAMES, initial=1000.0) == rated


@some
@given(battle_rows)
def test_bradley_terry_expects_as_many_wins_as_were_counted(rows: list[tuple[tuple[str, str], float]]) -> None:
    """The condition of maximum likelihood: with the extra tie of each pair, expected wins equal counted wins."""
    rated = bradley_terry(table(rows), NAMES, initial=1000.0)
    assert sum(rated.values()) == pytest.approx(4000.0)
    with_ties = rows + [((a, b), 0.5) for i, a in enumerate(NAMES) for b in NAMES[i + 1 :]]
    surplus = dict.fromkeys(NAMES, 0.0)
    for (a, b), outcome in with_ties:
        surplus[a] += outcome - expected(rated[a], rated[b])
        surplus[b] -= outcome - expected(rated[a], rated[b])
    assert all(abs(value) < 1e-6 for value in surplus.values())


@some
@given(battle_rows, st.sampled_from([0.5, 1.0]))
def test_a_win_or_tie_of_the_lower_rated_never_increases_the_gap(
    rows: list[tuple[tuple[str, str], float]], outcome: float
) -> None:
    """A win of the lower rated, or a tie, brings it closer to the higher rated or past it."""
    rated = bradley_terry(table(rows), NAMES, initial=1000.0)
    low, high = sorted(("ada", "bob"), key=rated.__getitem__)
    after = bradley_terry(table([*rows, ((low, high), outcome)]), NAMES, initial=1000.0)
    assert after[low] - after[high] >= rated[low] - rated[high] - 1e-6


def test_more_wins_in_the_same_battles_give_a_higher_rating() -> None:
    rows = [((a, b), 1.0) for i, a in enumerate(NAMES) for b in NAMES[i + 1 :]] * 3
    rows += [((b, a), 1.0) for (a, b), _ in rows[:6]]
    rated = bradley_terry(table(rows), NAMES, initial=1000.0)
    assert rated["ada"] > rated["bob"] > rated["cyd"] > rated["dee"]


def test_bradley_terry_is_finite_after_only_wins_only_losses_or_no_battles() -> None:
    rated = bradley_terry(table([(("ada", "bob"), 1.0)] * 20_000), NAMES, initial=1000.0)
    assert all(math.isfinite(rating) for rating in rated.values())
    assert rated["ada"] > rated["cyd"] > rated["bob"]
    assert rated["dee"] == pytest.approx(rated["cyd"])
    assert expected(rated["ada"], rated["bob"]) > 0.999


def test_bradley_terry_gives_groups_that_never_met_the_same_mean() -> None:
    rows = [(("ada", "bob"), 1.0)] * 60 + [(("ada", "bob"), 0.0)] * 40
    rows += [(("cyd", "dee"), 1.0)] * 60 + [(("cyd", "dee"), 0.0)] * 40
    rated = bradley_terry(table(rows), NAMES, initial=1000.0)
    assert rated["ada"] == pytest.approx(rated["cyd"], abs=1e-3)
    assert expected(rated["ada"], rated["bob"]) == pytest.approx(0.6, abs=0.005)


def test_without_battles_all_ratings_are_initial() -> None:
    initial = dict.fromkeys(NAMES, 1000.0)
    assert elo(table([]), NAMES, k=40.0, initial=1000.0, seed=0) == initial
    assert bradley_terry(table([]), NAMES, initial=1000.0) == initial
    assert bradley_terry(table([]), ["ada"], initial=1000.0) == {"ada": 1000.0}


@pytest.mark.parametrize("row", [("ada", "bob", 0.7), ("ada", "bob", None), ("ada", "eve", 1.0)])
def test_an_invalid_battle_is_rejected(row: tuple[str, str, float | None]) -> None:
    battles = pl.DataFrame([row], schema=SCHEMA, orient="row")
    with pytest.raises(ValueError, match=r"outcome|competitors"):
        elo(battles, NAMES, k=40.0, initial=1000.0, seed=0)
    with pytest.raises(ValueError, match=r"outcome|competitors"):
        bradley_terry(battles, NAMES, initial=1000.0)
