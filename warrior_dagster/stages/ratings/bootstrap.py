"""Bootstrap intervals of the ratings.

Each round draws n of the n battles, with replacement, and rates them again. A draw is one of a few dozen cells (left,
right, outcome), so the cells are counted first, as in FastChat's rating_systems.py. A round of Bradley-Terry, which has no
order, is then one multinomial draw of their counts.

A round of Elo is a sequence, but its result hardly depends on its beginning. If the same draws are replayed from two starts, a
battle of A and B changes the differences v between the two replays' ratings to

    v_A, v_B  ->  (1 - w) v_A + w v_B,  w v_A + (1 - w) v_B      with 0 < w <= k ln 10 / 1600

(by the mean value theorem; w is k times a slope of X). For k up to 1600 / ln 10 = 695 these are averages. So replays never
diverge, and differ by less than a millionth of a point after hundreds or thousands of draws. So only the last draws of a round
are replayed, from the initial ratings and from ratings hundreds of points away. If both end at the same ratings in every round,
earlier draws are assumed to make no difference. Otherwise more draws are replayed, finally all of them: the plain bootstrap.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import exp, log

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from warrior_dagster.stages.ratings.elo import SCALE, WINNER_OF_OUTCOME, bradley_terry_of_counts, count_outcomes

OUTCOME_OF_WINNER = {winner: outcome for outcome, winner in WINNER_OF_OUTCOME.items()}
TAIL = 4096
"""Draws of a round that are replayed first. Then eight times as many, and so on."""
CONVERGED = 1e-9
"""Replays that differ by at most this many rating points count as equal: a thousandth of the accuracy that ratings need."""
MAX_CONTRACTING_K = 4 * SCALE / log(10)
"""The largest k for which replays of the same draws never diverge."""


def intervals(
    samples: NDArray[np.float64], competitors: Sequence[str], *, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """The percentile interval of each competitor that contains `level` of its samples (rounds, competitors).

    Battles are treated as independent. Those on one instruction are not quite, so the true intervals are somewhat wider. Raises
    ValueError for no samples.
    """
    if not len(samples):
        raise ValueError("intervals need at least one bootstrap round")
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(samples, [tail, 1.0 - tail], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(competitors)}


def bradley_terry_samples(
    battles: pl.DataFrame, competitors: Sequence[str], *, initial: float, rounds: int, seed: int
) -> NDArray[np.float64]:
    """The ratings of `elo.bradley_terry` for `rounds` resamples of the battles: (rounds, competitors). Raises as `elo.elo`."""
    counted = count_outcomes(battles, competitors)
    counts = np.zeros((rounds, len(counted)), dtype=np.int64)
    if len(battles):
        counts = np.random.default_rng(seed).multinomial(len(battles), counted["count"] / len(battles), size=rounds)
    return bradley_terry_of_counts(counted, counts, len(competitors), initial=initial)


def elo_samples(
    battles: pl.DataFrame, competitors: Sequence[str], *, k: float, initial: float, rounds: int, seed: int
) -> NDArray[np.float64]:
    """The ratings of `elo.elo` for `rounds` resamples of the battles: (rounds, competitors).

    A resample is in one random order, so the spread includes the noise of the order; that of `many_orders` does not. `draws`
    returns the battles of a round. Competitors without a battle keep `initial`. Raises as `elo.elo`.
    """
    counted = count_outcomes(battles, competitors)
    left, right = counted["left"].to_numpy(), counted["right"].to_numpy()
    score = np.array([OUTCOME_OF_WINNER[winner] for winner in counted["winner"]])
    cell_of_battle = np.repeat(np.arange(len(counted)), counted["count"].to_numpy())
    level = np.full(len(competitors), initial)

    def replay_last(length: int, *starts: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """The ratings (rounds, competitors) after the last `length` draws, for each start."""
        ratings = np.tile(np.array(starts), (rounds, 1, 1))

        def replay_round(number: int) -> None:
            drawn = cell_of_battle[draws(seed, number, len(battles), length)]
            replay(ratings[number], drawn, left, right, score, k)

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(replay_round, range(rounds)))
        return list(ratings.swapaxes(0, 1))

    length = TAIL
    while length < len(battles) and k <= MAX_CONTRACTING_K:
        near, far = replay_last(length, level, level + distant_start(left, right, len(competitors)))
        if (np.abs(near - far) <= CONVERGED).all():
            return near
        length *= 8
    return replay_last(len(battles), level)[0]


def draws(seed: int, number: int, battles: int, length: int) -> NDArray[np.int64]:
    """The last `length` draws of a round, the last one first: indices into the battles sorted as by `elo.count_outcomes`.

    A larger `length` adds earlier draws and changes none of the later ones.
    """
    return np.random.default_rng([seed, number]).integers(0, battles, length)


def distant_start(left: NDArray[np.int64], right: NDArray[np.int64], competitors: int) -> NDArray[np.float64]:
    """Offsets of hundreds of points for each competitor, with sum zero in each group that is connected by battles.

    Elo is zero-sum, so replays with different sums of a group would never converge. The offsets are random, so that no two
    parts of a group that rarely met have the same mean.
    """
    group = np.arange(competitors)
    for a, b in zip(left, right, strict=True):
        group[group == group[b]] = group[a]
    points = np.random.default_rng(0).normal(0.0, SCALE, competitors)
    sums, sizes = np.bincount(group, points, competitors), np.bincount(group, minlength=competitors)
    points -= sums[group] / sizes[group]
    return points


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def replay(
    ratings: NDArray[np.float64],
    drawn: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    score: NDArray[np.float64],
    k: float,
) -> None:
    """Update each row of `ratings` (starts, competitors) in place by the drawn cells, starting with the last of them.

    `left`, `right` and `score` (1, 0.5 or 0 for left) describe the cells.
    """
    slope = log(10.0) / SCALE
    for at in range(len(drawn) - 1, -1, -1):
        cell = drawn[at]
        a, b = left[cell], right[cell]
        for start in range(len(ratings)):
            change = k * (score[cell] - 1.0 / (1.0 + exp((ratings[start, b] - ratings[start, a]) * slope)))
            ratings[start, a] += change
            ratings[start, b] -= change
