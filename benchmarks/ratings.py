"""Elo and Bradley-Terry with 1,000 bootstraps of each, in at most 5 seconds on two cores, and their exactness.

Elo's mean over many orders: seconds with the default 100 bootstraps, the standard error in points, and the width of the
bootstrap samples against those of Bradley-Terry, whose order does not matter.

Differences are in rating points: to evalica for the ratings, to a plain replay of every draw for Elo's bootstrap. Deviations of
Bradley-Terry's bootstrap, and seconds per round, are compared with evalica on resampled tables.
"""

import statistics
from collections.abc import Callable
from math import inf
from typing import Any

import evalica
import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.measure import QUICK, result, timed
from warrior_dagster.stages.ratings.bootstrap import bradley_terry_samples, draws, elo_samples
from warrior_dagster.stages.ratings.elo import WINNER_OF_OUTCOME, bradley_terry, elo, encode, expected
from warrior_dagster.stages.ratings.many_orders import ORDERS, elo_over_orders

NAMES = [f"model-{number}" for number in range(5)]
K, INITIAL, ROUNDS, SEED = 40.0, 1000.0, 1_000, 0
TOLERANCE = 1e-6
LIMIT = 5.0


def battles_of(count: int) -> pl.DataFrame:
    """Battles of ten pairs with strengths up to 200 points apart; every tenth one is a tie."""
    rng = np.random.default_rng(0)
    pairs = np.array([(a, b) for a in range(len(NAMES)) for b in range(a)])[rng.integers(0, 10, count)]
    wins = rng.random(count) < 1 / (1 + 10 ** ((pairs[:, 1] - pairs[:, 0]) * 50 / 400))
    outcomes = np.where(rng.random(count) < 0.1, 0.5, wins.astype(np.float64))
    names = np.array(NAMES)
    return pl.DataFrame({"left": names[pairs[:, 0]], "right": names[pairs[:, 1]], "outcome": outcomes})


def ours(battles: pl.DataFrame) -> dict[str, Any]:
    """Everything that has to finish within the limit."""
    return {
        "elo": elo(battles, NAMES, k=K, initial=INITIAL, seed=SEED),
        "bradley_terry": bradley_terry(battles, NAMES, initial=INITIAL),
        "elo_samples": elo_samples(battles, NAMES, k=K, initial=INITIAL, rounds=ROUNDS, seed=SEED),
        "bradley_terry_samples": bradley_terry_samples(battles, NAMES, initial=INITIAL, rounds=ROUNDS, seed=SEED),
    }


def looped(left: list[int], right: list[int], outcomes: list[float]) -> NDArray[np.float64]:
    """Elo by METHOD's formula, one battle after another."""
    rating = [INITIAL] * len(NAMES)
    for a, b, outcome in zip(left, right, outcomes, strict=True):
        change = K * (outcome - expected(rating[a], rating[b]))
        rating[a] += change
        rating[b] -= change
    return np.array(rating)


def columns(coded: pl.DataFrame) -> tuple[list[int], list[int], list[float]]:
    """The three lists that `looped` takes."""
    outcome_of = {winner: outcome for outcome, winner in WINNER_OF_OUTCOME.items()}
    return coded["left"].to_list(), coded["right"].to_list(), [outcome_of[winner] for winner in coded["winner"]]


def evalica_bradley_terry(coded: pl.DataFrame) -> NDArray[np.float64]:
    """Ratings by evalica from one row per battle and the virtual tie of every pair."""
    ties = [(a, b) for a in range(len(NAMES)) for b in range(a)]
    solved = evalica.bradley_terry(
        coded["left"].to_list() + [a for a, _ in ties],
        coded["right"].to_list() + [b for _, b in ties],
        np.concatenate([coded["winner"].to_numpy(), np.zeros(len(ties), dtype=np.uint8)]),
        tolerance=1e-12,
        limit=10_000,
    )
    points = 400 * np.log10(solved.scores.sort_index().to_numpy(dtype=np.float64))
    return np.asarray(INITIAL + points - points.mean())


def evalica_elo(coded: pl.DataFrame) -> NDArray[np.float64]:
    """Ratings by evalica from one row per battle."""
    left, right, winner = (coded[column].to_numpy() for column in ("left", "right", "winner"))
    rated = evalica.elo(left, right, winner, k=K, initial=INITIAL, scale=400.0)
    return np.asarray(rated.scores.sort_index().to_numpy(dtype=np.float64))


def close(measure: str, mine: NDArray[np.float64], theirs: NDArray[np.float64], peer: str, n: int, tolerance: float) -> None:
    """Print the largest difference."""
    difference = float(np.abs(mine - theirs).max())
    result(
        "ratings", measure, difference, peer, tolerance, min(tolerance / difference if difference else inf, 1e9), n, least=1.0
    )


def rounds_by_evalica(rate: Callable[[pl.DataFrame], Any], coded: pl.DataFrame, rounds: int) -> float:
    """Median seconds of a round that draws a table and rates it."""
    rng = np.random.default_rng(0)
    return statistics.median(timed(lambda: rate(coded[rng.integers(0, len(coded), len(coded))]))[0] for _ in range(rounds))


def over_orders(battles: pl.DataFrame) -> None:
    """Print what the mean over many orders costs, and how exact it is."""
    once = lambda: elo_over_orders(battles, NAMES, k=K, initial=INITIAL, rounds=100, seed=SEED)  # noqa: E731
    seconds, (_, deviation, samples) = sorted((timed(once) for _ in range(3)), key=lambda one: one[0])[1]
    by_strength = bradley_terry_samples(battles, NAMES, initial=INITIAL, rounds=100, seed=SEED)
    n, error = len(battles), float(deviation.max()) / ORDERS**0.5
    result("ratings", "elo_over_orders_s", seconds, "limit of 2 s", 2.0, 2.0 / seconds, n, least=1.0, orders=ORDERS)
    result("ratings", "elo_over_orders_error_points", error, "limit of 1 point", 1.0, 1.0 / error, n, least=1.0)
    width = float((samples.std(axis=0) / by_strength.std(axis=0)).mean())
    result("ratings", "elo_over_orders_deviation", width, "Bradley-Terry's, times 3", 3.0, 3.0 / width, n, least=1.0)


def main(count: int) -> None:
    """Print all results for `count` battles."""
    battles = battles_of(count)
    compiling, _ = timed(lambda: elo_samples(battles.head(10), NAMES, k=K, initial=INITIAL, rounds=1, seed=0))
    seconds, rated = sorted((timed(lambda: ours(battles)) for _ in range(3)), key=lambda one: one[0])[1]
    result(
        "ratings", "elo_bt_1000_bootstraps_s", seconds, "limit of 5 s", LIMIT, LIMIT / seconds, count, least=1.0,
        first_call_s=round(compiling, 3),
    )  # fmt: skip

    over_orders(battles)
    coded = encode(battles, NAMES)
    replayed = coded[np.random.default_rng(SEED).permutation(count)]
    point = np.array(list(rated["elo"].values()))
    close("elo_points", point, evalica_elo(replayed), "evalica", count, TOLERANCE)
    close("elo_points_of_loop", point, looped(*columns(replayed)), "plain loop", count, TOLERANCE)
    strength = np.array(list(rated["bradley_terry"].values()))
    close("bt_points", strength, evalica_bradley_terry(coded), "evalica", count, TOLERANCE)

    by_cell = coded.sort("left", "right", "winner")
    loops = np.array([looped(*columns(by_cell[draws(SEED, number, count, count)[::-1]])) for number in range(3)])
    close("elo_bootstrap_points", rated["elo_samples"][:3], loops, "plain loop over all draws", count, TOLERANCE)
    # Other draws of the same battles: their deviation is the same except for the noise of few rounds.
    rng = np.random.default_rng(1)
    few = min(count, 100_000)
    resamples = np.array([evalica_bradley_terry(coded[rng.integers(0, count, few)]) for _ in range(40 if QUICK else 100)])
    spread = resamples.std(axis=0) * np.sqrt(few / count)
    ratio = rated["bradley_terry_samples"].std(axis=0) / spread
    close("bt_bootstrap_deviation", ratio, np.ones(len(NAMES)), "evalica's resamples", count, 0.35)

    rounds = 3
    for measure, rate, sampled in (
        ("elo_round_s", evalica_elo, lambda: elo_samples(battles, NAMES, k=K, initial=INITIAL, rounds=ROUNDS, seed=SEED)),
        ("bt_round_s", evalica_bradley_terry,
         lambda: bradley_terry_samples(battles, NAMES, initial=INITIAL, rounds=ROUNDS, seed=SEED)),
    ):  # fmt: skip
        own, theirs = timed(sampled)[0] / ROUNDS, rounds_by_evalica(rate, coded, rounds)
        result("ratings", measure, own, "evalica on a resampled table", theirs, theirs / own, count, least=1.0)


if __name__ == "__main__":
    main(100_000 if QUICK else 1_000_000)
