"""Ratings from battles: who is stronger overall, whatever the instruction (METHOD, section 5).

Elo is the paper's rating, and depends on the order of the battles; Bradley-Terry does not and is its check. Both are
solved by evalica. Its `weights` are never passed to Elo, where a win of weight 0.25 would lower the winner.

A table of battles has one row a battle: `left` and `right` (competitors) and `outcome`, which is 1.0 where the left
one won, 0.5 for a tie and 0.0 where it lost.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import log10

import evalica
import numpy as np
import polars as pl
from evalica import Winner

SCALE = 400.0
"""Rating points that make the odds of winning ten to one."""

WINNER_OF_OUTCOME = {1.0: Winner.X, 0.5: Winner.Draw, 0.0: Winner.Y}


def expected(rating_a: float, rating_b: float) -> float:
    """The probability that A beats B: X(A>B) = 1 / (1 + 10^((R_B - R_A) / 400)) (METHOD, section 5)."""
    return float(1.0 / (1.0 + 10.0 ** ((rating_b - rating_a) / SCALE)))


def elo(battles: pl.DataFrame, competitors: Sequence[str], *, k: float, initial: float, seed: int) -> dict[str, float]:
    """Elo ratings after one pass over the battles, both sides updated at once: zero-sum (METHOD, section 5).

    The battles are replayed in the order of the rows, permuted by numpy's `default_rng(seed)`: for the same ratings,
    hand over the same rows in the same order. A competitor without a battle keeps `initial`.

    Raises ValueError for an outcome that is not 1, 0.5 or 0, and for a name that is not a competitor's.
    """
    _check(battles, competitors)
    replayed = battles[np.random.default_rng(seed).permutation(len(battles))]
    left, right, winners = _columns(replayed)
    scores = evalica.elo(left, right, winners, k=k, initial=initial, scale=SCALE, solver="pyo3").scores.to_dict()
    return {name: float(scores.get(name, initial)) for name in competitors}


def bradley_terry(battles: pl.DataFrame, competitors: Sequence[str], *, initial: float) -> dict[str, float]:
    """Bradley-Terry strengths as ratings, 400 log10(strength), with `initial` as their mean. A tie is half a win each.

    Every pair of competitors is given one more battle that ended in a tie. Without it a competitor that won or lost
    everything, or never met the others, has no finite rating; with it there is always exactly one solution, a few
    battles cannot carry a rating far, and thousands of battles do not notice. No battles: all have `initial`.

    Groups that never met are tied together by those virtual ties alone. Then the solver is slow, and with 100,000s
    of battles a pair it stops at its limit, a few points short in the distance between the groups (not within them).

    Raises ValueError as `elo` does.
    """
    _check(battles, competitors)
    # Sorted, so that the last bits do not depend on the order of the rows either.
    counted = battles.group_by("left", "right", "outcome").len("count").sort("left", "right", "outcome")
    left, right, winners = _columns(counted)
    pairs = list(combinations(competitors, 2))
    strengths = evalica.bradley_terry(
        left + [a for a, _ in pairs],
        right + [b for _, b in pairs],
        winners + [Winner.Draw] * len(pairs),
        weights=[float(count) for count in counted["count"]] + [1.0] * len(pairs),
        solver="pyo3",
        tolerance=1e-10,
        limit=100_000,  # A few dozen steps do, except between groups that never met.
    ).scores.to_dict()
    points = {name: SCALE * log10(strengths.get(name, 1.0)) for name in competitors}
    mean = sum(points.values()) / max(len(points), 1)
    return {name: initial + own - mean for name, own in points.items()}


def rating_intervals(
    battles: pl.DataFrame,
    competitors: Sequence[str],
    rate: Callable[[pl.DataFrame], dict[str, float]],
    *,
    rounds: int,
    seed: int,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap of the ratings: for each competitor the bounds that hold `level` of `rounds` resamples.

    `rate` turns battles into ratings, as `elo` and `bradley_terry` do; it is called once a round, with as many
    battles, drawn with replacement and in random order. So an interval of Elo holds the noise of the order too.
    Battles count as independent; those on one instruction are not quite, so the truth is somewhat wider.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, not {rounds}")
    rng = np.random.default_rng(seed)
    samples = np.empty((rounds, len(competitors)))
    for row in samples:
        ratings = rate(battles[rng.integers(0, len(battles), len(battles))] if len(battles) else battles)
        row[:] = [ratings[name] for name in competitors]
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(samples, [tail, 1.0 - tail], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(competitors)}


def _check(battles: pl.DataFrame, competitors: Sequence[str]) -> None:
    strangers = {*battles["left"].unique(), *battles["right"].unique()} - set(competitors)
    if strangers:
        raise ValueError(f"battles of names that are not competitors: {sorted(map(str, strangers))}")
    outcomes = set(battles["outcome"].unique()) - set(WINNER_OF_OUTCOME)
    if outcomes:
        raise ValueError(f"an outcome is 1.0, 0.5 or 0.0, not {sorted(map(str, outcomes))}")


def _columns(battles: pl.DataFrame) -> tuple[list[str], list[str], list[Winner]]:
    """The three lists evalica asks for."""
    winners = [WINNER_OF_OUTCOME[outcome] for outcome in battles["outcome"].to_list()]
    return battles["left"].to_list(), battles["right"].to_list(), winners
