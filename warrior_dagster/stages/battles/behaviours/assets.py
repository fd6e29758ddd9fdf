"""Behaviour as evidence: all answers are run on inputs whose right value nobody knows, and those that agree are preferred.

An arena has these tables if battles.evidence has `behaviour`.
"""

from functools import partial
from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import sides
from warrior_dagster.materialization import table as description
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.columns import ANSWERED, RETURNED
from warrior_dagster.materialization.partitions import BOTH_SIDES, EVERYONE, SAME
from warrior_dagster.materialization.recording import Step, counted, record, split
from warrior_dagster.materialization.table import RunForecast, Runs
from warrior_dagster.sandbox.isolation import ALLOWED_LEVELS
from warrior_dagster.sandbox.pool import observe_all
from warrior_dagster.stages.battles.behaviours import agreement, checks, observing, voting
from warrior_dagster.stages.battles.behaviours.inputs import inputs
from warrior_dagster.stages.battles.pairing import read_pairs
from warrior_dagster.stages.battles.sandbox_runs import earlier, limits
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA, vote_summary
from warrior_dagster.warehouse.tables import Warehouse

table = partial(description.table, enabled=lambda arena: arena.observes)


@table(
    group="evidence",
    partitioned_by="competitor",
    columns=tuple(observing.SCHEMA),
    meanings={"competitor": ANSWERED, "outcome": RETURNED, "reason": "Why there is no value; empty if there is one."},
    reads={"answers": SAME, "generated_tests": EVERYONE},
    settings=lambda arena: observing.depends_on(arena.execution),
    kinds=("python", "lancedb"),
    origins=origins(
        competitor="answers.competitor",
        answer_key="answers.completion_key",
        input="generated_tests.test",
        instruction_id="generated_tests.instruction_id",
        row_id="generated_tests.instruction_id generated_tests.test",
        **dict.fromkeys(("outcome", "value", "reason", "bound", "run_key"), "answers.answer generated_tests.test"),
    ),
    runs=Runs(
        lambda arena, warehouse, rows: forecast_runs(arena, warehouse, rows["answers"], rows["generated_tests"]),
        most=lambda arena: len(arena.roster) * arena.execution.inputs,
        processes=observing.processes,
    ),
    if_empty="ignore",
)
def answer_behaviours(step: Step) -> dg.MaterializeResult:
    """What a competitor's answers return for the calls in all tests and for variants of them, each run twice in the sandbox."""
    settings = step.arena.execution
    answers, tests = step.warehouse.read("answers", step.keys), step.warehouse.read("generated_tests", step.arena.roster)
    run = partial(observe_all, limits=limits(settings), levels=ALLOWED_LEVELS[settings.isolation])
    found, before = inputs(tests, settings.inputs), earlier(step.warehouse, "answer_behaviours", step.keys, observing.SCHEMA)
    rows, counts = observing.observe(answers, found, before, run, settings)
    return record(step, split(rows, step), describe=shares_of_outcomes, metadata={"inputs": len(found), **counts.metadata})


@table(
    group="battles",
    partitioned_by="matchup",
    columns=tuple(VOTE_SCHEMA),
    meanings={"judge": "Empty: behaviour is compared without a judge."},
    reads={
        "selected_instructions": EVERYONE,
        "answers": BOTH_SIDES,
        "generated_tests": EVERYONE,
        "answer_behaviours": EVERYONE,
    },
    settings=lambda arena: [arena.battles.instructions, arena.battles.same_model, arena.execution.inputs],
    ordered=lambda arena, _: [f"{one.name}: {one.model}" for one in arena.competitors],
    origins=origins(
        **dict.fromkeys(("row_id", "instruction_id"), "selected_instructions.instruction_id"),
        **dict.fromkeys(("key_left", "key_right"), "answers.completion_key"),
        reason="answer_behaviours.outcome answer_behaviours.reason generated_tests.reason",
        **dict.fromkeys(
            ("status", "verdict", "p_left", "p_right", "text"), "answer_behaviours.outcome answer_behaviours.value"
        ),
    ),
    checks=[checks.BEHAVIOURS_DECIDE],
    if_empty="ignore",
)
def behaviour_votes(step: Step) -> dg.MaterializeResult:
    """For every battle of a matchup, the side whose answer agrees more with the other competitors' answers on what they return;
    answers of a model of one of the sides count less (battles.same_model). Where nothing can be run there is no vote, with the
    reason.
    """
    arena = step.arena
    tests, observed = (step.warehouse.read(name, arena.roster) for name in ("generated_tests", "answer_behaviours"))
    models = {one.name: one.model for one in arena.competitors}
    found, same_model = voting.behaviours(observed), arena.battles.same_model
    present, without = voting.inputs_of_each(inputs(tests, arena.execution.inputs)), voting.reasons_without_inputs(tests)
    frames = {
        m: voting.vote(pairs, found, present, without, *sides(m), voting.peer_weights(models, *sides(m), same_model))
        for m, pairs in read_pairs(arena, step.warehouse, step.keys).items()
    }
    audit = {name: "undefined" if value is None else value for name, value in agreement.by_model(observed, models).items()}
    return record(step, frames, describe=vote_summary, metadata=audit, checks=[checks.behaviours_decide(frames)])


def forecast_runs(arena: Arena, warehouse: Warehouse, answers: pl.DataFrame, tests: pl.DataFrame) -> RunForecast:
    """The runs of known answers on the inputs of known tests."""
    before = earlier(warehouse, "answer_behaviours", arena.roster, observing.SCHEMA)
    return RunForecast(*observing.forecast(answers, inputs(tests, arena.execution.inputs), before, arena.execution))


def shares_of_outcomes(rows: pl.DataFrame) -> dict[str, Any]:
    """The share of each outcome, and the number of unstable ones."""
    counts = counted(rows, "outcome")
    shares = {outcome: count / len(rows) for outcome, count in counts.items()}
    return {"shares_of_outcomes": shares, "unstable": counts.get("unstable", 0), "levels": counted(rows, "level")}


TABLES = [answer_behaviours, behaviour_votes]
