"""Ratings from battles: who is stronger overall, whatever the instruction (METHOD, section 5).

Elo is the paper's rating, and depends on the order of the battles; Bradley-Terry does not and is its check. Both are
solved by evalica. Its `weights` are never passed to Elo, where a win of weight 0.25 would lower the winner.

A table of battles has one row a battle: `left` and `right` (competitors) and `outcome`, which is 1.0 where the left
one won, 0.5 for a tie and 0.0 where it lost.
"""

from collections.abc import Sequence
from itertools import combinations

import evalica
import numpy as np
import polars as pl
from evalica import Winner
from numpy.typing import NDArray

SCALE = 400.0
"""Rating points that make the odds of winning ten to one."""

WINNER_OF_OUTCOME = {1.0: Winner.X.value, 0.5: Winner.Draw.value, 0.0: Winner.Y.value}


def expected(rating_a: float, rating_b: float) -> float:
    """The probability that A beats B: X(A>B) = 1 / (1 + 10^((R_B - R_A) / 400)) (METHOD, section 5)."""
    return float(1.0 / (1.0 + 10.0 ** ((rating_b - rating_a) / SCALE)))


def elo(battles: pl.DataFrame, competitors: Sequence[str], *, k: float, initial: float, seed: int) -> dict[str, float]:
    """Elo ratings after one pass over the battles, both sides updated at once: zero-sum (METHOD, section 5).

    The battles are replayed in the order of the rows, permuted by numpy's `default_rng(seed)`: for the same ratings,
    hand over the same rows in the same order. A competitor without a battle keeps `initial`.

    Raises ValueError for an outcome that is not 1, 0.5 or 0, and for a name that is not a competitor's.
    """
    coded = numbered(battles, competitors)
    if coded.is_empty():  # evalica then has no scores at all
        return dict.fromkeys(competitors, initial)
    order = np.random.default_rng(seed).permutation(len(coded))
    left, right, winner = (coded[column].to_numpy()[order] for column in ("left", "right", "winner"))
    _, _, index = evalica.indexing(range(len(competitors)), [])
    rated = evalica.elo(left, right, winner, index=index, k=k, initial=initial, scale=SCALE, solver="pyo3")
    scores = rated.scores.to_dict()
    return {name: float(scores[i]) for i, name in enumerate(competitors)}


def bradley_terry(battles: pl.DataFrame, competitors: Sequence[str], *, initial: float) -> dict[str, float]:
    """Bradley-Terry strengths as ratings, 400 log10(strength), with `initial` as their mean. A tie is half a win each.

    Every pair of competitors is given one more battle that ended in a tie. Without it a competitor that won or lost
    everything, or never met the others, has no finite rating; with it there is always exactly one solution, a few
    battles cannot carry a rating far, and thousands of battles do not notice. No battles: all have `initial`.

    Groups that never met are tied together by those virtual ties alone. Then the solver is slow, and with 100,000s
    of battles a pair it stops at its limit, a few points short in the distance between the groups (not within them).

    Raises ValueError as `elo` does.
    """
    counted = cells(battles, competitors)
    ratings = bradley_terry_of_counts(counted, counted["count"].to_numpy()[None], len(competitors), initial=initial)
    return {name: float(rating) for name, rating in zip(competitors, ratings[0], strict=True)}


def bradley_terry_of_counts(
    counted: pl.DataFrame, counts: NDArray[np.int64], competitors: int, *, initial: float
) -> NDArray[np.float64]:
    """The ratings that `bradley_terry` describes, for each row of `counts` (how often each row of `counted` came).

    `counted` as `cells` gives it, `counts` of shape (tables, rows of `counted`); returns (tables, competitors).
    """
    pairs = np.array(list(combinations(range(competitors), 2)), dtype=np.int64).reshape(-1, 2)
    left = np.concatenate([counted["left"].to_numpy(), pairs[:, 0]])
    right = np.concatenate([counted["right"].to_numpy(), pairs[:, 1]])
    ties = np.full(len(pairs), Winner.Draw.value, dtype=np.uint8)
    winner = np.concatenate([counted["winner"].to_numpy(), ties])
    _, _, index = evalica.indexing(range(competitors), [])
    strengths = np.ones((len(counts), competitors))
    for row, count in zip(strengths, counts, strict=True):
        if not len(pairs):  # a single competitor, compared with nobody
            break
        weights = np.concatenate([count, np.ones(len(pairs))])
        # A few dozen steps do, except between groups that never met.
        solved = evalica.bradley_terry(
            left, right, winner, index=index, weights=weights, solver="pyo3", tolerance=1e-10, limit=100_000
        )
        row[solved.scores.index] = solved.scores
    points: NDArray[np.float64] = SCALE * np.log10(strengths)
    points += initial - points.mean(axis=1, keepdims=True)
    return points


def numbered(battles: pl.DataFrame, competitors: Sequence[str]) -> pl.DataFrame:
    """The battles in evalica's terms: `left` and `right` as places in `competitors`, and `winner`.

    Raises ValueError as `elo` does.
    """
    place = pl.col("left", "right").cast(pl.Enum(competitors), strict=False).to_physical().cast(pl.Int64)
    winner = pl.col("outcome").replace_strict(WINNER_OF_OUTCOME, default=None, return_dtype=pl.UInt8)
    coded = battles.select(place, winner=winner)
    if coded["winner"].has_nulls():
        outcomes = set(battles["outcome"].unique()) - set(WINNER_OF_OUTCOME)
        raise ValueError(f"an outcome is 1.0, 0.5 or 0.0, not {sorted(map(str, outcomes))}")
    if coded["left"].has_nulls() or coded["right"].has_nulls():
        strangers = {*battles["left"].unique(), *battles["right"].unique()} - set(competitors)
        raise ValueError(f"battles of names that are not competitors: {sorted(map(str, strangers))}")
    return coded


def cells(battles: pl.DataFrame, competitors: Sequence[str]) -> pl.DataFrame:
    """How often each outcome of each pair came: the columns of `numbered` and `count`, whatever the order of the battles.

    Raises ValueError as `elo` does.
    """
    keys = ("left", "right", "winner")
    counted = numbered(battles, competitors).group_by(keys).agg(count=pl.len().cast(pl.Int64))
    return counted.sort(keys)  # So that the last bits do not depend on the order of the rows either.
