"""The mean over many orders against replays one battle after another, and how exact it is."""

from itertools import permutations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warrior_dagster.stages.ratings import many_orders
from warrior_dagster.stages.ratings.bootstrap import bradley_terry_samples
from warrior_dagster.stages.ratings.elo import WINNER_OF_OUTCOME, expected
from warrior_dagster.stages.ratings.many_orders import draw_orders, elo_over_orders

NAMES = ["ada", "bob", "cyd", "dee", "eve"]
PAIRS = [(a, b) for i, a in enumerate(NAMES) for b in NAMES[:i]]
SCHEMA = {"left": pl.String, "right": pl.String, "outcome": pl.Float64}

battle_rows = st.lists(st.tuples(st.sampled_from(PAIRS), st.sampled_from([1.0, 0.5, 0.0])), max_size=30)


def table(rows: list[tuple[tuple[str, str], float]]) -> pl.DataFrame:
    return pl.DataFrame([(a, b, outcome) for (a, b), outcome in rows], schema=SCHEMA, orient="row")


def random_battles(count: int) -> pl.DataFrame:
    """Battles of strengths up to 200 points apart."""
    rng = np.random.default_rng(count)
    pairs = [PAIRS[i] for i in rng.integers(0, len(PAIRS), count)]
    chances = [expected(50.0 * NAMES.index(a), 50.0 * NAMES.index(b)) for a, b in pairs]
    return table([(pair, float(rng.random() < chance)) for pair, chance in zip(pairs, chances, strict=True)])


def looped(rows: list[tuple[str, str, float]], k: float) -> list[float]:
    """METHOD's formula, one battle after another."""
    rating = dict.fromkeys(NAMES, 1000.0)
    for a, b, outcome in rows:
        change = k * (outcome - expected(rating[a], rating[b]))
        rating[a] += change
        rating[b] -= change
    return list(rating.values())


@settings(max_examples=30)
@given(battle_rows, st.floats(0.0, 400.0), st.integers(0, 99))
def test_mean_and_deviation_are_those_of_replays_of_the_drawn_orders(
    rows: list[tuple[tuple[str, str], float]], k: float, seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(many_orders, "ORDERS", 7)
        mean, deviation, _ = elo_over_orders(table(rows), NAMES, k=k, initial=1000.0, rounds=0, seed=seed)
        by_cell = sorted(
            table(rows).rows(), key=lambda row: (NAMES.index(row[0]), NAMES.index(row[1]), int(WINNER_OF_OUTCOME[row[2]]))
        )
        orders = draw_orders(len(rows), len(rows), seed).tolist() if rows else [[]]
        ends = [looped([by_cell[place] for place in order[::-1]], k) for order in orders]
    np.testing.assert_allclose(mean, np.mean(ends, axis=0), rtol=0, atol=1e-8)
    np.testing.assert_allclose(deviation, np.std(ends, axis=0), rtol=0, atol=1e-5)


def test_the_mean_is_near_that_of_all_orders() -> None:
    battles = table(
        [(("bob", "ada"), 1.0), (("cyd", "ada"), 1.0), (("cyd", "bob"), 0.0), (("dee", "ada"), 0.5), (("bob", "ada"), 0.0)]
    )
    mean, deviation, _ = elo_over_orders(battles, NAMES, k=40.0, initial=1000.0, rounds=0, seed=0)
    ends = np.array([looped(list(order), 40.0) for order in permutations(battles.rows())])
    np.testing.assert_allclose(mean, ends.mean(axis=0), rtol=0, atol=0.1)
    np.testing.assert_allclose(deviation, ends.std(axis=0), rtol=0, atol=0.1)


@pytest.mark.parametrize("count", [36, 20_000])
def test_the_standard_error_of_the_mean_is_below_a_point(count: int) -> None:
    battles = random_battles(count)
    mean, deviation, _ = elo_over_orders(battles, NAMES, k=40.0, initial=1000.0, rounds=0, seed=0)
    error = deviation / np.sqrt(many_orders.ORDERS)
    assert error.max() < 1.0
    other, _, _ = elo_over_orders(battles, NAMES, k=40.0, initial=1000.0, rounds=0, seed=1)
    assert (np.abs(other - mean) < 5 * np.sqrt(2) * error).all()
    assert (other != mean).any()


def test_the_last_battles_of_an_order_give_the_same_as_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    battles = random_battles(3_000)
    monkeypatch.setattr(many_orders, "ORDERS", 500)
    short = elo_over_orders(battles, NAMES, k=40.0, initial=1000.0, rounds=0, seed=0)
    monkeypatch.setattr(many_orders, "TAIL", 3_000)
    full = elo_over_orders(battles, NAMES, k=40.0, initial=1000.0, rounds=0, seed=1)
    np.testing.assert_allclose(short[0], full[0], rtol=0, atol=5 * 50 * np.sqrt(2 / 500))
    np.testing.assert_allclose(short[1], full[1], rtol=0.2)


def test_competitors_that_rarely_meet_are_replayed_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_orders, "ORDERS", 100)
    battles = pl.concat([table([(("bob", "ada"), 1.0), (("bob", "ada"), 0.0)] * 3_000), table([(("dee", "cyd"), 1.0)])])
    mean, deviation, _ = elo_over_orders(battles, NAMES, k=40.0, initial=1000.0, rounds=0, seed=0)
    assert (mean[3], mean[2], mean[4]) == pytest.approx((1020.0, 980.0, 1000.0))
    assert deviation[2:] == pytest.approx([0.0, 0.0, 0.0])


def test_intervals_have_the_width_of_the_sampling_error_and_not_of_the_spread_of_orders() -> None:
    """Bradley-Terry has no order, so the spread of its samples is the sampling error."""
    battles = random_battles(10_000)
    mean, deviation, samples = elo_over_orders(battles, NAMES, k=40.0, initial=1000.0, rounds=100, seed=0)
    error = bradley_terry_samples(battles, NAMES, initial=1000.0, rounds=100, seed=0).std(axis=0)
    assert 0.8 < (samples.std(axis=0) / error).mean() < 1.5
    assert deviation.min() > 5 * error.max()
    assert samples.mean(axis=0) == pytest.approx(mean)


@settings(max_examples=20)
@given(battle_rows, st.integers(0, 99))
def test_means_and_samples_are_zero_sum(rows: list[tuple[tuple[str, str], float]], seed: int) -> None:
    mean, _, samples = elo_over_orders(table(rows), NAMES, k=40.0, initial=1000.0, rounds=2, seed=seed)
    assert mean.sum() == pytest.approx(5000.0, abs=1e-8)
    assert samples.sum(axis=1) == pytest.approx([5000.0] * 2, abs=1e-8)


def test_orders_are_fewer_where_long_ends_are_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_orders, "BATTLES", 10_000)
    assert draw_orders(5_000, 100, 0).shape == (100, 100)
    assert draw_orders(50_000, 50_000, 0).shape == (1, 50_000)
    assert all(len(set(order)) == 100 for order in draw_orders(5_000, 100, 0).tolist())
