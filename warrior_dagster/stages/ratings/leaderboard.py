"""The leaderboard: each competitor's rating, interval and record of battles."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from warrior_dagster.config.stages import Ratings
from warrior_dagster.stages.ratings import bootstrap, elo, judge_aware
from warrior_dagster.stages.ratings.many_orders import elo_over_orders
from warrior_dagster.stages.ratings.results import by_results

RATING_SCHEMA = {
    **dict.fromkeys(("row_id", "competitor", "method"), pl.String),
    **dict.fromkeys(("rating", "order_deviation", "low", "high"), pl.Float64),
    **dict.fromkeys(("battles", "wins", "ties", "losses"), pl.Int64),
}
"""`order_deviation` is the standard deviation of the rating over single orders of the battles. `low` and `high` are the 95 %
bootstrap interval: how far the rating may be off because there are not more battles.
"""


def rating_schema(settings: Ratings) -> dict[str, type[pl.DataType]]:
    """The columns of ratings. Only the mean over many orders has an `order_deviation`."""
    over_orders = settings.method == "elo" and settings.orders == "many"
    return {name: kind for name, kind in RATING_SCHEMA.items() if over_orders or name != "order_deviation"}


def rate(
    outcomes: pl.DataFrame, roster: list[str], settings: Ratings, votes: judge_aware.Counted | None = None
) -> pl.DataFrame:
    """Ratings with intervals and counts, one row per competitor in roster order. No intervals without bootstrap rounds.

    Judge-aware ratings are of the `votes`, those on the same battles. Except for one pass of Elo, names, the roster's order,
    sides and the order of rows change nothing: competitors with the same results have the same rating and interval.
    """
    battles, schema = outcomes.select("left", "right", "outcome"), rating_schema(settings)
    if settings.method == "judge_aware":
        rated = by_votes(votes, roster, settings)
    else:
        rated = in_one_pass(battles, roster, settings) if settings.one_pass else by_results_alone(battles, roster, settings)
    return (
        pl.DataFrame({"competitor": roster})
        .with_columns(row_id="competitor", method=pl.lit(settings.method))
        .join(rated, on="competitor", maintain_order="left")
        .join(records(battles, "competitor"), on="competitor", how="left", maintain_order="left")
        .with_columns(pl.col("battles", "wins", "ties", "losses").fill_null(0))
        .select(list(schema))
        .cast(schema)  # type: ignore[arg-type]
    )


def in_one_pass(battles: pl.DataFrame, roster: list[str], settings: Ratings) -> pl.DataFrame:
    """`competitor`, `rating`, `low` and `high` of Elo in one seeded order of the battles' rows."""
    k, initial, rounds, seed = settings.k, settings.initial, settings.bootstrap_rounds, settings.seed
    found = elo.elo(battles, roster, k=k, initial=initial, seed=seed)
    samples = bootstrap.elo_samples(battles, roster, k=k, initial=initial, rounds=rounds, seed=seed)
    return with_intervals({"competitor": roster, "rating": [found[name] for name in roster]}, samples)


def by_votes(votes: judge_aware.Counted | None, roster: list[str], settings: Ratings) -> pl.DataFrame:
    """The columns of `in_one_pass` by who voted for whom. Raises ValueError without votes."""
    if votes is None:
        raise ValueError("judge-aware ratings need the votes")
    initial, rounds, seed = settings.initial, settings.bootstrap_rounds, settings.seed
    found, _ = judge_aware.rate(votes, len(roster), initial=initial)
    samples = judge_aware.samples(votes, len(roster), initial=initial, rounds=rounds, seed=seed)
    return with_intervals({"competitor": roster, "rating": found}, samples)


def by_results_alone(battles: pl.DataFrame, roster: list[str], settings: Ratings) -> pl.DataFrame:
    """The columns of `in_one_pass`, and `order_deviation` of Elo, which depend on nothing but who beat whom how often."""
    battles, ordered, groups = by_results(battles, roster)
    initial, rounds, seed = settings.initial, settings.bootstrap_rounds, settings.seed
    if settings.method == "elo":
        mean, deviation, samples = elo_over_orders(battles, ordered, k=settings.k, initial=initial, rounds=rounds, seed=seed)
        found = {"competitor": ordered, "rating": mean, "order_deviation": deviation}
    else:
        strengths = elo.bradley_terry(battles, ordered, initial=initial)
        samples = bootstrap.bradley_terry_samples(battles, ordered, initial=initial, rounds=rounds, seed=seed)
        found = {"competitor": ordered, "rating": [strengths[name] for name in ordered]}
    group_of = {name: number for number, group in enumerate(groups) for name in group}
    group = pl.col("competitor").replace_strict(group_of, return_dtype=pl.Int64)
    return with_intervals(found, samples).with_columns(pl.exclude("competitor").mean().over(group))


def with_intervals(rated: dict[str, Any], samples: NDArray[np.float64]) -> pl.DataFrame:
    """The columns of `rated`, and `low` and `high` of its competitors; null without bootstrap rounds."""
    names = rated["competitor"]
    of_names = bootstrap.intervals(samples, names) if len(samples) else dict.fromkeys(names, (None, None))
    low, high = zip(*(of_names[name] for name in names), strict=True)
    return pl.DataFrame({**rated, "low": low, "high": high}, schema_overrides={"low": pl.Float64, "high": pl.Float64})


def records(battles: pl.DataFrame, *by: str) -> pl.DataFrame:
    """`battles`, `wins`, `ties` and `losses`, grouped `by` `competitor`, `opponent` or both."""
    lefts = battles.select(competitor="left", opponent="right", own="outcome")
    rights = battles.select(competitor="right", opponent="left", own=1.0 - pl.col("outcome"))
    own = pl.col("own")
    counts = {"battles": own.len(), "wins": (own == 1.0).sum(), "ties": (own == 0.5).sum(), "losses": (own == 0.0).sum()}
    return pl.concat([lefts, rights]).group_by(by).agg(count.cast(pl.Int64).alias(name) for name, count in counts.items())
