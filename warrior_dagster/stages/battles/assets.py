"""Battles: everybody answers, every pair of competitors meets, and the others judge."""

from collections import Counter
from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import sides
from warrior_dagster.inference import ASKING
from warrior_dagster.inference.engines import Engines
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import Partitions
from warrior_dagster.materialization.recording import FEW_FAILED, OWNERS, code_version, record
from warrior_dagster.stages.battles import answering
from warrior_dagster.stages.battles.opinions import judging
from warrior_dagster.stages.battles.unit_tests import voting
from warrior_dagster.warehouse.tables import Warehouse

TALLY = {"evidence", "weights"}
"""What of the battles' settings only counts votes, and changes none."""


def assets(arena: Arena, parts: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""
    everyone = dg.AssetDep("selected_instructions", partition_mapping=parts.everyone)
    mass = "p_left" if arena.battles.votes == "soft" else "verdict"
    voted = ["judge_votes", *["execution_votes"] * arena.runs_tests]
    counted, statuses = (" ".join(f"{table}.{column}" for table in voted) for column in (mass, "status"))
    amounts = {"from_opinion": f"judge_votes.{mass}", "from_execution": f"execution_votes.{mass}"} if arena.runs_tests else {}
    one_run: dict[str, Any] = {"owners": OWNERS, "backfill_policy": dg.BackfillPolicy.single_run()}

    @dg.asset(
        **one_run,
        partitions_def=parts.competitors,
        group_name="competitors",
        kinds={"vllm", "lancedb"},
        pool="engine",
        deps=[everyone],
        code_version=code_version(arena.answers, modules=[answering, *ASKING]),
        metadata=origins(
            "selected_instructions",
            competitor="",  # who answers, not who asked
            **dict.fromkeys(("status", "answer", "usable", "tokens"), "selected_instructions.instruction"),
        ),
        check_specs=[dg.AssetCheckSpec(FEW_FAILED, asset="answers")],
    )
    def answers(
        context: dg.AssetExecutionContext,
        warehouse: dg.ResourceParam[Warehouse],
        engines: dg.ResourceParam[Engines],
    ) -> dg.MaterializeResult:
        """A competitor's answer to every selected instruction, whoever it was mined from."""
        names = context.partition_keys
        selected = warehouse.read("selected_instructions", arena.roster)
        asked = answering.answer(arena, engines, selected, names, context.log)
        rows = pl.DataFrame(asked.rows, schema=answering.SCHEMA)
        return record(
            context,
            warehouse,
            {name: rows.filter(competitor=name) for name in names},
            describe=lambda f: {"statuses": dict(f["status"].value_counts().iter_rows())},
            usage=asked.usage,
            failures=asked.failures,
            asked_by=arena,
        )

    @dg.asset(
        **one_run,
        partitions_def=parts.matchups,
        group_name="matchups",
        kinds={"vllm", "lancedb"},
        pool="engine",
        deps=[everyone, dg.AssetDep(answers, partition_mapping=parts.both_sides)],
        code_version=code_version(arena.battles.model_dump(mode="json", exclude=TALLY), modules=[judging, *ASKING]),
        metadata=origins(
            row_id="selected_instructions.instruction_id",
            instruction_id="selected_instructions.instruction_id",
            key_left="answers.completion_key",
            key_right="answers.completion_key",
            **dict.fromkeys(
                ("status", "reason", "verdict", "p_left", "p_right", "text"),
                "selected_instructions.instruction answers.answer",
            ),
        ),
        check_specs=[dg.AssetCheckSpec(FEW_FAILED, asset="judge_votes")],
    )
    def judge_votes(
        context: dg.AssetExecutionContext,
        warehouse: dg.ResourceParam[Warehouse],
        engines: dg.ResourceParam[Engines],
    ) -> dg.MaterializeResult:
        """Every judge's vote on every battle of a matchup, with its words and its probabilities. A judge whose verdict
        cannot be read abstains, with the reason.
        """
        matchups = context.partition_keys
        asked = judging.vote(arena, engines, battled(arena, warehouse, matchups), context.log)
        failures = {m: asked.failures[j] for m in matchups for j in arena.judges(*sides(m)) if j in asked.failures}
        votes = pl.DataFrame(asked.rows, schema=judging.VOTE_SCHEMA)
        return record(
            context,
            warehouse,
            {m: votes.filter(left=sides(m)[0], right=sides(m)[1]) for m in matchups},
            describe=abstentions,
            usage=asked.usage,
            failures=failures,
            asked_by=arena,
        )

    @dg.asset(
        **one_run,
        partitions_def=parts.matchups,
        group_name="matchups",
        kinds={"polars", "lancedb"},
        deps=[
            judge_votes,
            everyone,
            dg.AssetDep(answers, partition_mapping=parts.both_sides),
            *["execution_votes"] * arena.runs_tests,
        ],
        code_version=code_version(
            [arena.battles.votes, arena.battles.instructions],
            *[arena.battles.model_dump(mode="json", include=TALLY)] * arena.runs_tests,
            modules=[judging, *[voting] * arena.runs_tests],
        ),
        metadata=origins(
            row_id="selected_instructions.instruction_id",
            instruction_id="selected_instructions.instruction_id",
            attacker="selected_instructions.competitor",
            **dict.fromkeys(("votes_left", "votes_right"), counted),
            **dict.fromkeys(("decided", "tie", "failed"), statuses),
            **dict.fromkeys(("local_left", "outcome"), f"{counted} answers.usable"),
            **amounts,
        ),
    )
    def battle_outcomes(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """Who won each battle of a matchup: the votes of both sides, the local score, and the outcome for the left side.
        Votes are opinions, or what tests say, or both (battles.evidence).
        """
        matchups = context.partition_keys
        pairs = battled(arena, warehouse, matchups)
        votes = warehouse.read("judge_votes", matchups)
        executed = warehouse.read("execution_votes", matchups) if arena.runs_tests else None
        frames = {}
        for m in matchups:
            opinions = votes.filter(partition=m)
            judging.check_votes(pairs[m], opinions, judging.votes_a_battle(arena, m))
            if executed is None:
                frames[m] = judging.outcomes(pairs[m], opinions, *sides(m), arena.battles.votes)
                continue
            of_tests = executed.filter(partition=m)
            judging.check_votes(pairs[m], of_tests, len(arena.judges(*sides(m))), "execution_votes")
            frames[m] = voting.outcomes(pairs[m], [opinions, of_tests], *sides(m), arena.battles)
        return record(context, warehouse, frames, describe=tally)

    return [answers, judge_votes, battle_outcomes]


def battled(arena: Arena, warehouse: Warehouse, matchups: list[str]) -> dict[str, pl.DataFrame]:
    """What each matchup battles on, with both answers: the frames of judging.pairs."""
    selected = warehouse.read("selected_instructions", arena.roster)
    given = warehouse.read("answers", sorted({name for m in matchups for name in sides(m)}))
    return {m: judging.pairs(selected, given, *sides(m), arena.battles.instructions) for m in matchups}


def abstentions(votes: pl.DataFrame) -> dict[str, Any]:
    """How many votes decided, tied and failed, and the reasons of those that failed."""
    failed = votes.filter(status="failed")
    reasons = Counter(reason[:80] for reason in failed["reason"])
    return {"statuses": dict(votes["status"].value_counts().iter_rows()), "reasons": dict(reasons.most_common(10))}


def tally(outcomes: pl.DataFrame) -> dict[str, Any]:
    """Wins, ties and losses of the left side."""
    return {
        "left_won": outcomes.filter(outcome=1.0).height,
        "tied": outcomes.filter(outcome=0.5).height,
        "right_won": outcomes.filter(outcome=0.0).height,
        "unanswered": outcomes["outcome"].null_count(),
    }
