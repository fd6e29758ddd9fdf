"""Bootstrap intervals of the ratings: how far they would move, had other battles been drawn from the same ones.

Each round draws as many battles as there are, with replacement, and rates them again. A draw is one of a few dozen
cells (left, right, outcome), so the cells are counted first, as FastChat's rating_systems.py does. A round of
Bradley-Terry, which has no order, is then one multinomial draw of their counts.

A round of Elo is a sequence, but its end forgets its beginning. Replay the same draws from two starts: a battle of A and
B changes the differences v between the two replays' ratings to

    v_A, v_B  ->  (1 - w) v_A + w v_B,  w v_A + (1 - w) v_B      with 0 < w <= k ln 10 / 1600

(by the mean value theorem; w is k times a slope of X). For k up to 1600 / ln 10 = 695 these are averages: replays never
drift apart, and battles draw them together at a steady rate, to less than a millionth of a point within hundreds or
thousands of draws. So only the last draws of a round are replayed, from the initial ratings and from ones that lie
hundreds of points off. Where both end at the same ratings, in every one of the rounds, what came before is taken to
make no difference either. Where they do not, more draws are replayed, at last all of them: that is the plain bootstrap.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import exp, log

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from warrior_dagster.stages.ratings.elo import SCALE, WINNER_OF_OUTCOME, bradley_terry_of_counts, cells

OUTCOME_OF_WINNER = {winner: outcome for outcome, winner in WINNER_OF_OUTCOME.items()}

TAIL = 4096
"""Draws of a round that are replayed first; then eight times as many, and so on."""

SETTLED = 1e-9
"""Rating points between two replays that count as none. The ratings are to be right to a thousand times that."""

STEADIEST = 4 * SCALE / log(10)
"""The largest k for which replays of the same draws never part."""


def intervals(
    samples: NDArray[np.float64], competitors: Sequence[str], *, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """For each competitor the bounds that hold `level` of its samples (rounds, competitors): the percentile bootstrap.

    Battles count as independent; those on one instruction are not quite, so the truth is somewhat wider.

    Raises ValueError for no samples.
    """
    if not len(samples):
        raise ValueError("no interval without rounds of the bootstrap")
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(samples, [tail, 1.0 - tail], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(competitors)}


def bradley_terry_samples(
    battles: pl.DataFrame, competitors: Sequence[str], *, initial: float, rounds: int, seed: int
) -> NDArray[np.float64]:
    """The ratings of `elo.bradley_terry` for `rounds` resamples of the battles: (rounds, competitors).

    Raises ValueError as `elo.elo` does.
    """
    counted = cells(battles, competitors)
    counts = np.zeros((rounds, len(counted)), dtype=np.int64)
    if len(battles):
        counts = np.random.default_rng(seed).multinomial(len(battles), counted["count"] / len(battles), size=rounds)
    return bradley_terry_of_counts(counted, counts, len(competitors), initial=initial)


def elo_samples(
    battles: pl.DataFrame, competitors: Sequence[str], *, k: float, initial: float, rounds: int, seed: int
) -> NDArray[np.float64]:
    """Elo ratings, as of `elo.elo`, for `rounds` resamples of the battles: (rounds, competitors).

    A resample is in random order, so that the spread holds the noise of the order too. The battles of a round are those
    of `draws`. Competitors that met nobody keep `initial`.

    Raises ValueError as `elo.elo` does.
    """
    counted = cells(battles, competitors)
    left, right = counted["left"].to_numpy(), counted["right"].to_numpy()
    score = np.array([OUTCOME_OF_WINNER[winner] for winner in counted["winner"]])
    cell_of_battle = np.repeat(np.arange(len(counted)), counted["count"].to_numpy())
    level = np.full(len(competitors), initial)

    def ends(length: int, *starts: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Where the last `length` draws lead from each start: a table (rounds, competitors) for each."""
        ratings = np.tile(np.array(starts), (rounds, 1, 1))

        def one(number: int) -> None:
            drawn = cell_of_battle[draws(seed, number, len(battles), length)]
            _replay(ratings[number], drawn, left, right, score, k)

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(one, range(rounds)))
        return list(ratings.swapaxes(0, 1))

    length = TAIL
    while length < len(battles) and k <= STEADIEST:
        near, far = ends(length, level, level + _spread(left, right, len(competitors)))
        if (np.abs(near - far) <= SETTLED).all():
            return near
        length *= 8
    return ends(len(battles), level)[0]


def draws(seed: int, number: int, battles: int, length: int) -> NDArray[np.int64]:
    """The last `length` draws of a round, the last one first: places in the battles, sorted as `elo.cells` sorts them.

    From the end, so that asking for more adds earlier ones: whoever takes all of them has the same round.
    """
    return np.random.default_rng([seed, number]).integers(0, battles, length)


def _spread(left: NDArray[np.int64], right: NDArray[np.int64], competitors: int) -> NDArray[np.float64]:
    """Hundreds of points for or against each competitor, adding up to zero among those that met, however indirectly.

    Elo gives one side what it takes from the other: replays whose groups have different sums would never meet. Random
    points, so that no two parts of a group that hardly ever met have the same mean by chance.
    """
    group = np.arange(competitors)
    for a, b in zip(left, right, strict=True):
        group[group == group[b]] = group[a]
    points = np.random.default_rng(0).normal(0.0, SCALE, competitors)
    sums, sizes = np.bincount(group, points, competitors), np.bincount(group, minlength=competitors)
    points -= sums[group] / sizes[group]
    return points


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _replay(
    ratings: NDArray[np.float64],
    drawn: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    score: NDArray[np.float64],
    k: float,
) -> None:
    """Takes each row of `ratings` (starts, competitors) through the drawn cells, the last of them first, in place.

    `left`, `right` and `score` (1, 0.5 or 0 for the left one) describe the cells.
    """
    slope = log(10.0) / SCALE
    for at in range(len(drawn) - 1, -1, -1):
        cell = drawn[at]
        a, b = left[cell], right[cell]
        for start in range(len(ratings)):
            change = k * (score[cell] - 1.0 / (1.0 + exp((ratings[start, b] - ratings[start, a]) * slope)))
            ratings[start, a] += change
            ratings[start, b] -= change
