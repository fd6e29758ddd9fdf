"""Ratings: how strong each competitor is overall, and how good each answer is within its group."""

import dagster as dg
import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.recording import OWNERS, code_version, record
from warrior_dagster.stages.ratings import bootstrap, elo, leaderboard, scores
from warrior_dagster.warehouse.tables import WHOLE, Warehouse


def assets(arena: Arena) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""

    @dg.asset(
        group_name="leaderboard",
        kinds={"python", "lancedb"},
        owners=OWNERS,
        deps=["battle_outcomes"],
        code_version=code_version(arena.ratings, modules=[elo, bootstrap, leaderboard]),
        metadata=origins(
            **dict.fromkeys(
                ("rating", "low", "high", "battles", "wins", "ties", "losses"),
                "battle_outcomes.left battle_outcomes.right battle_outcomes.outcome",
            ),
        ),
    )
    def elo_ratings(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """Each competitor's rating over all battles, with a 95 % bootstrap interval. The battles are replayed in an order that
        the seed fixes.
        """
        outcomes = warehouse.read("battle_outcomes", matchup_keys(arena.roster)).drop_nulls("outcome")
        rated = leaderboard.rate(outcomes, arena.roster, arena.ratings)
        standings = {row["competitor"]: round(row["rating"], 1) for row in rated.iter_rows(named=True)}
        plotted = {f"rating {name}": rating for name, rating in standings.items()}  # which the UI draws over time
        metadata = {"ratings": standings, **plotted, "battles": len(outcomes), "seed": arena.ratings.seed}
        return record(context, warehouse, {WHOLE: rated}, metadata=metadata)

    score = "elo_ratings.rating battle_outcomes.local_left"

    @dg.asset(
        group_name="leaderboard",
        kinds={"numpy", "lancedb"},
        owners=OWNERS,
        deps=[elo_ratings, "battle_outcomes", "answers"],
        code_version=code_version(arena.ratings, modules=[scores]),
        metadata=origins(
            row_id="answers.instruction_id answers.competitor",
            instruction_id="answers.instruction_id",
            competitor="answers.competitor",
            score=score,
            elo_part="elo_ratings.rating",
            local_part=score,  # where a pair did not meet, the ratings stand in for the votes
            advantage=score,
            rank=f"{score} answers.answer",
            gold=f"{score} answers.answer",
            opponents="answers.usable",
        ),
    )
    def answer_scores(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """The final score of every answer, alpha times what the ratings expect plus (1 - alpha) times what the judges said, and
        the gold answer of each instruction.
        """
        ratings = dict(warehouse.read("elo_ratings", [WHOLE]).select("competitor", "rating").iter_rows())
        outcomes = warehouse.read("battle_outcomes", matchup_keys(arena.roster)).drop_nulls("outcome")
        length = pl.col("answer").str.len_chars().alias("length")
        given = warehouse.read("answers", arena.roster).with_columns(length)
        scored = scores.final_scores(outcomes, ratings, given, arena.roster, alpha=arena.ratings.alpha)
        keyed = scored.with_columns(pl.format("{}:{}", "instruction_id", "competitor").alias("row_id"))
        gold = keyed.filter("gold")["competitor"].value_counts()
        return record(context, warehouse, {WHOLE: keyed}, metadata={"gold": dict(gold.iter_rows())})

    return [elo_ratings, answer_scores]
