"""Opinions: what judges say of two answers that they see."""

from collections import Counter
from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.config.matchups import sides
from warrior_dagster.inference.engines import Engines
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import BOTH_SIDES, EVERYONE, Scope
from warrior_dagster.materialization.recording import record
from warrior_dagster.materialization.table_asset import table_asset
from warrior_dagster.stages.battles.opinions import judging
from warrior_dagster.stages.battles.opinions.tables import JUDGE_VOTES
from warrior_dagster.stages.battles.pairing import read_pairs
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA
from warrior_dagster.warehouse.tables import Warehouse


def assets(scope: Scope) -> list[dg.AssetsDefinition]:
    """The assets of this kind of evidence."""
    arena = scope.arena

    @table_asset(
        scope,
        JUDGE_VOTES,
        reads={"selected_instructions": EVERYONE, "answers": BOTH_SIDES},
        settings=[arena.battles.model_dump(mode="json", exclude={"evidence", "weights"})],  # which only count votes
        origins=origins(
            row_id="selected_instructions.instruction_id",
            instruction_id="selected_instructions.instruction_id",
            key_left="answers.completion_key",
            key_right="answers.completion_key",
            **dict.fromkeys(
                ("status", "reason", "verdict", "p_left", "p_right", "text"),
                "selected_instructions.instruction answers.answer",
            ),
        ),
    )
    def judge_votes(context: dg.AssetExecutionContext, warehouse: Warehouse, engines: Engines) -> dg.MaterializeResult:
        """Every judge's vote on every battle of a matchup, with its words and its probabilities. A judge whose verdict cannot
        be read abstains, with the reason.
        """
        matchups = context.partition_keys
        judged = judging.vote(arena, engines, read_pairs(arena, warehouse, matchups), context.log)
        votes = pl.DataFrame(judged.rows, schema=VOTE_SCHEMA)
        return record(
            context,
            warehouse,
            {m: votes.filter(left=sides(m)[0], right=sides(m)[1]) for m in matchups},
            describe=abstentions,
            usage=judged.usage,
            failures={m: judged.failures[j] for m in matchups for j in arena.judges(*sides(m)) if j in judged.failures},
            arena=arena,
        )

    return [judge_votes]


def abstentions(votes: pl.DataFrame) -> dict[str, Any]:
    """How many votes decided, tied and failed, and the most frequent reasons of failures."""
    reasons = Counter(reason[:80] for reason in votes.filter(status="failed")["reason"])
    return {"statuses": dict(votes["status"].value_counts().iter_rows()), "reasons": dict(reasons.most_common(10))}
