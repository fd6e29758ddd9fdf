"""Tests as evidence: judges write tests blind, all answers are run against them, and the results become votes."""

from collections import Counter
from functools import partial
from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.config.matchups import sides
from warrior_dagster.inference.engines import Engines
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import BOTH_SIDES, EVERYONE, SAME, Scope
from warrior_dagster.materialization.recording import record
from warrior_dagster.materialization.table_asset import table_asset
from warrior_dagster.sandbox.isolation import ALLOWED_LEVELS
from warrior_dagster.sandbox.pool import run_all
from warrior_dagster.sandbox.probing import best_isolation
from warrior_dagster.stages.battles.pairing import read_pairs
from warrior_dagster.stages.battles.unit_tests import checks, execution, generation, voting
from warrior_dagster.stages.battles.unit_tests.tables import EXECUTION_VOTES, GENERATED, RESULTS
from warrior_dagster.warehouse.tables import Warehouse


def assets(scope: Scope) -> list[dg.AssetsDefinition]:
    """The assets of this kind of evidence; none where only opinions count."""
    made = (generated_asset, results_asset, votes_asset)
    return [make(scope) for make in made] if GENERATED.enabled(scope.arena) else []


def generated_asset(scope: Scope) -> dg.AssetsDefinition:
    """The tests."""
    arena = scope.arena

    @table_asset(
        scope,
        GENERATED,
        reads={"selected_instructions": EVERYONE},
        settings=[arena.execution.model_dump(mode="json", include={"prompt", "sampling", "max_tests"})],
        origins=origins(
            row_id="selected_instructions.instruction_id",
            instruction_id="selected_instructions.instruction_id",
            test="selected_instructions.instruction",
            **dict.fromkeys(("status", "reason"), "selected_instructions.instruction selected_instructions.language"),
        ),
    )
    def generated_tests(context: dg.AssetExecutionContext, warehouse: Warehouse, engines: Engines) -> dg.MaterializeResult:
        """The tests that a competitor, as a judge, writes for every selected instruction without seeing an answer. Those that
        do not parse or may differ between runs are dropped, with the reason; where nothing can be run a row says so.
        """
        best_isolation(ALLOWED_LEVELS[arena.execution.isolation])  # before anybody is asked for tests that could not be run
        names = context.partition_keys
        selected = warehouse.read("selected_instructions", arena.roster)
        written = generation.write(arena, engines, selected, names, context.log)
        rows = pl.DataFrame(written.rows, schema=generation.SCHEMA)
        return record(
            context,
            warehouse,
            {name: rows.filter(writer=name) for name in names},
            describe=kept_and_dropped,
            usage=written.usage,
            failures=written.failures,
            arena=arena,
        )

    return generated_tests


def results_asset(scope: Scope) -> dg.AssetsDefinition:
    """The runs."""
    arena = scope.arena

    @table_asset(
        scope,
        RESULTS,
        reads={"answers": SAME, "generated_tests": EVERYONE},
        settings=[arena.execution.seconds, arena.execution.memory_mib],
        kinds={"python", "lancedb"},
        origins=origins(
            "generated_tests",
            competitor="answers.competitor",
            answer_key="answers.completion_key",
            **dict.fromkeys(("outcome", "reason", "bound", "run_key"), "answers.answer generated_tests.test"),
        ),
        checks=checks.specs(scope.key(RESULTS.name), checks.ISOLATED_RUNS, checks.FEW_TIMEOUTS),
    )
    def execution_results(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """The outcome of a competitor's answers under all tests of their instructions, each run twice in the sandbox. A test
        and an answer that were run before are not run again.
        """
        names = context.partition_keys
        tests = warehouse.read("generated_tests", arena.roster)
        before = earlier_results(warehouse, names)
        run = partial(run_all, limits=execution.limits(arena.execution), levels=ALLOWED_LEVELS[arena.execution.isolation])
        rows, counts = execution.execute(warehouse.read("answers", names), tests, before, run, arena.execution)
        return record(
            context,
            warehouse,
            {name: rows.filter(competitor=name) for name in names},
            describe=lambda f: {"outcomes": checks.counted(f, "outcome"), "levels": checks.counted(f, "level")},
            metadata={"runs": counts.runs, "runs_reused": counts.reused, "seconds_running": round(counts.seconds, 3)},
            checks=[checks.isolated(rows), checks.few_timeouts(rows, arena.execution.max_timeout_rate)],
        )

    return execution_results


def votes_asset(scope: Scope) -> dg.AssetsDefinition:
    """The votes."""
    arena = scope.arena

    @table_asset(
        scope,
        EXECUTION_VOTES,
        reads={
            "selected_instructions": EVERYONE,
            "answers": BOTH_SIDES,
            "generated_tests": EVERYONE,
            "execution_results": EVERYONE,
        },
        settings=[arena.battles.instructions, arena.battles.judges],
        origins=origins(
            row_id="selected_instructions.instruction_id generated_tests.writer",
            instruction_id="selected_instructions.instruction_id",
            judge="generated_tests.writer",
            completion_key="generated_tests.completion_key",
            key_left="answers.completion_key",
            key_right="answers.completion_key",
            reason="execution_results.outcome generated_tests.reason",
            **dict.fromkeys(("status", "verdict", "p_left", "p_right", "text"), "execution_results.outcome"),
        ),
        checks=checks.specs(scope.key(EXECUTION_VOTES.name), checks.TESTS_DECIDE),
    )
    def execution_votes(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """The side that each judge's tests favour on every battle of a matchup. Where they do not distinguish the answers, or
        nothing can be run, the judge abstains, with the reason. Nobody's tests decide its own battles.
        """
        matchups = context.partition_keys
        tests, results = (warehouse.read(table, arena.roster) for table in ("generated_tests", "execution_results"))
        reports = voting.test_reports(tests, results)
        frames = {
            m: voting.vote(pairs, reports, arena.judges(*sides(m)), *sides(m))
            for m, pairs in read_pairs(arena, warehouse, matchups).items()
        }
        return record(context, warehouse, frames, describe=decisions, checks=[checks.tests_decide(frames)])

    return execution_votes


def earlier_results(warehouse: Warehouse, names: list[str]) -> pl.DataFrame:
    """The results of earlier runs, of the partitions that exist."""
    existing = warehouse.existing_partitions(RESULTS.name, names)
    if not existing or not set(execution.SCHEMA) <= set(warehouse.columns(RESULTS.name)):
        return pl.DataFrame(schema=execution.SCHEMA)
    return warehouse.read(RESULTS.name, existing)


def kept_and_dropped(tests: pl.DataFrame) -> dict[str, Any]:
    """How many tests were kept, the share of instructions that have any, and why others were dropped."""
    reasons = Counter(reason[:80] for reason in tests.filter(pl.col("status") != "ok")["reason"])
    with_tests, total = (frame["instruction_id"].n_unique() for frame in (tests.filter(status="ok"), tests))
    return {
        "statuses": checks.counted(tests, "status"),
        "instructions_with_tests": with_tests / total if total else 0.0,
        "reasons": dict(reasons.most_common(10)),
    }


def decisions(votes: pl.DataFrame) -> dict[str, Any]:
    """How many votes of tests decided, tied and abstained, and the most frequent reasons for abstaining."""
    reasons = Counter(reason[:80] for reason in votes.filter(status="failed")["reason"])
    return {"statuses": checks.counted(votes, "status"), "reasons": dict(reasons.most_common(10))}
