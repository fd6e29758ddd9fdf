"""The evidence of this experiment: answers, tests, what answers return, and opinions. Requests go through the ledger, so none is
sent twice; runs and observations are kept in the warehouse's folder, so none is repeated.
"""

import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.inference.dispatch import DispatchResult, dispatch
from warrior_dagster.inference.engines import Engines
from warrior_dagster.sandbox.code_extraction import extract_code
from warrior_dagster.sandbox.isolation import ResourceLimits
from warrior_dagster.sandbox.observing import observe_all
from warrior_dagster.sandbox.pool import Program, run_all
from warrior_dagster.stages.battles import answering, pairing, settling
from warrior_dagster.stages.battles.behaviours import inputs, observing
from warrior_dagster.stages.battles.behaviours import voting as behaviour_voting
from warrior_dagster.stages.battles.opinions import judging
from warrior_dagster.stages.battles.unit_tests import execution, generation, voting
from warrior_dagster.stages.battles.votes import BEHAVIOUR, EXECUTION, OPINION, VOTE_SCHEMA

OPINIONS = 1
"""Judges per matchup that give opinions: the first of the roster outside it. Without a GPU, opinions take most of the time."""
HIDDEN_SECONDS = 10.0
LOG = logging.getLogger("selection")


@dataclass(frozen=True)
class Made:
    """Everything that was made for the tasks with one way of showing them to those who write tests.

    `samples` has all answers with their sample numbers, `tests` the tests of all draws with the column `draw`, `run` and
    `observed` the outcomes of all of these answers.
    """

    tasks: pl.DataFrame
    samples: pl.DataFrame
    tests: pl.DataFrame
    run: pl.DataFrame
    observed: pl.DataFrame


def make(arena: Arena, engines: Engines, tasks: pl.DataFrame, shown: str) -> Made:
    """Answers from whole instructions, and tests from the column `shown` of the tasks, run and observed."""
    selected = selected_rows(arena, tasks)
    answered = answering.answer(arena, engines, selected, arena.roster, LOG)
    samples = answering.sample_rows(checked(answered).rows)
    tests = pl.concat(
        draw_of_tests(arena, engines, selected.with_columns(instruction=tasks[shown]), number)
        for number in range(arena.execution.samples)
    )
    limits = execution.limits(arena.execution)
    calls = all_inputs(tests, arena.execution.inputs)
    run = kept(arena, "ran", execution.SCHEMA, lambda before: execution.execute(
        samples, tests.drop("draw"), before, partial(run_all, limits=limits), arena.execution)[0])  # fmt: skip
    observed = kept(arena, "observed", observing.SCHEMA, lambda before: observing.observe(
        samples, calls, before, partial(observe_all, limits=limits), arena.execution)[0])  # fmt: skip
    return Made(tasks, samples, tests, run, observed)


def selected_rows(arena: Arena, tasks: pl.DataFrame) -> pl.DataFrame:
    """The tasks as selected instructions."""
    return tasks.select(
        "instruction_id", "instruction", row_id="instruction_id", competitor=pl.lit(arena.roster[0]), language=pl.lit("Python")
    )


def draw_of_tests(arena: Arena, engines: Engines, shown: pl.DataFrame, number: int) -> pl.DataFrame:
    """The tests of one draw: sample `number` of each writer alone, with the column `draw`."""

    def requests(writer):  # type: ignore[no-untyped-def]
        return (replace(one, samples=(number,)) for one in generation.requests(writer, shown, arena))

    progress = engines.progress("tests", len(shown) * len(arena.roster), LOG)
    written = checked(dispatch(arena, engines, arena.roster, requests, generation.read, progress, "tests"))
    rows = pl.DataFrame(generation.suite_rows(written.rows, arena.execution.max_tests), schema=generation.SCHEMA)
    return rows.with_columns(draw=number)


def all_inputs(tests: pl.DataFrame, most: int) -> pl.DataFrame:
    """The inputs of all draws, each once for an instruction and a writer."""
    of_draws = [inputs.inputs(own.drop("draw"), most) for own in tests.partition_by("draw")]
    return pl.concat(of_draws).unique(["instruction_id", "writer", "input"], keep="first", maintain_order=True)


def kept(arena: Arena, name: str, schema, make) -> pl.DataFrame:  # type: ignore[no-untyped-def]
    """What `make` gives, whose rows are kept in the warehouse's folder for the next time."""
    file = Path(arena.warehouse) / f"{name}.parquet"
    before = pl.read_parquet(file) if file.exists() else pl.DataFrame(schema=schema)
    made: pl.DataFrame = make(before)
    known = pl.concat([before, made]).unique("run_key", keep="first", maintain_order=True)
    known.write_parquet(file)
    return made


@dataclass(frozen=True)
class Chosen:
    """One answer of each competitor to each task, and the votes of tests and of behaviour on their battles."""

    answers: pl.DataFrame
    pairs: dict[str, pl.DataFrame]
    votes: dict[str, dict[str, pl.DataFrame]]


def battles(arena: Arena, made: Made, answers: pl.DataFrame, draws: tuple[int, ...]) -> Chosen:
    """The battles between some answers, one of each competitor, with the tests of some draws."""
    tests = made.tests.filter(pl.col("draw").is_in(draws)).unique(
        ["instruction_id", "writer", "test"], keep="first", maintain_order=True
    )
    keys = answers.select("competitor", "instruction_id", answer_key="completion_key")
    run, observed = (frame.join(keys, on=["competitor", "instruction_id", "answer_key"], how="semi") for frame in (made.run, made.observed))
    calls = inputs.inputs(tests.drop("draw"), arena.execution.inputs).select("instruction_id", "input").unique()
    observed = observed.join(calls, on=["instruction_id", "input"], how="semi")
    selected = selected_rows(arena, made.tasks)
    pairs = {m: pairing.pairs(selected, answers, *sides(m), "all") for m in matchup_keys(arena.roster)}
    reports = voting.suite_reports(tests.drop("draw"), run)
    by_tests = {m: voting.vote(pairs[m], reports, arena.judges(*sides(m)), *sides(m)) for m in pairs}
    by_behaviour = behaviour_votes(arena, pairs, observed)
    return Chosen(answers, pairs, {EXECUTION: by_tests, BEHAVIOUR: by_behaviour})


def nth(samples: pl.DataFrame, number: int) -> pl.DataFrame:
    """Sample `number` of each competitor; of those that have only one, that one."""
    wanted = pl.min_horizontal(pl.lit(number), pl.col("sample").max().over("competitor"))
    return samples.filter(pl.col("sample") == wanted)


def settled(arena: Arena, made: Made, draw: int) -> pl.DataFrame:
    """The answer that each competitor settles on, by the inputs of its own tests of one draw."""
    raise NotImplementedError


def opinions(arena: Arena, engines: Engines, pairs: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The opinions of OPINIONS judges a matchup on some battles."""
    panel = arena.model_copy(update={"battles": arena.battles.model_copy(update={"judges": OPINIONS})})
    given = pl.DataFrame(checked(judging.vote(panel, engines, pairs, LOG)).rows, schema=VOTE_SCHEMA)
    return {m: given.filter(left=sides(m)[0], right=sides(m)[1]) for m in pairs}


def grade(samples: pl.DataFrame, tasks: pl.DataFrame) -> pl.DataFrame:
    """Run the hidden tests on unchanged answers. Columns: instruction_id, completion_key, `loads` (whether the code loads),
    `right` (whether it passes) and `why` (the reason if not). Equal texts are run once.
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
        why = result.error or (execution.TIMEOUT if result.outcomes[0] == execution.TIMEOUT else result.reasons[0])
        found[texts[int(result.key)]] = (not result.error, result.outcomes[0] == execution.PASSED, why)
    rows = [(one, key, *found[one, text]) for one, key, text in samples.select("instruction_id", "completion_key", "answer").rows()]
    schema = {"instruction_id": pl.String, "completion_key": pl.String, "loads": pl.Boolean, "right": pl.Boolean, "why": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def checked(dispatched: DispatchResult) -> DispatchResult:
    """The result of a stage. Raises RuntimeError if a competitor or a request failed."""
    failed = [row["error"] for row in dispatched.rows if row["error"] is not None]
    if dispatched.failures or failed:
        raise RuntimeError(f"requests failed: {dispatched.failures or failed[0]}; run again to continue")
    return dispatched
