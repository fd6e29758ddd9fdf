"""Tests as evidence: judges write tests blind, all answers are run against them, and the results become votes.

An arena has these tables if battles.evidence has `execution`.
"""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import sides
from warrior_dagster.config.serving import Competitor
from warrior_dagster.materialization import table as description
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.columns import ANSWERED
from warrior_dagster.materialization.partitions import BOTH_SIDES, EVERYONE, FIRST, SAME
from warrior_dagster.materialization.recording import Step, counted, record, split
from warrior_dagster.materialization.table import Requests, RunForecast, Runs, tokens_of
from warrior_dagster.sandbox.isolation import ALLOWED_LEVELS
from warrior_dagster.sandbox.modules import module_files
from warrior_dagster.sandbox.pool import run_all
from warrior_dagster.sandbox.probing import best_level
from warrior_dagster.stages.battles import sandbox_runs
from warrior_dagster.stages.battles.pairing import read_pairs
from warrior_dagster.stages.battles.sandbox_runs import earlier, limits
from warrior_dagster.stages.battles.unit_tests import breaking, checks, execution, generation, voting
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA, vote_summary
from warrior_dagster.warehouse.tables import Warehouse

table = partial(description.table, enabled=lambda arena: arena.runs_tests)
TEST_RUNS = {
    "competitor": ANSWERED,
    "outcome": "`passed`, `failed`, `error`, `timeout`, `abstained` (the test would have to trust the answer's own objects),"
    " `unstable` (two runs differ), `not run` or `needs module`.",
    "reason": "Why the test did not pass; empty if it did.",
}
"""The meanings of the columns of runs of tests."""


def tokens_for_tests(arena: Arena, _: Competitor) -> tuple[int, int]:
    """The most tokens of the prompt that asks for tests of one instruction, and of the completion."""
    return arena.mining.max_tokens + tokens_of(arena.execution.prompt), arena.execution.sampling.max_tokens


@table(
    group="answers",
    partitioned_by="competitor",
    columns=tuple(generation.SCHEMA),
    meanings={
        "status": "`ok`; `dropped`, with the reason; `none`, where there is no test; or `failed`, where the request failed.",
        "reason": "Why the test was dropped, or why there is none; empty if it is kept.",
    },
    reads={"selected_instructions": EVERYONE},
    settings=lambda arena: [
        arena.execution.model_dump(mode="json", include={"prompt", "sampling", "max_tests"}),
        *([arena.execution.samples] if arena.execution.samples > 1 else []),
    ],
    origins=origins(
        **dict.fromkeys(("row_id", "instruction_id"), "selected_instructions.instruction_id"),
        test="selected_instructions.instruction",
        **dict.fromkeys(("status", "reason"), "selected_instructions.instruction"),
    ),
    usable=pl.col("status") == "ok",
    usable_row="a test that can be run",
    if_empty="warn",  # no code can show everything, and not every judge can write tests; then opinions decide
    requests=Requests(tokens_for_tests, samples=lambda arena, _: arena.execution.samples),
)
def generated_tests(step: Step) -> dg.MaterializeResult:
    """The tests that a competitor writes, as a judge, for every selected instruction, without seeing an answer. Tests that do
    not parse, or may differ between runs, are dropped, with the reason.
    """
    arena = step.arena
    best_level(ALLOWED_LEVELS[arena.execution.isolation])  # before anybody is asked for tests that could not be run
    module_files(arena.execution.modules)
    selected = step.warehouse.read("selected_instructions", arena.roster)
    written = generation.write(arena, step.engines, selected, step.keys, step.log)
    rows = pl.DataFrame(written.rows, schema=generation.SCHEMA)
    return record(step, split(rows, step, "writer"), describe=kept_and_dropped, result=written)


@table(
    group="evidence",
    partitioned_by="competitor",
    columns=tuple(execution.SCHEMA),
    meanings=TEST_RUNS,
    reads={"answers": SAME, "generated_tests": EVERYONE},
    settings=lambda arena: [arena.execution.seconds, arena.execution.memory_mib, *sorted(arena.execution.modules)],
    kinds=("python", "lancedb"),
    origins=origins(
        "generated_tests",
        competitor="answers.competitor",
        answer_key="answers.completion_key",
        **dict.fromkeys(("outcome", "reason", "bound", "run_key"), "answers.answer generated_tests.test"),
    ),
    runs=Runs(
        lambda arena, warehouse, rows: forecast_runs(arena, warehouse, rows["answers"], rows["generated_tests"]),
        most=lambda arena: len(arena.roster) * suite(arena),
        processes=lambda pairs, _: sandbox_runs.ROUNDS * pairs,
    ),
    checks=[checks.ISOLATED_RUNS, checks.FEW_TIMEOUTS],
    if_empty="ignore",
)
def execution_results(step: Step) -> dg.MaterializeResult:
    """The outcome of a competitor's answers under all tests of their instructions, each run twice in the sandbox."""
    settings = step.arena.execution
    answers, tests = step.warehouse.read("answers", step.keys), step.warehouse.read("generated_tests", step.arena.roster)
    run = partial(run_all, limits=limits(settings), levels=ALLOWED_LEVELS[settings.isolation])
    before = earlier(step.warehouse, "execution_results", step.keys, execution.SCHEMA)
    rows, counts = execution.execute(answers, tests, before, run, settings)
    return record(
        step,
        split(rows, step),
        describe=lambda f: {"outcomes": counted(f, "outcome"), "levels": counted(f, "level")},
        metadata=counts.metadata,
        checks=[checks.isolated(rows), checks.few_timeouts(rows, settings.max_timeout_rate)],
    )


@description.table(
    group="evidence",
    partitioned_by="competitor",
    columns=tuple(breaking.SCHEMA),
    meanings=TEST_RUNS
    | {
        "answer_key": "The completion key of the answer that was changed.",
        "change": "What was changed in it.",
        "broken": "The changed answer.",
    },
    reads={"selected_instructions": FIRST, "answers": SAME, "execution_results": SAME},
    settings=lambda arena: [arena.execution.seconds, arena.execution.memory_mib, arena.execution.modules, arena.battles.exam],
    kinds=("python", "lancedb"),
    origins=origins(
        "execution_results",
        row_id="execution_results.row_id answers.answer",
        competitor="answers.competitor",
        answer_key="answers.completion_key",
        **dict.fromkeys(("broken", "change"), "answers.answer"),
        **dict.fromkeys(("outcome", "reason", "level", "bound", "run_key"), "answers.answer execution_results.test"),
    ),
    runs=Runs(
        lambda arena, warehouse, rows: forecast_runs_of_broken(arena, warehouse, rows),  # noqa: PLW0108 (it is defined below)
        most=lambda arena: breaking.TRIED * (len(arena.founders) - 1) * suite(arena),
        processes=lambda pairs, _: sandbox_runs.ROUNDS * pairs,
        limit=lambda arena, instructions: len(arena.founders) * min(breaking.most_answers(arena.battles.exam), instructions),
    ),
    enabled=lambda arena: arena.runs_tests and arena.battles.exam > 0,
    if_empty="ignore",
)
def broken_answers(step: Step) -> dg.MaterializeResult:
    """Answers that pass tests, changed in one place, with the outcome of the same tests: material for the judges' exam. Only
    answers and tests of the first four competitors of the roster are used, so that an appended one changes no question.
    """
    arena, warehouse, settings = step.arena, step.warehouse, step.arena.execution
    run = partial(run_all, limits=limits(settings), levels=ALLOWED_LEVELS[settings.isolation])
    selected = warehouse.read("selected_instructions", arena.founders, ["instruction_id"])
    frames, total = dict[str, pl.DataFrame](), sandbox_runs.RunCounts()
    for name in step.keys:
        answers = warehouse.read("answers", [name]).join(selected, on="instruction_id", how="semi")
        results = warehouse.read("execution_results", [name]).filter(pl.col("writer").is_in(other_founders(arena, name)))
        before = earlier(warehouse, "broken_answers", [name], execution.SCHEMA)
        most = breaking.most_answers(arena.battles.exam)
        frames[name], counts = breaking.break_answers(answers, results, before, most, run, settings)
        total.add(counts)
    return record(step, frames, describe=lambda f: {"outcomes": counted(f, "outcome")}, metadata=total.metadata)


@table(
    group="battles",
    partitioned_by="matchup",
    columns=tuple(VOTE_SCHEMA),
    meanings={"judge": "The competitor whose tests vote.", "completion_key": "The key of the completion with the tests."},
    reads={
        "selected_instructions": EVERYONE,
        "answers": BOTH_SIDES,
        "generated_tests": EVERYONE,
        "execution_results": EVERYONE,
    },
    settings=lambda arena: [arena.battles.instructions, arena.battles.judges],
    ordered=lambda arena, matchup: arena.judges(*sides(matchup)),
    origins=origins(
        row_id="selected_instructions.instruction_id generated_tests.writer",
        instruction_id="selected_instructions.instruction_id",
        judge="generated_tests.writer",
        completion_key="generated_tests.completion_key",
        **dict.fromkeys(("key_left", "key_right"), "answers.completion_key"),
        reason="execution_results.outcome execution_results.reason generated_tests.reason",
        **dict.fromkeys(("status", "verdict", "p_left", "p_right", "text"), "execution_results.outcome"),
    ),
    checks=[checks.TESTS_DECIDE],
    if_empty="ignore",
)
def execution_votes(step: Step) -> dg.MaterializeResult:
    """For every battle of a matchup, the side that each judge's tests favour; where they do not distinguish the answers, or
    nothing can be run, the judge abstains, with the reason. No competitor's tests vote on its own battles.
    """
    arena = step.arena
    tests, results = (step.warehouse.read(name, arena.roster) for name in ("generated_tests", "execution_results"))
    reports = voting.suite_reports(tests, results)
    frames = {
        m: voting.vote(pairs, reports, arena.judges(*sides(m)), *sides(m))
        for m, pairs in read_pairs(arena, step.warehouse, step.keys).items()
    }
    return record(step, frames, describe=vote_summary, checks=[checks.tests_decide(frames)])


def forecast_runs(arena: Arena, warehouse: Warehouse, answers: pl.DataFrame, tests: pl.DataFrame) -> RunForecast:
    """The runs of known answers on known tests."""
    before = earlier(warehouse, "execution_results", arena.roster, execution.SCHEMA)
    return RunForecast(*execution.forecast(answers, tests, before, arena.execution))


def forecast_runs_of_broken(arena: Arena, warehouse: Warehouse, rows: Mapping[str, pl.DataFrame]) -> RunForecast:
    """The runs of those of the founders' answers that are broken, as far as the tests are known that they pass."""
    settings, known, found = arena.execution, True, [pl.DataFrame(schema=breaking.SCHEMA)]
    of_founders = rows["selected_instructions"].filter(pl.col("competitor").is_in(arena.founders))
    answers = rows["answers"].join(of_founders, on="instruction_id", how="semi")
    for name in arena.founders:
        own = answers.filter(competitor=name)
        tests = rows["generated_tests"].filter(pl.col("writer").is_in(other_founders(arena, name)))
        results, _ = execution.execute(
            own, tests, earlier(warehouse, "execution_results", [name], execution.SCHEMA), execution.dry_run, settings
        )
        known = known and results.filter(level=sandbox_runs.TO_RUN).is_empty()
        before, most = earlier(warehouse, "broken_answers", [name], execution.SCHEMA), breaking.most_answers(arena.battles.exam)
        found.append(breaking.break_answers(own, results, before, most, execution.dry_run, settings)[0])
    needed = pl.concat(found).unique("run_key")
    to_run = needed.filter(level=sandbox_runs.TO_RUN)
    return RunForecast(len(needed), len(to_run), to_run["broken"].n_unique(), known)


def other_founders(arena: Arena, name: str) -> list[str]:
    """The founders whose tests show whether a founder's answer is sound; none for a competitor that is no founder."""
    return [founder for founder in arena.founders if founder != name] if name in arena.founders else []


def suite(arena: Arena) -> int:
    """The most tests that one competitor writes for one instruction."""
    return arena.execution.samples * arena.execution.max_tests


def kept_and_dropped(tests: pl.DataFrame) -> dict[str, Any]:
    """How many tests were kept, the share of instructions that have any, and why others were dropped."""
    reasons = Counter(reason[:80] for reason in tests.filter(pl.col("status") != "ok")["reason"])
    with_tests, total = (frame["instruction_id"].n_unique() for frame in (tests.filter(status="ok"), tests))
    return {
        "statuses": counted(tests, "status"),
        "instructions_with_tests": with_tests / total if total else 0.0,
        "reasons": dict(reasons.most_common(10)),
    }


TABLES = [generated_tests, execution_results, broken_answers, execution_votes]
