"""Execution: judges write tests blind, all answers are run against them, and what the tests say becomes votes."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
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
from warrior_dagster.sandbox import code_extraction
from warrior_dagster.sandbox.isolation import ALLOWED, ISOLATED
from warrior_dagster.sandbox.pool import best, run_all
from warrior_dagster.stages.battles.assets import battled
from warrior_dagster.stages.battles.opinions import judging
from warrior_dagster.stages.battles.unit_tests import execution, generation, voting
from warrior_dagster.warehouse.tables import Warehouse

ISOLATED_RUNS, FEW_TIMEOUTS, TESTS_DECIDE = "runs_are_isolated", "few_timeouts", "tests_decide"
DESCRIPTIONS = {
    ISOLATED_RUNS: "Whether all that ran was isolated, or some of it was held by limits alone (execution.isolation).",
    FEW_TIMEOUTS: "Whether few enough runs ended at their limit of time (execution.max_timeout_rate).",
    TESTS_DECIDE: "Whether the tests tell any two answers apart at all.",
}
WARN = dg.AssetCheckSeverity.WARN


def assets(arena: Arena, parts: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage; none where only opinions count."""
    if not arena.runs_tests:
        return []
    everyone = partial(dg.AssetDep, partition_mapping=parts.everyone)
    one_run: dict[str, Any] = {"owners": OWNERS, "backfill_policy": dg.BackfillPolicy.single_run()}
    asked_for = [arena.execution.prompt, arena.execution.sampling.model_dump_json(), str(arena.execution.max_tests)]
    levels = ALLOWED[arena.execution.isolation]

    @dg.asset(
        **one_run,
        partitions_def=parts.competitors,
        group_name="competitors",
        kinds={"vllm", "lancedb"},
        pool="engine",
        deps=[everyone("selected_instructions")],
        code_version=code_version(asked_for, modules=[generation, code_extraction, *ASKING]),
        metadata=origins(
            row_id="selected_instructions.instruction_id",
            instruction_id="selected_instructions.instruction_id",
            test="selected_instructions.instruction",
            **dict.fromkeys(("status", "reason"), "selected_instructions.instruction selected_instructions.language"),
        ),
        check_specs=[dg.AssetCheckSpec(FEW_FAILED, asset="generated_tests")],
    )
    def generated_tests(
        context: dg.AssetExecutionContext,
        warehouse: dg.ResourceParam[Warehouse],
        engines: dg.ResourceParam[Engines],
    ) -> dg.MaterializeResult:
        """The tests that a competitor, as a judge, writes for every selected instruction without seeing an answer. Those that
        do not parse or may differ from run to run are dropped, with the reason; where nothing can be run it says so.
        """
        best(levels)  # before judges are asked for what could not be run
        names = context.partition_keys
        selected = warehouse.read("selected_instructions", arena.roster)
        asked = generation.write(arena, engines, selected, names, context.log)
        rows = pl.DataFrame(asked.rows, schema=generation.SCHEMA)
        return record(
            context,
            warehouse,
            {name: rows.filter(writer=name) for name in names},
            describe=kept_and_dropped,
            usage=asked.usage,
            failures=asked.failures,
            asked_by=arena,
        )

    @dg.asset(
        **one_run,
        partitions_def=parts.competitors,
        group_name="competitors",
        kinds={"python", "lancedb"},
        deps=["answers", everyone(generated_tests)],
        code_version=code_version(
            [str(arena.execution.seconds), str(arena.execution.memory_mib)], modules=[execution, code_extraction]
        ),
        metadata=origins(
            "generated_tests",
            competitor="answers.competitor",
            answer_key="answers.completion_key",
            **dict.fromkeys(("outcome", "reason", "bound", "run_key"), "answers.answer generated_tests.test"),
        ),
        check_specs=[described("execution_results", name) for name in (ISOLATED_RUNS, FEW_TIMEOUTS)],
    )
    def execution_results(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """What became of a competitor's answers under all tests of their instructions, each run twice in the sandbox. A test
        and an answer that were run before are not run again.
        """
        names = context.partition_keys
        tests = warehouse.read("generated_tests", arena.roster)
        before = results_so_far(warehouse, names)
        run = partial(run_all, limits=execution.limits(arena.execution), levels=levels)
        rows, spent = execution.execute(warehouse.read("answers", names), tests, before, run, arena.execution)
        return record(
            context,
            warehouse,
            {name: rows.filter(competitor=name) for name in names},
            describe=lambda f: {"outcomes": counted(f, "outcome"), "levels": counted(f, "level")},
            metadata={"runs": spent.runs, "runs_reused": spent.reused, "seconds_running": round(spent.seconds, 3)},
            checks=[isolated(rows), few_timeouts(rows, arena.execution.max_timeout_rate)],
        )

    @dg.asset(
        **one_run,
        partitions_def=parts.matchups,
        group_name="matchups",
        kinds={"polars", "lancedb"},
        deps=[
            everyone("selected_instructions"),
            dg.AssetDep("answers", partition_mapping=parts.both_sides),
            everyone(generated_tests),
            everyone(execution_results),
        ],
        code_version=code_version([arena.battles.instructions, str(arena.battles.judges)], modules=[voting, judging]),
        metadata=origins(
            row_id="selected_instructions.instruction_id generated_tests.writer",
            instruction_id="selected_instructions.instruction_id",
            judge="generated_tests.writer",
            completion_key="generated_tests.completion_key",
            key_left="answers.completion_key",
            key_right="answers.completion_key",
            reason="execution_results.outcome generated_tests.reason",
            **dict.fromkeys(("status", "verdict", "p_left", "p_right", "text"), "execution_results.outcome"),
        ),
        check_specs=[described("execution_votes", TESTS_DECIDE)],
    )
    def execution_votes(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """For whom each judge's tests are on every battle of a matchup. Where they do not tell the two apart, or where nothing
        can be run, the judge abstains, with the reason. Nobody's tests decide for itself.
        """
        matchups = context.partition_keys
        pairs = battled(arena, warehouse, matchups)
        tests, run = (warehouse.read(table, arena.roster) for table in ("generated_tests", "execution_results"))
        found = voting.sheets(tests, run)
        frames = {m: voting.vote(pairs[m], found, arena.judges(*sides(m)), *sides(m)) for m in matchups}
        return record(context, warehouse, frames, describe=decisions, checks=[tests_decide(frames)])

    return [generated_tests, execution_results, execution_votes]


def described(asset: str, name: str) -> dg.AssetCheckSpec:
    """A check of an asset, with what it asks."""
    return dg.AssetCheckSpec(name, asset=asset, description=DESCRIPTIONS[name])


def results_so_far(warehouse: Warehouse, names: list[str]) -> pl.DataFrame:
    """What was run before, of those partitions that are there."""
    empty = pl.DataFrame(schema=execution.SCHEMA)
    there = warehouse.there("execution_results", names)
    if not there or not set(execution.SCHEMA) <= set(warehouse.columns("execution_results")):
        return empty
    return warehouse.read("execution_results", there)


def counted(rows: pl.DataFrame, column: str) -> dict[str, int]:
    """How often each value of a column is there."""
    return dict(rows[column].value_counts().sort(column).iter_rows())


def kept_and_dropped(tests: pl.DataFrame) -> dict[str, Any]:
    """How many tests were kept, how many instructions have any, and why there are no others."""
    reasons = Counter(reason[:80] for reason in tests.filter(pl.col("status") != "ok")["reason"])
    having, of = (frame["instruction_id"].n_unique() for frame in (tests.filter(status="ok"), tests))
    return {
        "statuses": counted(tests, "status"),
        "instructions_with_tests": having / of if of else 0.0,
        "reasons": dict(reasons.most_common(10)),
    }


def decisions(votes: pl.DataFrame) -> dict[str, Any]:
    """How many votes of tests decided, tied and abstained, and why these."""
    reasons = Counter(reason[:80] for reason in votes.filter(status="failed")["reason"])
    return {"statuses": counted(votes, "status"), "reasons": dict(reasons.most_common(10))}


def isolated(rows: pl.DataFrame) -> dg.AssetCheckResult:
    """Whether all that ran was isolated, whenever it ran."""
    levels = counted(rows.filter(pl.col("level") != ""), "level")
    return dg.AssetCheckResult(
        check_name=ISOLATED_RUNS, passed=set(levels) <= set(ISOLATED), severity=WARN, metadata={"levels": levels}
    )


def few_timeouts(rows: pl.DataFrame, limit: float) -> dg.AssetCheckResult:
    """Whether the share of runs that ended at their limit of time is within the arena's limit."""
    ran = rows.filter(pl.col("outcome") != execution.NOT_RUN)
    late = ran.filter(outcome=execution.TIMEOUT).height
    rate = late / len(ran) if len(ran) else 0.0
    told = {"timeouts": late, "ran": len(ran), "rate": rate, "limit": limit}
    return dg.AssetCheckResult(check_name=FEW_TIMEOUTS, passed=rate <= limit, severity=WARN, metadata=told)


def tests_decide(frames: Mapping[str, pl.DataFrame]) -> dg.AssetCheckResult:
    """Whether the tests tell any two answers apart at all, and of which share of battles and instructions they do."""
    votes = pl.concat([frame.select("instruction_id", "left", "right", "status") for frame in frames.values()])
    said = votes.filter(pl.col("status") != "failed")
    told = dict[str, float]()
    for what, columns in (("battles", ["instruction_id", "left", "right"]), ("instructions", ["instruction_id"])):
        decided, of = said.n_unique(columns) if len(said) else 0, votes.n_unique(columns) if len(votes) else 0
        told |= {what: of, f"{what}_decided": decided, f"share_of_{what}": decided / of if of else 0.0}
    return dg.AssetCheckResult(check_name=TESTS_DECIDE, passed=not said.is_empty(), severity=WARN, metadata=told)
