"""The battles of each matchup: the selected instructions with the answers of both sides."""

from collections.abc import Sequence

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import sides
from warrior_dagster.warehouse.tables import Warehouse


def pairs(selected: pl.DataFrame, answers: pl.DataFrame, left: str, right: str, which: str) -> pl.DataFrame:
    """The instructions that a matchup battles on, with both answers: instruction_id, attacker, instruction, answer_left,
    key_left, answer_right, key_right. An answer and its key are null if it is not usable.

    `which` is the arena's battles.instructions. Raises LookupError if `answers` is older than the selection and lacks a row.
    """
    if which == "attackers":
        selected = selected.filter(pl.col("competitor").is_in([left, right]))
    frame = selected.select("instruction_id", pl.col("competitor").alias("attacker"), "instruction")
    for side, name in (("left", left), ("right", right)):
        given = answers.filter(pl.col("competitor") == name)
        if missing := len(frame.join(given, on="instruction_id", how="anti")):
            raise LookupError(f"answers: {name} has no row for {missing} selected instructions; materialize answers first")
        columns = pl.col("answer").alias(f"answer_{side}"), pl.col("completion_key").alias(f"key_{side}")
        frame = frame.join(given.filter("usable").select("instruction_id", *columns), on="instruction_id", how="left")
    return frame.sort("instruction_id")


def read_pairs(arena: Arena, warehouse: Warehouse, matchups: Sequence[str]) -> dict[str, pl.DataFrame]:
    """The frame of `pairs` for each of some matchups."""
    selected = warehouse.read("selected_instructions", arena.roster)
    answers = warehouse.read("answers", sorted({name for m in matchups for name in sides(m)}))
    return {m: pairs(selected, answers, *sides(m), arena.battles.instructions) for m in matchups}
