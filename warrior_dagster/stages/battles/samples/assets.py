"""Several answers of each competitor to an instruction: all of them, what they return, and the one that battles.

An arena has these tables if answers.samples is above 1; the last takes the place of the plain table `answers`.
"""

from functools import partial
from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.text_settings import answer_settings
from warrior_dagster.materialization import table as description
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.columns import ANSWER_STATUS, ANSWERED, RETURNED
from warrior_dagster.materialization.partitions import EVERYONE, SAME
from warrior_dagster.materialization.recording import Step, counted, record, split
from warrior_dagster.materialization.table import Requests, RunForecast, Runs
from warrior_dagster.sandbox.isolation import ALLOWED_LEVELS
from warrior_dagster.sandbox.pool import observe_all
from warrior_dagster.stages.battles import answering
from warrior_dagster.stages.battles.behaviours import observing
from warrior_dagster.stages.battles.behaviours.inputs import inputs
from warrior_dagster.stages.battles.samples import settling
from warrior_dagster.stages.battles.sandbox_runs import RunCounts, earlier, limits
from warrior_dagster.warehouse.tables import Warehouse

table = partial(description.table, group="answers", partitioned_by="competitor", enabled=lambda arena: arena.settles)


@table(
    columns=tuple(answering.SAMPLE_SCHEMA),
    meanings={"competitor": ANSWERED, "status": ANSWER_STATUS},
    reads={"selected_instructions": EVERYONE},
    settings=lambda arena: [arena.answers],
    origins=origins(
        "selected_instructions",
        competitor="",  # who answers, and not whom the instruction was mined from
        **dict.fromkeys(("status", "answer", "reasoning", "usable", "tokens"), "selected_instructions.instruction"),
    ),
    usable=pl.col("usable"),
    usable_row="a usable answer",
    no_empty_partition=True,
    requests=Requests(
        lambda arena, one: (arena.mining.max_tokens, arena.answer_sampling(one).max_tokens),
        settings=answer_settings,
        samples=lambda arena, one: arena.answer_samples(one),
    ),
)
def answer_samples(step: Step) -> dg.MaterializeResult:
    """All answers of a competitor to every selected instruction (answers.samples); only one of them battles."""
    selected = step.warehouse.read("selected_instructions", step.arena.roster)
    answered = answering.answer(step.arena, step.engines, selected, step.keys, step.log)
    rows = answering.sample_rows(answered.rows)
    return record(step, split(rows, step), describe=lambda f: {"statuses": counted(f, "status")}, result=answered)


@table(
    columns=tuple(settling.OBSERVED_SCHEMA),
    meanings={"competitor": ANSWERED, "outcome": RETURNED, "reason": "Why there is no value; empty if there is one."},
    reads={"answer_samples": SAME, "generated_tests": SAME},
    settings=lambda arena: observing.depends_on(arena.execution),
    kinds=("python", "lancedb"),
    origins=origins(
        **dict.fromkeys(("instruction_id", "competitor", "sample"), ""),
        answer_key="answer_samples.completion_key",
        input="generated_tests.test",
        row_id="answer_samples.row_id generated_tests.test",
        **dict.fromkeys(("outcome", "value", "reason", "bound", "run_key"), "answer_samples.answer generated_tests.test"),
    ),
    runs=Runs(
        lambda arena, warehouse, rows: forecast_runs(arena, warehouse, rows["answer_samples"], rows["generated_tests"]),
        most=lambda arena: arena.answers.samples * arena.execution.inputs,
        processes=observing.processes,
    ),
    if_empty="ignore",
)
def sample_behaviours(step: Step) -> dg.MaterializeResult:
    """What each sample of a competitor's answers returns for the calls in its own tests and for variants of them, each run
    twice in the sandbox.
    """
    settings, read = step.arena.execution, step.warehouse.read
    run = partial(observe_all, limits=limits(settings), levels=ALLOWED_LEVELS[settings.isolation])
    samples, tests = (split(read(name, step.keys), step, by) for name, by in SAMPLES_AND_TESTS)
    before = earlier(step.warehouse, "sample_behaviours", step.keys, observing.SCHEMA)
    observed = {
        name: settling.observe(samples[name], inputs(tests[name], settings.inputs), before, run, settings) for name in step.keys
    }
    total = RunCounts()
    for _, counts in observed.values():
        total.add(counts)
    return record(
        step,
        {name: rows for name, (rows, _) in observed.items()},
        describe=lambda f: {"outcomes": counted(f, "outcome"), "levels": counted(f, "level")},
        metadata=total.metadata,
    )


@table(
    name="answers",
    columns=tuple(settling.SETTLED_SCHEMA),
    meanings={
        "competitor": ANSWERED,
        "status": ANSWER_STATUS,
        "sample": "The number of the sample that was chosen.",
        "agreement": "Its mean agreement with the competitor's other samples, 0 to 1; empty where it is unknown.",
        "settled_by": "What chose the sample: `agreement`, or `first sample` where nothing could be compared.",
        "least_like": "The number of the usable sample that agrees least with it, if one returns something else.",
        "least_agreement": "How far that sample agrees with it, 0 to 1.",
    },
    reads={"answer_samples": SAME, "sample_behaviours": SAME},
    origins=origins(
        "answer_samples",
        row_id="answer_samples.instruction_id",
        **dict.fromkeys(
            ("agreement", "settled_by", "least_like", "least_agreement"),
            "sample_behaviours.outcome sample_behaviours.value answer_samples.usable",
        ),
    ),
    usable=pl.col("usable"),
    usable_row="a usable answer",
    no_empty_partition=True,
    on_card=True,
)
def settled_answers(step: Step) -> dg.MaterializeResult:
    """The answer with which a competitor battles, for each instruction: of its samples the one that agrees most with the others
    on what they return for the inputs of its own tests.
    """
    samples, observed = (split(step.warehouse.read(name, step.keys), step) for name in ("answer_samples", "sample_behaviours"))
    frames = {name: settling.settle(samples[name], observed[name]) for name in step.keys}
    return record(step, frames, describe=described)


def described(rows: pl.DataFrame) -> dict[str, Any]:
    """How answers were settled on, and how far they agree with the samples beside them."""
    mean = rows["agreement"].mean()
    agreement = {} if mean is None else {"mean_agreement": mean}
    return {"statuses": counted(rows, "status"), "settled_by": counted(rows, "settled_by"), **agreement}


SAMPLES_AND_TESTS = (("answer_samples", "competitor"), ("generated_tests", "writer"))
"""The tables that settling reads, with the column of the competitor."""


def forecast_runs(arena: Arena, warehouse: Warehouse, samples: pl.DataFrame, tests: pl.DataFrame) -> RunForecast:
    """The runs of known samples on the inputs of their competitors' known tests."""
    before, found = earlier(warehouse, "sample_behaviours", arena.roster, observing.SCHEMA), [(0, 0, 0)]
    for name in arena.roster:
        own = settling.several(samples.filter(competitor=name))
        found.append(
            observing.forecast(own, inputs(tests.filter(writer=name), arena.execution.inputs), before, arena.execution)
        )
    return RunForecast(*(sum(counts) for counts in zip(*found, strict=True)))
