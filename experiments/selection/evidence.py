"""The evidence of this experiment: answers, tests, what answers return, and opinions.

Requests go through the ledger, so none is sent twice; runs and observations are kept in the warehouse's folder, so none is
repeated.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import BEHAVIOUR, EXECUTION
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.inference.dispatch import DispatchResult, dispatch
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.prompting import LoadedCompetitor
from warrior_dagster.inference.request import Request
from warrior_dagster.sandbox.code_extraction import extract_code
from warrior_dagster.sandbox.isolation import ResourceLimits
from warrior_dagster.sandbox.pool import Program, observe_all, run_all
from warrior_dagster.stages.battles import answering, pairing, sandbox_runs
from warrior_dagster.stages.battles.behaviours import inputs, observing
from warrior_dagster.stages.battles.behaviours import voting as behaviour_voting
from warrior_dagster.stages.battles.opinions import judging
from warrior_dagster.stages.battles.samples import settling
from warrior_dagster.stages.battles.unit_tests import execution, generation, voting
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA

OPINIONS = 1
"""Judges per matchup that give opinions: the first of the roster outside it. Without a GPU, opinions take most of the time."""
HIDDEN_SECONDS = 10.0
LOG = logging.getLogger("selection")
ANSWER = ["instruction_id", "competitor", "answer_key"]
TEST = ["instruction_id", "writer", "test"]


@dataclass(frozen=True)
class Made:
    """Everything that was made for the tasks with one way of showing them to those who write tests.

    `samples` has all answers, rows of answering.SAMPLE_SCHEMA; `tests` the tests of all draws, rows of generation.SCHEMA with
    the column `draw`; `run` and `observed` the outcomes of all of these answers under all tests and on all inputs.
    """

    tasks: pl.DataFrame
    samples: pl.DataFrame
    tests: pl.DataFrame
    run: pl.DataFrame
    observed: pl.DataFrame

    def of(self, tasks: pl.DataFrame) -> "Made":
        """The part that is about some of the tasks."""
        parts = (self.samples, self.tests, self.run, self.observed)
        return Made(tasks, *(frame.join(tasks, on="instruction_id", how="semi") for frame in parts))


@dataclass(frozen=True)
class Battled:
    """The battles between one answer of each competitor to each task, the votes on them by kind of evidence, and the outcomes
    of the tests behind them.
    """

    pairs: dict[str, pl.DataFrame]
    votes: dict[str, dict[str, pl.DataFrame]]
    run: pl.DataFrame


def make(arena: Arena, engines: Engines, tasks: pl.DataFrame, shown: str) -> Made:
    """Answers to the whole instructions, and tests from the column `shown` of the tasks, run and observed."""
    selected = selected_rows(arena, tasks)
    samples = answering.sample_rows(succeeded(answering.answer(arena, engines, selected, arena.roster, LOG)).rows)
    drawn = selected.with_columns(instruction=tasks[shown])
    tests = drawn_tests(arena, engines, drawn)
    settings, limits = arena.execution, sandbox_runs.limits(arena.execution)
    found = pl.concat(inputs.inputs(own, settings.inputs) for own in tests.partition_by("draw"))
    run, observe = partial(run_all, limits=limits), partial(observe_all, limits=limits)
    return Made(
        tasks,
        samples,
        tests,
        kept(arena, "ran", execution.SCHEMA, lambda before: execution.execute(samples, tests, before, run, settings)[0]),
        kept(
            arena, "observed", observing.SCHEMA, lambda before: observing.observe(samples, found, before, observe, settings)[0]
        ),
    )


def selected_rows(arena: Arena, tasks: pl.DataFrame) -> pl.DataFrame:
    """The tasks as selected instructions."""
    return tasks.select(
        "instruction_id", "instruction", row_id="instruction_id", competitor=pl.lit(arena.roster[0]), language=pl.lit("Python")
    )


def drawn_tests(arena: Arena, engines: Engines, shown: pl.DataFrame) -> pl.DataFrame:
    """The tests of all draws, sample n of each writer as draw n; rows of generation.SCHEMA with the column `draw`.

    A writer's samples are one request, so that its prompt is computed once. Each draw is a suite of its own, with tests that
    another draw may have too.
    """

    def requests(writer: LoadedCompetitor) -> Iterator[Request]:
        return generation.requests(writer, shown, arena)

    samples, most = arena.execution.samples, arena.execution.max_tests
    progress = engines.progress("tests", len(shown) * len(arena.roster) * samples, LOG)
    written = succeeded(dispatch(arena, engines, arena.roster, requests, generation.read, progress, "tests")).rows
    suites = [generation.suite_rows([row for row in written if row["sample"] == draw], most) for draw in range(samples)]
    return pl.concat(pl.DataFrame(rows, generation.SCHEMA).with_columns(draw=draw) for draw, rows in enumerate(suites))


def kept(arena: Arena, name: str, schema: dict[str, Any], make_rows: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    """Rows with run keys, given those that are known; they are kept in the warehouse's folder for the next time."""
    file = Path(arena.warehouse) / f"{name}.parquet"
    before = pl.read_parquet(file) if file.exists() else pl.DataFrame(schema=schema)
    rows = make_rows(before)
    pl.concat([before, rows]).unique("run_key", keep="first", maintain_order=True).write_parquet(file)
    return rows


def nth(samples: pl.DataFrame, number: int) -> pl.DataFrame:
    """Sample `number` of each competitor; the only one of those that have one."""
    wanted = pl.min_horizontal(pl.lit(number), pl.col("sample").max().over("competitor"))
    return samples.filter(pl.col("sample") == wanted)


def settled(arena: Arena, made: Made, draws: Sequence[int]) -> pl.DataFrame:
    """The answer that each competitor settles on, by the inputs of its own tests of some draws."""
    found = inputs.inputs(suite(made, draws), arena.execution.inputs)
    observed = made.observed.join(made.samples.select(*ANSWER[:2], "sample", answer_key="completion_key"), on=ANSWER)
    on = ["instruction_id", "competitor", "input"]
    own = observed.join(found.rename({"writer": "competitor"}), on=on, how="semi")
    return pl.concat(
        settling.settle(made.samples.filter(competitor=name), own.filter(competitor=name)) for name in arena.roster
    )


def suite(made: Made, draws: Sequence[int]) -> pl.DataFrame:
    """The tests of some draws as one suite of each writer, each test once."""
    return made.tests.filter(pl.col("draw").is_in(draws)).unique(TEST, keep="first", maintain_order=True)


def battles(arena: Arena, made: Made, answers: pl.DataFrame, draws: Sequence[int]) -> Battled:
    """The battles between some answers, one of each competitor, with the votes of tests of some draws and of behaviour."""
    tests, keys = suite(made, draws), answers.select(*ANSWER[:2], answer_key="completion_key")
    run, observed = (frame.join(keys, on=ANSWER, how="semi") for frame in (made.run, made.observed))
    found = inputs.inputs(tests, arena.execution.inputs)
    observed = observed.join(found, on=["instruction_id", "input"], how="semi")
    pairs = {m: pairing.pairs(selected_rows(arena, made.tasks), answers, *sides(m), "all") for m in matchup_keys(arena.roster)}
    reports = voting.suite_reports(tests, run)
    models, same_model = {c.name: c.model for c in arena.competitors}, arena.battles.same_model
    weights = {m: behaviour_voting.peer_weights(models, *sides(m), same_model) for m in pairs}
    standing = behaviour_voting.behaviours(observed)
    calls, without = behaviour_voting.inputs_of_each(found), behaviour_voting.reasons_without_inputs(tests)
    return Battled(
        pairs,
        {
            EXECUTION: {m: voting.vote(pairs[m], reports, arena.judges(*sides(m)), *sides(m)) for m in pairs},
            BEHAVIOUR: {m: behaviour_voting.vote(pairs[m], standing, calls, without, *sides(m), weights[m]) for m in pairs},
        },
        run.join(tests, on=TEST, how="semi"),
    )


def opinions(arena: Arena, engines: Engines, pairs: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The opinions of OPINIONS judges a matchup."""
    panel = arena.model_copy(update={"battles": arena.battles.model_copy(update={"judges": OPINIONS})})
    given = pl.DataFrame(succeeded(judging.vote(panel, engines, pairs, LOG)).rows, schema=VOTE_SCHEMA)
    return {m: given.filter(left=sides(m)[0], right=sides(m)[1]) for m in pairs}


def grade(samples: pl.DataFrame, tasks: pl.DataFrame) -> pl.DataFrame:
    """Run the hidden tests on unchanged answers, equal texts once.

    Columns: instruction_id, completion_key, `loads` (whether the code loads), `right` (whether it passes) and `why` (the reason
    if not).
    """
    checks = dict(tasks.select("instruction_id", "hidden").iter_rows())
    found, programs = dict[tuple[str, str], tuple[bool, bool, str]](), []
    texts = samples.select("instruction_id", "answer").unique(maintain_order=True).rows()
    for number, (identity, text) in enumerate(texts):
        code = extract_code(text)
        found[identity, text] = (False, False, code.reason)
        if not code.reason:
            programs.append(Program(str(number), code.text, (checks[identity],)))
    for result in run_all(programs, ResourceLimits(HIDDEN_SECONDS)):
        outcome, reason = (result.outcomes[0], result.reasons[0]) if not result.error else ("not run", "")
        why = result.error or (outcome if outcome == sandbox_runs.TIMEOUT else reason)
        found[texts[int(result.key)]] = (not result.error, outcome == execution.PASSED, why)
    graded = [
        (one, key, *found[one, text]) for one, key, text in samples.select("instruction_id", "completion_key", "answer").rows()
    ]
    columns = {
        "instruction_id": pl.String,
        "completion_key": pl.String,
        "loads": pl.Boolean,
        "right": pl.Boolean,
        "why": pl.String,
    }
    return pl.DataFrame(graded, schema=columns, orient="row")


def succeeded(dispatched: DispatchResult) -> DispatchResult:
    """The result of a stage. Raises RuntimeError if a competitor or a request failed."""
    failed = [row["error"] for row in dispatched.rows if row["error"] is not None]
    if dispatched.failures or failed:
        raise RuntimeError(f"requests failed: {dispatched.failures or failed[0]}; run again to continue")
    return dispatched
