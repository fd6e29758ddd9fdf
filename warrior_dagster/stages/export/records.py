"""The input of every format: the scored answers with their instructions, and how many rows each stage left."""

from collections.abc import Sequence

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.table import Table
from warrior_dagster.warehouse.tables import WHOLE, Warehouse


def counts(warehouse: Warehouse, arena: Arena, tables: Sequence[Table]) -> dict[str, int]:
    """Rows of some tables, of the present roster."""
    return {table.name: warehouse.count(table.name, table.partitions(arena)) for table in tables}


def records(warehouse: Warehouse, arena: Arena) -> pl.DataFrame:
    """One row for each instruction and usable answer, with its score."""
    scored = warehouse.read("answer_scores", [WHOLE])
    instructions = warehouse.read("selected_instructions", arena.roster).select(
        "instruction_id", "instruction", "language", pl.col("competitor").alias("attacker"),
        pl.col("score").alias("difficulty"),
    )  # fmt: skip
    given = warehouse.read("answers", arena.roster).select(
        "instruction_id", "competitor", "answer", (pl.col("status") == "ok").alias("finished")
    )
    return (
        scored.filter(pl.col("opponents") > 0)  # an answer without opponents was never judged
        .join(instructions, on="instruction_id", maintain_order="left")
        .join(given, on=["instruction_id", "competitor"], maintain_order="left")
        .select(
            "instruction_id", "instruction", "attacker", "language", "difficulty", "competitor", "answer", "finished",
            "score", "rank", "gold", "advantage",
        )
    )  # fmt: skip
