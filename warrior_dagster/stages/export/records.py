"""What every format is made of: the scored answers with their instructions, and how many rows each stage left."""

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

OF_COMPETITORS = ("mined_instructions", "unique_instructions", "instruction_difficulty", "selected_instructions", "answers")
OF_MATCHUPS = ("judge_votes", "battle_outcomes")


def counts(warehouse: Warehouse, arena: Arena) -> dict[str, int]:
    """Rows after each stage, of the present roster."""
    partitions = dict.fromkeys(OF_COMPETITORS, arena.roster) | dict.fromkeys(OF_MATCHUPS, matchup_keys(arena.roster))
    return {table: warehouse.count(table, keys) for table, keys in partitions.items()}


def records(warehouse: Warehouse, arena: Arena) -> pl.DataFrame:
    """One row for each instruction and usable answer, with its score: what every format is made of."""
    scored = warehouse.read("answer_scores", [WHOLE])
    instructions = warehouse.read("selected_instructions", arena.roster).select(
        "instruction_id", "instruction", "language", pl.col("competitor").alias("attacker"),
        pl.col("score").alias("difficulty"),
    )  # fmt: skip
    given = warehouse.read("answers", arena.roster).select(
        "instruction_id", "competitor", "answer", (pl.col("status") == "ok").alias("finished")
    )
    return (
        scored.filter(pl.col("opponents") > 0)  # an answer that met no other was never judged
        .join(instructions, on="instruction_id", maintain_order="left")
        .join(given, on=["instruction_id", "competitor"], maintain_order="left")
        .select(
            "instruction_id", "instruction", "attacker", "language", "difficulty", "competitor", "answer", "finished",
            "score", "rank", "gold", "advantage",
        )
    )  # fmt: skip
