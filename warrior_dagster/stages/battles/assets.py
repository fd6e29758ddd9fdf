"""Battles: everybody answers, every pair of competitors meets, and all evidence together decides."""

from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.config.matchups import sides
from warrior_dagster.inference.engines import Engines
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import BOTH_SIDES, EVERYONE, SAME, Scope
from warrior_dagster.materialization.recording import record
from warrior_dagster.materialization.table_asset import table_asset
from warrior_dagster.stages.battles import answering
from warrior_dagster.stages.battles.evidence import kinds_in
from warrior_dagster.stages.battles.outcomes import outcomes, weighted_outcomes
from warrior_dagster.stages.battles.pairing import read_pairs
from warrior_dagster.stages.battles.tables import ANSWERS, OUTCOMES
from warrior_dagster.stages.battles.votes import check_votes
from warrior_dagster.warehouse.tables import Warehouse


def assets(scope: Scope) -> list[dg.AssetsDefinition]:
    """The assets of this stage, besides those of the kinds of evidence."""
    return [answers_asset(scope), outcomes_asset(scope)]


def answers_asset(scope: Scope) -> dg.AssetsDefinition:
    """What everybody answers."""
    arena = scope.arena

    @table_asset(
        scope,
        ANSWERS,
        reads={"selected_instructions": EVERYONE},
        settings=[arena.answers],
        origins=origins(
            "selected_instructions",
            competitor="",  # who answers, not who revealed the instruction
            **dict.fromkeys(("status", "answer", "usable", "tokens"), "selected_instructions.instruction"),
        ),
    )
    def answers(context: dg.AssetExecutionContext, warehouse: Warehouse, engines: Engines) -> dg.MaterializeResult:
        """A competitor's answer to every selected instruction, those of all attackers."""
        names = context.partition_keys
        answered = answering.answer(arena, engines, warehouse.read("selected_instructions", arena.roster), names, context.log)
        rows = pl.DataFrame(answered.rows, schema=answering.SCHEMA)
        return record(
            context,
            warehouse,
            {name: rows.filter(competitor=name) for name in names},
            describe=lambda f: {"statuses": dict(f["status"].value_counts().iter_rows())},
            usage=answered.usage,
            failures=answered.failures,
            arena=arena,
        )

    return answers


def outcomes_asset(scope: Scope) -> dg.AssetsDefinition:
    """Who won."""
    arena, kinds = scope.arena, kinds_in(scope.arena)
    share = "p_left" if arena.battles.votes == "soft" else "verdict"
    of_share, of_status = (" ".join(f"{one.votes.name}.{column}" for one in kinds) for column in (share, "status"))
    counting = arena.battles.model_dump(mode="json", include={"evidence", "weights"} if len(kinds) > 1 else set())

    @table_asset(
        scope,
        OUTCOMES,
        reads={
            "selected_instructions": EVERYONE,
            "answers": BOTH_SIDES,
            **{one.votes.name: SAME for one in kinds},
        },
        settings=[[arena.battles.votes, arena.battles.instructions], counting],
        origins=origins(
            row_id="selected_instructions.instruction_id",
            instruction_id="selected_instructions.instruction_id",
            attacker="selected_instructions.competitor",
            **dict.fromkeys(("votes_left", "votes_right"), of_share),
            **dict.fromkeys(("decided", "tie", "failed"), of_status),
            **dict.fromkeys(("local_left", "outcome"), f"{of_share} answers.usable"),
            **({f"from_{one.kind}": f"{one.votes.name}.{share}" for one in kinds} if len(kinds) > 1 else {}),
        ),
    )
    def battle_outcomes(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """Who won each battle of a matchup: the votes for both sides, the local score, and the outcome for the left side. Votes
        are opinions, or what tests say, or both (battles.evidence).
        """
        matchups, frames = context.partition_keys, {}
        votes = {one.votes.name: warehouse.read(one.votes.name, matchups) for one in kinds}
        for m, pairs in read_pairs(arena, warehouse, matchups).items():
            own = {table: rows.filter(partition=m) for table, rows in votes.items()}
            for one in kinds:
                check_votes(pairs, own[one.votes.name], one.per_battle(arena, m), one.votes.name)
            frames[m] = (
                weighted_outcomes(pairs, own.values(), *sides(m), arena.battles)
                if len(kinds) > 1
                else outcomes(pairs, own[kinds[0].votes.name], *sides(m), arena.battles.votes)
            )
        return record(context, warehouse, frames, describe=tally)

    return battle_outcomes


def tally(battles: pl.DataFrame) -> dict[str, Any]:
    """Wins, ties and losses of the left side."""
    return {
        "left_won": battles.filter(outcome=1.0).height,
        "tied": battles.filter(outcome=0.5).height,
        "right_won": battles.filter(outcome=0.0).height,
        "unanswered": battles["outcome"].null_count(),
    }
