"""The evidence of this experiment: answers, opinions and tests. Requests go through the ledger, so none is sent twice."""

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
from warrior_dagster.stages.battles.sandbox_runs import TIMEOUT, limits
from warrior_dagster.stages.battles.unit_tests import execution, generation, voting
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA

OPINIONS = 1
"""Judges per matchup that give opinions: the first of the roster outside it. Without a GPU, opinions take most of the time."""
HIDDEN_SECONDS = 10.0
LOG = logging.getLogger("selection")


@dataclass(frozen=True)
class Evidence:
    """All evidence about the answers to some `tasks`, which are rows of tasks.tasks. `pairs` has the pairs of each matchup;
    `opinions` and `executed` have its votes, rows of VOTE_SCHEMA.
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
    """Run the arena's stages on the tasks. `before` has rows of execution.SCHEMA, which are not run again.

    Answers and opinions always use the whole instructions. With `stripped`, tests are written from instructions without
    examples. Without `opinions`, no judge gives one.
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
    sandboxed = partial(run_all, limits=limits(arena.execution))
    run, _ = execution.execute(answers, tests, before, sandboxed, arena.execution)
    by_matchup = {m: given.filter(left=sides(m)[0], right=sides(m)[1]) for m in pairs}
    return Evidence(tasks, answers, tests, run, pairs, by_matchup, executed(arena, tests, run, pairs))


def executed(arena: Arena, tests: pl.DataFrame, run: pl.DataFrame, pairs: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The votes of all judges' tests, by matchup."""
    reports = voting.suite_reports(tests, run)
    return {m: voting.vote(pairs[m], reports, arena.judges(*sides(m)), *sides(m)) for m in pairs}


def without_tests(arena: Arena, known: Evidence, row_ids: pl.Series) -> Evidence:
    """The same evidence without the tests of some row ids."""
    dropped = pl.col("row_id").is_in(row_ids.implode())
    tests = known.tests.with_columns(
        status=pl.when(dropped).then(pl.lit("dropped")).otherwise("status"),
        reason=pl.when(dropped).then(pl.lit("left out")).otherwise("reason"),
    )
    return replace(known, tests=tests, executed=executed(arena, tests, known.run, known.pairs))


def grade(answers: pl.DataFrame, tasks: pl.DataFrame) -> pl.DataFrame:
    """Run the hidden tests on unchanged answers. Columns: instruction_id, competitor, `loads` (whether the code loads), `right`
    (whether it passes) and `why` (the reason if not).
    """
    checks = dict(tasks.select("instruction_id", "hidden").iter_rows())
    found, programs = dict[str, tuple[bool, bool, str]](), []
    for identity, competitor, text in answers.select("instruction_id", "competitor", "answer").iter_rows():
        code, key = extract_code(text), f"{identity}:{competitor}"
        found[key] = (False, False, code.reason)
        if not code.reason:
            programs.append(Program(key, code.text, (checks[identity],)))
    for result in run_all(programs, ResourceLimits(HIDDEN_SECONDS)):
        why = result.error or (TIMEOUT if result.outcomes[0] == TIMEOUT else result.reasons[0])
        found[result.key] = (not result.error, result.outcomes[0] == execution.PASSED, why)
    keys = answers.select("instruction_id", "competitor", key=pl.format("{}:{}", "instruction_id", "competitor"))
    columns = {"loads": pl.Boolean, "right": pl.Boolean, "why": pl.String}
    values = pl.DataFrame([found[key] for key in keys["key"]], schema=columns, orient="row")
    return pl.concat([keys.drop("key"), values], how="horizontal")


def rows(dispatched: DispatchResult, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """The rows of a stage. Raises RuntimeError if a competitor or a request failed."""
    found = pl.DataFrame(dispatched.rows, schema=schema)
    failed = found.filter(pl.col("error").is_not_null())
    if dispatched.failures or len(failed):
        raise RuntimeError(f"requests failed: {dispatched.failures or failed['error'][0]}; run again to continue")
    return found
