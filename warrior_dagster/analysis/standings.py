"""Win rates of all pairs of competitors, and the ratings as battles are added."""

from collections.abc import Callable

import numpy as np
import polars as pl

from warrior_dagster.analysis.intervals import wilson
from warrior_dagster.config.stages import Ratings
from warrior_dagster.stages.ratings import judge_aware, leaderboard
from warrior_dagster.stages.ratings.results import by_results

POINTS = 10
"""Number of points of the rating history, at equal shares of the battles."""


def head_to_head(outcomes: pl.DataFrame) -> pl.DataFrame:
    """The results of each competitor against each opponent, one row per ordered pair with battles.

    `outcomes` has `left`, `right` and `outcome` (1, 0.5 or 0 for left) of battles. Returns row_id, competitor, opponent,
    battles, won, tied, lost, win_rate (a tie is half a win) and its 95 % interval. The rates of both directions add up to one.
    """
    counted = leaderboard.records(outcomes, "competitor", "opponent").sort("competitor", "opponent")
    win_rate = (pl.col("wins") + pl.col("ties") / 2) / pl.col("battles")
    low, high = wilson(win_rate, pl.col("battles"))
    counts = {"battles": "battles", "won": "wins", "tied": "ties", "lost": "losses"}
    row_id = pl.format("{}:{}", "competitor", "opponent").alias("row_id")
    return counted.select(row_id, "competitor", "opponent", **counts, win_rate=win_rate, low=low, high=high)


def rating_history(
    outcomes: pl.DataFrame,
    roster: list[str],
    settings: Ratings,
    votes_on: Callable[[pl.DataFrame], judge_aware.Counted | None] = lambda _: None,
) -> pl.DataFrame:
    """The ratings from growing subsets of the battles, drawn with the ratings' seed: one row per point and competitor. Subsets
    depend on names where the ratings do, in one pass. `votes_on` gives the votes on some battles, for judge-aware ratings.

    Returns row_id (which sorts by point), battles (their number), competitor, rating, and low and high of its interval (null
    without bootstrap). The last point uses all battles, so it equals the ratings.
    """
    by_row = settings.one_pass or settings.method == "judge_aware"
    outcomes = outcomes if by_row else by_results(outcomes, roster)[0]
    order = np.random.default_rng(settings.seed).permutation(len(outcomes))
    points = sorted({round(len(outcomes) * step / POINTS) for step in range(1, POINTS + 1)} - {0})
    found = [
        leaderboard.rate(part := outcomes[np.sort(order[:count])], roster, settings, votes_on(part)).select(
            pl.format("{}:{}", pl.lit(f"{count:012}"), "competitor").alias("row_id"), "competitor", "rating", "low", "high",
            battles=pl.lit(count, pl.Int64),
        )
        for count in points
    ]  # fmt: skip
    columns = ("row_id", "competitor", "rating", "low", "high", "battles")
    return pl.concat(found) if found else pl.DataFrame(schema={name: leaderboard.RATING_SCHEMA[name] for name in columns})
