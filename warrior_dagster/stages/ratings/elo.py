"""Ratings from battles: the overall strength of each competitor (METHOD, section 5).

Elo is the paper's rating and depends on the order of the battles. Bradley-Terry does not, and serves as a check. evalica
computes both. Its `weights` are never passed to Elo, where a win of weight 0.25 would lower the winner. It is imported where it
is used: it brings SciPy, which takes a second, and most commands rate nothing.

A table of battles has one row per battle: `left` and `right` (competitors) and `outcome`: 1.0 if left won, 0.5 for a tie, 0.0
if left lost.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray

SCALE = 400.0
"""Rating difference at which the odds of winning are ten to one."""
WINNER_OF_OUTCOME = {1.0: 1, 0.5: 0, 0.0: 2}
"""The values of evalica's `Winner`: X, Draw and Y."""


def expected(rating_a: float, rating_b: float) -> float:
    """The probability that A beats B: X(A>B) = 1 / (1 + 10^((R_B - R_A) / 400)) (METHOD, section 5)."""
    return float(1.0 / (1.0 + 10.0 ** ((rating_b - rating_a) / SCALE)))


def elo(battles: pl.DataFrame, competitors: Sequence[str], *, k: float, initial: float, seed: int) -> dict[str, float]:
    """Elo ratings after one pass over the battles, with zero-sum updates (METHOD, section 5).

    The battles are replayed in the order of the rows, permuted by NumPy's `default_rng(seed)`. A competitor without a battle
    keeps `initial`. Raises ValueError for an outcome that is not 1, 0.5 or 0, and for a name that is not in `competitors`.
    """
    import evalica

    coded = encode(battles, competitors)
    if coded.is_empty():  # evalica would return no scores
        return dict.fromkeys(competitors, initial)
    order = np.random.default_rng(seed).permutation(len(coded))
    left, right, winner = (coded[column].to_numpy()[order] for column in ("left", "right", "winner"))
    _, _, index = evalica.indexing(range(len(competitors)), [])
    rated = evalica.elo(left, right, winner, index=index, k=k, initial=initial, scale=SCALE, solver="pyo3")
    scores = rated.scores.to_dict()
    return {name: float(scores[i]) for i, name in enumerate(competitors)}


def bradley_terry(battles: pl.DataFrame, competitors: Sequence[str], *, initial: float) -> dict[str, float]:
    """Bradley-Terry strengths as ratings, 400 log10(strength), with mean `initial`. A tie counts as half a win for each.

    Every pair of competitors gets one extra battle, a tie. Without it, a competitor that won or lost every battle, or never met
    the others, has no finite rating. With it the solution is unique, a few battles cannot move a rating far, and the effect on
    thousands of battles is negligible. Without battles all ratings are `initial`. Raises as `elo`.

    Groups that never met are connected by these ties only. Then the solver is slow, and with 100,000s of battles per pair it
    stops at its iteration limit, a few points off in the distance between the groups (but not within them).
    """
    counted = count_outcomes(battles, competitors)
    ratings = bradley_terry_of_counts(counted, counted["count"].to_numpy()[None], len(competitors), initial=initial)
    return {name: float(rating) for name, rating in zip(competitors, ratings[0], strict=True)}


def bradley_terry_of_counts(
    counted: pl.DataFrame, counts: NDArray[np.int64], competitors: int, *, initial: float
) -> NDArray[np.float64]:
    """The ratings of `bradley_terry` for each row of `counts`: how often each row of `counted` occurred.

    `counted` is from `count_outcomes`, `counts` has the shape (tables, rows of `counted`); returns (tables, competitors).
    """
    import evalica

    pairs = np.array(list(combinations(range(competitors), 2)), dtype=np.int64).reshape(-1, 2)
    left = np.concatenate([counted["left"].to_numpy(), pairs[:, 0]])
    right = np.concatenate([counted["right"].to_numpy(), pairs[:, 1]])
    ties = np.full(len(pairs), WINNER_OF_OUTCOME[0.5], dtype=np.uint8)
    winner = np.concatenate([counted["winner"].to_numpy(), ties])
    _, _, index = evalica.indexing(range(competitors), [])
    strengths = np.ones((len(counts), competitors))
    for row, count in zip(strengths, counts, strict=True):
        if not len(pairs):  # a single competitor
            break
        weights = np.concatenate([count, np.ones(len(pairs))])
        # A few dozen iterations are enough, except between groups that never met.
        solved = evalica.bradley_terry(
            left, right, winner, index=index, weights=weights, solver="pyo3", tolerance=1e-10, limit=100_000
        )
        row[solved.scores.index] = solved.scores
    points: NDArray[np.float64] = SCALE * np.log10(strengths)
    points += initial - points.mean(axis=1, keepdims=True)
    return points


def encode(battles: pl.DataFrame, competitors: Sequence[str]) -> pl.DataFrame:
    """The battles as evalica takes them: `left` and `right` as indices into `competitors`, and `winner`. Raises as `elo`."""
    indices = pl.col("left", "right").cast(pl.Enum(competitors), strict=False).to_physical().cast(pl.Int64)
    winner = pl.col("outcome").replace_strict(WINNER_OF_OUTCOME, default=None, return_dtype=pl.UInt8)
    coded = battles.select(indices, winner=winner)
    if coded["winner"].has_nulls():
        outcomes = set(battles["outcome"].unique()) - set(WINNER_OF_OUTCOME)
        raise ValueError(f"an outcome must be 1.0, 0.5 or 0.0, not {sorted(map(str, outcomes))}")
    if coded["left"].has_nulls() or coded["right"].has_nulls():
        unknown = {*battles["left"].unique(), *battles["right"].unique()} - set(competitors)
        raise ValueError(f"battles name unknown competitors: {sorted(map(str, unknown))}")
    return coded


def count_outcomes(battles: pl.DataFrame, competitors: Sequence[str]) -> pl.DataFrame:
    """How often each outcome of each pair occurred: the columns of `encode` and `count`, sorted. Raises as `elo`."""
    keys = ("left", "right", "winner")
    counted = encode(battles, competitors).group_by(keys).agg(count=pl.len().cast(pl.Int64))
    return counted.sort(keys)  # so that the order of the battles changes no bit of the result
