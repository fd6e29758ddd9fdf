"""Ratings: how strong each competitor is overall, and how good each answer is within its group."""

import dagster as dg
import polars as pl

from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import SAME, Scope
from warrior_dagster.materialization.recording import record
from warrior_dagster.materialization.table_asset import table_asset
from warrior_dagster.stages.ratings import leaderboard, scores
from warrior_dagster.stages.ratings.tables import RATINGS, SCORES
from warrior_dagster.warehouse.tables import WHOLE, Warehouse


def assets(scope: Scope) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""
    arena = scope.arena

    @table_asset(
        scope,
        RATINGS,
        reads={"battle_outcomes": SAME},
        settings=[arena.ratings],
        kinds={"python", "lancedb"},
        origins=origins(
            **dict.fromkeys(
                ("rating", "low", "high", "battles", "wins", "ties", "losses"),
                "battle_outcomes.left battle_outcomes.right battle_outcomes.outcome",
            ),
        ),
    )
    def elo_ratings(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """Each competitor's rating over all battles, with a 95 % bootstrap interval. The seed fixes the order in which battles
        are replayed.
        """
        outcomes = warehouse.read("battle_outcomes", matchup_keys(arena.roster)).drop_nulls("outcome")
        rated = leaderboard.rate(outcomes, arena.roster, arena.ratings)
        standings = {row["competitor"]: round(row["rating"], 1) for row in rated.iter_rows(named=True)}
        plotted = {f"rating {name}": rating for name, rating in standings.items()}  # the UI draws numbers over time
        metadata = {"ratings": standings, **plotted, "battles": len(outcomes), "seed": arena.ratings.seed}
        return record(context, warehouse, {WHOLE: rated}, metadata=metadata)

    score = "elo_ratings.rating battle_outcomes.local_left"

    @table_asset(
        scope,
        SCORES,
        reads={"elo_ratings": SAME, "battle_outcomes": SAME, "answers": SAME},
        settings=[arena.ratings],
        kinds={"numpy", "lancedb"},
        origins=origins(
            row_id="answers.instruction_id answers.competitor",
            instruction_id="answers.instruction_id",
            competitor="answers.competitor",
            score=score,
            elo_part="elo_ratings.rating",
            local_part=score,  # where a pair did not meet, the ratings replace the votes
            advantage=score,
            rank=f"{score} answers.answer",
            gold=f"{score} answers.answer",
            opponents="answers.usable",
        ),
    )
    def answer_scores(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """The final score of every answer, alpha times what the ratings expect plus (1 - alpha) times what the votes say, and
        the gold answer of each instruction.
        """
        ratings = dict(warehouse.read("elo_ratings", [WHOLE]).select("competitor", "rating").iter_rows())
        outcomes = warehouse.read("battle_outcomes", matchup_keys(arena.roster)).drop_nulls("outcome")
        length = pl.col("answer").str.len_chars().alias("length")
        answers = warehouse.read("answers", arena.roster).with_columns(length)
        scored = scores.final_scores(outcomes, ratings, answers, arena.roster, alpha=arena.ratings.alpha)
        keyed = scored.with_columns(pl.format("{}:{}", "instruction_id", "competitor").alias("row_id"))
        gold = keyed.filter("gold")["competitor"].value_counts()
        return record(context, warehouse, {WHOLE: keyed}, metadata={"gold": dict(gold.iter_rows())})

    return [elo_ratings, answer_scores]
