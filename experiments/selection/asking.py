"""What the arena is asked in this experiment: answers, opinions and tests; through its ledger, so that all is asked once."""

import logging
from dataclasses import dataclass
from functools import partial

import polars as pl

from warrior_dagster.arena import Arena
from warrior_dagster.battles import answering, judging
from warrior_dagster.execution import results, voting, writing
from warrior_dagster.execution.code import code_of
from warrior_dagster.execution.isolation import Bounds
from warrior_dagster.execution.sandbox import Limits, Program, run_all
from warrior_dagster.inference.engine import Engines
from warrior_dagster.inference.roster import Asked
from warrior_dagster.matchups import matchup_keys, sides

OPINIONS = 1
"""Judges a matchup that give opinions, the first of the roster outside it: they cost most of the time without a GPU."""
HIDDEN_SECONDS = 4.0
LOG = logging.getLogger("selection")


@dataclass(frozen=True)
class Evidence:
    """All that is known of the answers to some tasks, but whether they are right."""

    answers: pl.DataFrame
    tests: pl.DataFrame
    run: pl.DataFrame
    pairs: dict[str, pl.DataFrame]
    opinions: dict[str, pl.DataFrame]
    executed: dict[str, pl.DataFrame]


def gather(arena: Arena, engines: Engines, tasks: pl.DataFrame, *, stripped: bool) -> Evidence:
    """The arena's work on the tasks, as its assets do it.

    Answers and opinions always rest on the whole instructions. `stripped`: those who write tests see no examples.
    """
    selected = tasks.select(
        "instruction_id", "instruction", row_id="instruction_id", competitor=pl.lit(arena.roster[0]), language=pl.lit("Python")
    )
    answers = rows(answering.answer(arena, engines, selected, arena.roster, LOG), answering.SCHEMA)
    shown = tasks["stripped"] if stripped else tasks["instruction"]
    tests = rows(writing.write(arena, engines, selected.with_columns(instruction=shown), arena.roster, LOG), writing.SCHEMA)
    pairs = {m: judging.pairs(selected, answers, *sides(m), "all") for m in matchup_keys(arena.roster)}
    few = arena.model_copy(update={"battles": arena.battles.model_copy(update={"judges": OPINIONS})})
    opinions = rows(judging.vote(few, engines, pairs, LOG), judging.VOTE_SCHEMA)
    run = tested(arena, answers, tests)
    sheets = voting.sheets(tests, run)
    return Evidence(
        answers,
        tests,
        run,
        pairs,
        {m: opinions.filter(left=sides(m)[0], right=sides(m)[1]) for m in pairs},
        {m: voting.vote(pairs[m], sheets, arena.judges(*sides(m)), *sides(m)) for m in pairs},
    )


def tested(arena: Arena, answers: pl.DataFrame, tests: pl.DataFrame) -> pl.DataFrame:
    """All answers under all tests; what was run before is not run again."""
    limits = Limits(arena.execution.seconds, Bounds(memory=arena.execution.memory_mib << 20))
    before = pl.DataFrame(schema=results.SCHEMA)
    return results.execute(answers, tests, before, partial(run_all, limits=limits), arena.execution)[0]


def right(answers: pl.DataFrame, tasks: pl.DataFrame) -> pl.DataFrame:
    """Whether each answer passes the hidden tests as it stands: instruction_id, competitor, right, and why not."""
    checks = dict(tasks.select("instruction_id", "hidden").iter_rows())
    found, programs = dict[str, tuple[bool, str]](), []
    for identity, competitor, text in answers.select("instruction_id", "competitor", "answer").iter_rows():
        code, key = code_of(text), f"{identity}:{competitor}"
        found[key] = (False, code.reason)
        if not code.reason:
            programs.append(Program(key, code.text, (checks[identity],)))
    for one in run_all(programs, Limits(HIDDEN_SECONDS)):
        found[one.key] = (one.outcomes[0] == results.PASSED, one.error or one.reasons[0])
    keys = answers.select("instruction_id", "competitor", key=pl.format("{}:{}", "instruction_id", "competitor"))
    values = [found[key] for key in keys["key"]]
    return keys.drop("key").with_columns(
        right=pl.Series([ok for ok, _ in values], dtype=pl.Boolean), why=pl.Series([why for _, why in values], dtype=pl.String)
    )


def rows(asked: Asked, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """The rows of a stage. Raises RuntimeError if a competitor could not be asked, or a request failed."""
    found = pl.DataFrame(asked.rows, schema=schema)
    failed = found.filter(pl.col("error").is_not_null())
    if asked.failures or len(failed):
        raise RuntimeError(f"asking failed: {asked.failures or failed['error'][0]}; run it again to go on")
    return found
