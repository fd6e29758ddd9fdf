"""The tables of battles, besides those of the kinds of evidence."""

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Competitor, Sampling
from warrior_dagster.materialization.table import Requests, Table
from warrior_dagster.stages.battles.answering import SCHEMA
from warrior_dagster.stages.battles.evidence import kinds_in


def sampling_of(arena: Arena, competitor: Competitor) -> Sampling:
    """How a competitor's answers are sampled."""
    return competitor.sampling or arena.answers.sampling


def outcome_columns(arena: Arena) -> tuple[str, ...]:
    """The columns of outcomes; where there are several kinds of evidence, also how much each contributed."""
    kinds = kinds_in(arena)
    columns = ("row_id", "instruction_id", "attacker", "left", "right", "votes_left", "votes_right", "decided", "tie", "failed")
    amounts = [f"from_{one.kind}" for one in kinds] if len(kinds) > 1 else []
    return (*columns, "local_left", "outcome", *amounts)


ANSWERS = Table(
    "answers",
    "competitor",
    tuple(SCHEMA),
    usable=pl.col("usable"),
    usable_row="a usable answer",
    no_empty_partition=True,
    on_card=True,
    requests=Requests(lambda arena, competitor: (arena.mining.max_tokens, sampling_of(arena, competitor).max_tokens)),
)
OUTCOMES = Table(
    "battle_outcomes",
    "matchup",
    outcome_columns,
    usable=pl.col("outcome").is_not_null(),
    usable_row="a battle that was fought",
    no_empty_partition=True,
    on_card=True,
)
