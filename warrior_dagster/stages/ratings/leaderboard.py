"""The leaderboard: each competitor's rating, interval and record of battles."""

import polars as pl

from warrior_dagster.config.stages import Ratings
from warrior_dagster.stages.ratings import bootstrap, elo

RATING_SCHEMA = {
    **dict.fromkeys(("row_id", "competitor", "method"), pl.String),
    **dict.fromkeys(("rating", "low", "high"), pl.Float64),
    **dict.fromkeys(("battles", "wins", "ties", "losses"), pl.Int64),
}


def rate(outcomes: pl.DataFrame, roster: list[str], settings: Ratings) -> pl.DataFrame:
    """Ratings with intervals and counts, one row per competitor in roster order. No intervals without bootstrap rounds."""
    battles = outcomes.select("left", "right", "outcome")
    initial, rounds, seed = settings.initial, settings.bootstrap_rounds, settings.seed
    if settings.method == "elo":
        ratings = elo.elo(battles, roster, k=settings.k, initial=initial, seed=seed)
        samples = bootstrap.elo_samples(battles, roster, k=settings.k, initial=initial, rounds=rounds, seed=seed)
    else:
        ratings = elo.bradley_terry(battles, roster, initial=initial)
        samples = bootstrap.bradley_terry_samples(battles, roster, initial=initial, rounds=rounds, seed=seed)
    intervals = bootstrap.intervals(samples, roster) if rounds else {}
    rated = [(name, name, settings.method, ratings[name], *intervals.get(name, (None, None))) for name in roster]
    return (
        pl.DataFrame(rated, schema=dict(list(RATING_SCHEMA.items())[:6]), orient="row")
        .join(records(battles, "competitor"), on="competitor", how="left", maintain_order="left")
        .with_columns(pl.col("battles", "wins", "ties", "losses").fill_null(0))
        .cast(RATING_SCHEMA)  # type: ignore[arg-type]
    )


def records(battles: pl.DataFrame, *by: str) -> pl.DataFrame:
    """`battles`, `wins`, `ties` and `losses`, grouped `by` `competitor`, `opponent` or both."""
    lefts = battles.select(competitor="left", opponent="right", own="outcome")
    rights = battles.select(competitor="right", opponent="left", own=1.0 - pl.col("outcome"))
    own = pl.col("own")
    counts = {"battles": own.len(), "wins": (own == 1.0).sum(), "ties": (own == 0.5).sum(), "losses": (own == 0.0).sum()}
    return pl.concat([lefts, rights]).group_by(by).agg(count.cast(pl.Int64).alias(name) for name, count in counts.items())
