"""The runs of code that materializing an arena would take, and how long they take at least on this machine."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.table import Table
from warrior_dagster.planning.plan import StagePlan
from warrior_dagster.sandbox.isolation import ALLOWED_LEVELS, IsolationError, Level
from warrior_dagster.sandbox.pool import Program, run_all
from warrior_dagster.stages.battles.assets import TABLES
from warrior_dagster.warehouse.tables import Warehouse

PROBE = Program("probe", "def work(x):\n    return x\n", ("assert work(1) == 1",) * 5)
"""A program that does nothing: its checks take the time that starting processes takes."""


@dataclass(frozen=True, slots=True)
class RunsLine:
    """The runs that one table needs."""

    stage: str
    done: int
    """Runs that an earlier run of the stage has made."""
    to_run: int
    expected: int
    """The part of `to_run` that is estimated."""
    seconds: float | None
    """The least that they take on this machine; None if it cannot isolate code."""
    basis: str


def planned_runs(arena: Arena, warehouse: Warehouse, stages: Iterable[StagePlan]) -> list[RunsLine]:
    """A line for each table of the arena that runs code, from the plans of the stages that send requests."""
    plans = {stage.table.name: stage for stage in stages}
    return [line(arena, warehouse, table, plans) for table in TABLES if table.runs and table.enabled(arena)]


def line(arena: Arena, warehouse: Warehouse, table: Table, plans: Mapping[str, StagePlan]) -> RunsLine:
    """The runs of one table: those of known answers on known tests, and the expected further ones."""
    assert table.runs
    asked = plans["answers" if "answers" in plans else "answer_samples"]
    rows = {name: plan.rows for name, plan in plans.items()} | {"answers": asked.battling}
    found = table.runs.forecast(arena, warehouse, rows)
    answers, expected, how = further(arena, plans, found.needed, table.runs.most(arena))
    to_run = found.to_run + expected
    processes = table.runs.processes(to_run, found.answers + answers)
    seconds: float | None = 0.0
    if to_run:
        one = seconds_of_a_process(ALLOWED_LEVELS[arena.execution.isolation])
        seconds = None if one is None else processes * one / len(os.sched_getaffinity(0))
    isolation = "it cannot isolate code" if seconds is None else ""
    basis = "; ".join(filter(None, (f"expected: {how}" if expected else "", isolation)))
    return RunsLine(table.name, found.needed - found.to_run, to_run, expected, seconds, basis)


def further(arena: Arena, plans: Mapping[str, StagePlan], needed: int, most: int) -> tuple[int, int, str]:
    """The answers that are not in the ledger yet, the expected runs of these and of tests to come, and their basis."""
    asked, tests = plans["answers" if "answers" in plans else "answer_samples"], plans["generated_tests"]
    answered = asked.battling.select("instruction_id", "competitor").n_unique()
    tested = tests.rows.select("instruction_id", "writer").n_unique()
    every = asked.asked_about * len(arena.roster)
    if not every or min(answered, tested) >= every:
        return 0, 0, ""
    answers = max(every - answered, 0)
    met = answered * tested / every
    an_answer = needed / met if needed and met else most
    how = f"{an_answer:.3g} runs an answer, as so far" if needed and met else f"at most {most} runs an answer"
    return answers, max(round(every * an_answer) - needed, 0), how


@cache
def seconds_of_a_process(levels: tuple[Level, ...]) -> float | None:
    """How long this machine takes for one process of the sandbox that does nothing; None if it has none of the levels."""
    try:
        (result,) = run_all([PROBE], levels=levels, workers=1)
    except IsolationError:
        return None
    return result.seconds / len(PROBE.checks)
