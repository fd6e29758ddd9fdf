"""The table of ratings: each competitor's, with its interval and its record of battles."""

from functools import partial

import polars as pl

from warrior_dagster.arena import Ratings
from warrior_dagster.ratings import elo

RATING_SCHEMA = {
    "row_id": pl.String,
    "competitor": pl.String,
    "method": pl.String,
    "rating": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "battles": pl.Int64,
    "wins": pl.Int64,
    "ties": pl.Int64,
    "losses": pl.Int64,
}


def rate(outcomes: pl.DataFrame, roster: list[str], settings: Ratings) -> pl.DataFrame:
    """Ratings with intervals and counts, one row a competitor, in roster order; no intervals for no bootstrap rounds."""
    if settings.method == "elo":
        rating = partial(elo.elo, competitors=roster, k=settings.k, initial=settings.initial, seed=settings.seed)
    else:
        rating = partial(elo.bradley_terry, competitors=roster, initial=settings.initial)
    battles = outcomes.select("left", "right", "outcome")
    ratings = rating(battles)
    intervals = (
        elo.rating_intervals(battles, roster, rating, rounds=settings.bootstrap_rounds, seed=settings.seed)
        if settings.bootstrap_rounds
        else {}
    )
    rows = []
    for name in roster:
        won = battles.filter(pl.col("left") == name)["outcome"].to_list()
        won += [1 - outcome for outcome in battles.filter(pl.col("right") == name)["outcome"]]
        low, high = intervals.get(name, (None, None))
        counts = [len(won), won.count(1.0), won.count(0.5), won.count(0.0)]
        rows.append([name, name, settings.method, ratings[name], low, high, *counts])
    return pl.DataFrame(rows, schema=RATING_SCHEMA, orient="row")
