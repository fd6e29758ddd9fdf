"""Ratings: how strong each competitor is overall, and how good each answer is within its group."""

from functools import partial

import dagster as dg
import polars as pl

from warrior_dagster.arena import Arena, Ratings
from warrior_dagster.battles.answering import USABLE
from warrior_dagster.ratings import elo, scores
from warrior_dagster.recording import OWNERS, code_version, record
from warrior_dagster.storage import WHOLE, Warehouse

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


def assets(arena: Arena) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""

    @dg.asset(
        group_name="leaderboard",
        kinds={"python", "lancedb"},
        owners=OWNERS,
        deps=["battle_outcomes"],
        code_version=code_version(arena.ratings, modules=[elo]),
    )
    def elo_ratings(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """Each competitor's rating over all battles, with a 95 % bootstrap interval. The battles are replayed in an order that
        the seed fixes.
        """
        outcomes = warehouse.read("battle_outcomes").drop_nulls("outcome")
        rated = rate(outcomes, arena.roster, arena.ratings)
        standings = {row["competitor"]: round(row["rating"], 1) for row in rated.iter_rows(named=True)}
        metadata = {"ratings": standings, "battles": len(outcomes), "seed": arena.ratings.seed}
        return record(context, warehouse, {WHOLE: rated}, metadata=metadata)

    @dg.asset(
        group_name="leaderboard",
        kinds={"numpy", "lancedb"},
        owners=OWNERS,
        deps=[elo_ratings, "battle_outcomes", "answers"],
        code_version=code_version(arena.ratings, modules=[scores]),
    )
    def answer_scores(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """The final score of every answer, alpha times what the ratings expect plus (1 - alpha) times what the judges said, and
        the gold answer of each instruction.
        """
        ratings = dict(warehouse.read("elo_ratings").select("competitor", "rating").iter_rows())
        outcomes = warehouse.read("battle_outcomes").drop_nulls("outcome")
        given = warehouse.read("answers", arena.roster).with_columns(
            pl.col("status").is_in(USABLE).alias("usable"), pl.col("answer").str.len_chars().alias("length")
        )
        scored = scores.final_scores(outcomes, ratings, given, arena.roster, alpha=arena.ratings.alpha)
        keyed = scored.with_columns(pl.format("{}:{}", "instruction_id", "competitor").alias("row_id"))
        gold = keyed.filter("gold")["competitor"].value_counts()
        return record(context, warehouse, {WHOLE: keyed}, metadata={"gold": dict(gold.iter_rows())})

    return [elo_ratings, answer_scores]


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
