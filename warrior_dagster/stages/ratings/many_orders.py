"""Elo without an order: the mean over many random orders of the battles.

One pass with k = 40 ends 50 points higher or lower by the order alone. The mean over `ORDERS` orders has a standard error below
one point (`python -m benchmarks.ratings` measures it), and the standard deviation over single orders shows what one pass hides.

Only the table of results counts: how often each pair met with which outcome. Orders are drawn over this table. After
`results.by_results` it is the same whatever the names, the roster's order, the sides and the order of rows.

The last battles of an order decide: `bootstrap` has the reason, and the test with two starts that is used here too. So an order
is its last `length` battles, the places of which are drawn without replacement.

A bootstrap round resamples the table and replays some of the same orders on it. All rounds share most of the noise of these
orders, so they are moved together until their mean is the rating. What remains is the sampling error, not the spread of orders.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from warrior_dagster.stages.ratings.bootstrap import MAX_CONTRACTING_K, OUTCOME_OF_WINNER, distant_start, replay
from warrior_dagster.stages.ratings.elo import count_outcomes

ORDERS = 4096
ORDERS_OF_A_ROUND = 64
TAIL = 512
"""Battles at the end of each order that are replayed first. Then twice as many, and so on."""
CONVERGED = 0.01
"""Replays that differ by at most this many rating points count as equal: a hundredth of the accuracy that the mean needs."""
BATTLES = 2**25
"""The most battles of all orders: where long ends must be replayed, there are fewer orders. Ends are long with a small k, for
which fewer orders are enough.
"""

Ratings = NDArray[np.float64]


def elo_over_orders(
    battles: pl.DataFrame, competitors: Sequence[str], *, k: float, initial: float, rounds: int, seed: int
) -> tuple[Ratings, Ratings, Ratings]:
    """The mean rating over many orders, its standard deviation over single orders, and the mean in bootstrap rounds.

    Shapes: (competitors,), (competitors,) and (rounds, competitors). The means are zero-sum around `initial`. Raises as
    `elo.elo`.
    """
    counted = count_outcomes(battles, competitors)
    counts, left, right = (counted[column].to_numpy() for column in ("count", "left", "right"))
    score = np.array([OUTCOME_OF_WINNER[winner] for winner in counted["winner"]], dtype=np.float64)
    level, number = np.full(len(competitors), initial, dtype=np.float64), len(battles)
    if not number:
        return level, np.zeros(len(competitors)), np.tile(level, (rounds, 1))

    def ends(table: NDArray[np.int64], orders: NDArray[np.int64], start: Ratings) -> Ratings:
        """The ratings (orders, competitors) after each order of the battles in a table of counts."""
        ratings = np.tile(start, (len(orders), 1))
        _replay_each(ratings, np.searchsorted(np.cumsum(table), orders, side="right"), left, right, score, k)
        return ratings

    length = min(TAIL, number) if k <= MAX_CONTRACTING_K else number
    far = level + distant_start(left, right, len(competitors))
    while True:
        orders = draw_orders(number, length, seed)
        found = ends(counts, orders, level)
        if length == number or np.abs(ends(counts, orders, far) - found).max() <= CONVERGED:
            break
        length = min(2 * length, number)
    mean = found.mean(axis=0)

    tables = np.random.default_rng(seed).multinomial(number, counts / number, size=rounds)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        means = list(threads.map(lambda table: ends(table, orders[:ORDERS_OF_A_ROUND], level).mean(axis=0), tables))
    samples = np.array(means).reshape(rounds, len(competitors))
    return mean, found.std(axis=0), samples + (mean - samples.mean(axis=0) if rounds else 0.0)


def draw_orders(battles: int, length: int, seed: int) -> NDArray[np.int64]:
    """The last `length` places of random orders of all battles, the last one first: (orders, length)."""
    rng = np.random.default_rng(seed)
    number = min(ORDERS, max(1, BATTLES // length))
    if length == battles:
        return rng.permuted(np.tile(np.arange(battles), (number, 1)), axis=1)
    return np.stack([rng.choice(battles, length, replace=False) for _ in range(number)])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _replay_each(
    ratings: Ratings,
    drawn: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    score: NDArray[np.float64],
    k: float,
) -> None:
    """Update each row of `ratings` (orders, competitors) in place by its row of `drawn` cells."""
    for order in range(len(drawn)):
        replay(ratings[order : order + 1], drawn[order], left, right, score, k)
