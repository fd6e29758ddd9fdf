"""What the arena is asked in this experiment: answers, opinions and tests; through its ledger, so that all is asked once."""

import logging
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.inference.dispatch import DispatchResult
from warrior_dagster.inference.engines import Engines
from warrior_dagster.sandbox.code_extraction import extract_code
from warrior_dagster.sandbox.isolation import ResourceLimits
from warrior_dagster.sandbox.pool import Program, run_all
from warrior_dagster.stages.battles import answering, pairing
from warrior_dagster.stages.battles.opinions import judging
from warrior_dagster.stages.battles.unit_tests import execution, generation, voting
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA

OPINIONS = 1
"""Judges a matchup that give opinions, the first of the roster outside it: they cost most of the time without a GPU."""
HIDDEN_SECONDS = 10.0
LOG = logging.getLogger("selection")


@dataclass(frozen=True)
class Evidence:
    """All that is known of the answers to some `tasks`, rows of tasks.tasks, but whether they are right. By matchup: `pairs`,
    the frames of pairs; `opinions` and `executed`, rows of VOTE_SCHEMA.
    """

    tasks: pl.DataFrame
    answers: pl.DataFrame
    tests: pl.DataFrame
    run: pl.DataFrame
    pairs: dict[str, pl.DataFrame]
    opinions: dict[str, pl.DataFrame]
    executed: dict[str, pl.DataFrame]


def gather(
    arena: Arena, engines: Engines, tasks: pl.DataFrame, before: pl.DataFrame, *, stripped: bool, opinions: bool
) -> Evidence:
    """The arena's work on the tasks, as its assets do it; `before` are rows of results.SCHEMA, not to be run again.

    Answers and opinions always rest on the whole instructions. `stripped`: those who write tests see no examples.
    `opinions`: whether any are asked for.
    """
    selected = tasks.select(
        "instruction_id", "instruction", row_id="instruction_id", competitor=pl.lit(arena.roster[0]), language=pl.lit("Python")
    )
    answers = rows(answering.answer(arena, engines, selected, arena.roster, LOG), answering.SCHEMA)
    shown = selected.with_columns(instruction=tasks["stripped"] if stripped else tasks["instruction"])
    tests = rows(generation.write(arena, engines, shown, arena.roster, LOG), generation.SCHEMA)
    pairs = {m: pairing.pairs(selected, answers, *sides(m), "all") for m in matchup_keys(arena.roster)}
    one_judge = arena.model_copy(update={"battles": arena.battles.model_copy(update={"judges": OPINIONS})})
    given = rows(judging.vote(one_judge, engines, pairs if opinions else {}, LOG), VOTE_SCHEMA)
    sandboxed = partial(run_all, limits=execution.limits(arena.execution))
    run, _ = execution.execute(answers, tests, before, sandboxed, arena.execution)
    by_matchup = {m: given.filter(left=sides(m)[0], right=sides(m)[1]) for m in pairs}
    return Evidence(tasks, answers, tests, run, pairs, by_matchup, executed(arena, tests, run, pairs))


def executed(arena: Arena, tests: pl.DataFrame, run: pl.DataFrame, pairs: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The votes of everybody's tests, by matchup."""
    sheets = voting.test_reports(tests, run)
    return {m: voting.vote(pairs[m], sheets, arena.judges(*sides(m)), *sides(m)) for m in pairs}


def without(arena: Arena, known: Evidence, row_ids: pl.Series) -> Evidence:
    """The same, as if some tests had not been written."""
    dropped = pl.col("row_id").is_in(row_ids.implode())
    tests = known.tests.with_columns(
        status=pl.when(dropped).then(pl.lit("dropped")).otherwise("status"),
        reason=pl.when(dropped).then(pl.lit("left out")).otherwise("reason"),
    )
    return replace(known, tests=tests, executed=executed(arena, tests, known.run, known.pairs))


def right(answers: pl.DataFrame, tasks: pl.DataFrame) -> pl.DataFrame:
    """Whether each answer is code that `loads`, and passes the hidden tests as it stands: instruction_id, competitor, loads,
    right, and why not.
    """
    checks = dict(tasks.select("instruction_id", "hidden").iter_rows())
    found, programs = dict[str, tuple[bool, bool, str]](), []
    for identity, competitor, text in answers.select("instruction_id", "competitor", "answer").iter_rows():
        code, key = extract_code(text), f"{identity}:{competitor}"
        found[key] = (False, False, code.reason)
        if not code.reason:
            programs.append(Program(key, code.text, (checks[identity],)))
    for one in run_all(programs, ResourceLimits(HIDDEN_SECONDS)):
        why = one.error or (execution.TIMEOUT if one.outcomes[0] == execution.TIMEOUT else one.reasons[0])
        found[one.key] = (not one.error, one.outcomes[0] == execution.PASSED, why)
    keys = answers.select("instruction_id", "competitor", key=pl.format("{}:{}", "instruction_id", "competitor"))
    told = {"loads": pl.Boolean, "right": pl.Boolean, "why": pl.String}
    values = pl.DataFrame([found[key] for key in keys["key"]], schema=told, orient="row")
    return pl.concat([keys.drop("key"), values], how="horizontal")


def rows(asked: DispatchResult, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """The rows of a stage. Raises RuntimeError if a competitor could not be asked, or a request failed."""
    found = pl.DataFrame(asked.rows, schema=schema)
    failed = found.filter(pl.col("error").is_not_null())
    if asked.failures or len(failed):
        raise RuntimeError(f"asking failed: {asked.failures or failed['error'][0]}; run it again to go on")
    return found
