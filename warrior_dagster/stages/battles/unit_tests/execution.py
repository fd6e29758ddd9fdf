"""All answers against all tests of their instructions, whoever wrote those; what was run before is not run again."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import polars as pl

from warrior_dagster.config.stages import Execution
from warrior_dagster.sandbox.code_extraction import Code, bound_to, code_of
from warrior_dagster.sandbox.isolation import Bounds
from warrior_dagster.sandbox.pool import Limits, Program, Result

SCHEMA = {
    "row_id": pl.String,
    "instruction_id": pl.String,
    "competitor": pl.String,
    "writer": pl.String,
    "test": pl.String,
    "outcome": pl.String,
    "reason": pl.String,
    "bound": pl.String,
    "level": pl.String,
    "answer_key": pl.String,
    "run_key": pl.String,
}
"""A row an answer and test, with the row id of the test. `bound`: the name that was bound to the answer's one function, if one
was. `answer_key`: the completion key of the answer. `run_key`: of what determines the outcome, as far as anything does.
"""
PASSED, TIMEOUT, NOT_RUN, UNSTABLE = "passed", "timeout", "not run", "unstable"
JUDGED_BY = 1
"""Another number has everything run again: raise it when the sandbox judges the same run differently."""
MOST_REASON = 200
ROUNDS = 2

Run = Callable[[Iterable[Program]], Iterator[Result]]
Verdict = tuple[str, str, str]
"""Outcome, reason and level."""


@dataclass(slots=True)
class Spent:
    """What running took."""

    runs: int = 0
    """Answers and tests that were run, each twice."""
    reused: int = 0
    """Those of which an earlier row knew the outcome."""
    seconds: float = 0.0


@dataclass(slots=True)
class Trial:
    """An answer's code and the tests that it has yet to be put to, by run key."""

    code: str
    checks: dict[str, str] = field(default_factory=dict)


def limits(settings: Execution) -> Limits:
    """What the sandbox lets each test of an arena use."""
    return Limits(settings.seconds, Bounds(memory=settings.memory_mib << 20))


def execute(
    answers: pl.DataFrame, tests: pl.DataFrame, before: pl.DataFrame, run: Run, settings: Execution
) -> tuple[pl.DataFrame, Spent]:
    """Run some competitors' usable answers against the kept tests; rows of SCHEMA.

    `answers` and `tests` have rows of answering.SCHEMA and writing.SCHEMA, `before` of SCHEMA. Outcomes at a limit of time are
    not reproducible, so those of `before` stand: rows stay what they are, and only new tests and new answers are run. Each is
    run twice; where the two differ the outcome is `unstable`. Raises IsolationError as `run` does.
    """
    known: dict[str, Verdict] = {run[0]: run[1:] for run in before.select("run_key", "outcome", "reason", "level").rows()}
    rows, trials, queued, spent = list[dict[str, Any]](), list[Trial](), set[str](), Spent()
    by_instruction = tests.filter(status="ok").sort("row_id").partition_by("instruction_id", as_dict=True)
    usable = answers.filter("usable").sort("competitor", "instruction_id")
    for identity, competitor, answer, key in usable.select("instruction_id", "competitor", "answer", "completion_key").rows():
        code = code_of(answer)
        trial = Trial(code.text)
        for test in by_instruction.get((identity,), tests.clear()).iter_rows(named=True):
            row = due(code, test, settings) | {"competitor": competitor, "answer_key": key}
            rows.append(row)
            if code.reason:
                continue
            spent.reused += row["run_key"] in known
            if row["run_key"] not in known and row["run_key"] not in queued:
                trial.checks[row["run_key"]] = row["check"]
                queued.add(row["run_key"])
        if trial.checks:
            trials.append(trial)
    found = run_twice(trials, run, spent)
    for row in rows:
        if row["outcome"] is None:
            row["outcome"], row["reason"], row["level"] = known.get(row["run_key"]) or found[row["run_key"]]
    return pl.DataFrame(rows, schema=SCHEMA), spent


def due(code: Code, test: dict[str, Any], settings: Execution) -> dict[str, Any]:
    """The row of a test and an answer's code, its outcome still to come unless there is nothing to run."""
    check, bound = (test["test"], "") if code.reason else bound_to(code, test["test"])
    determines = [JUDGED_BY, code.text, check, settings.seconds, settings.memory_mib]
    return {
        "row_id": test["row_id"],
        "instruction_id": test["instruction_id"],
        "writer": test["writer"],
        "test": test["test"],
        "outcome": NOT_RUN if code.reason else None,
        "reason": code.reason,
        "bound": bound,
        "level": "",
        "run_key": blake2b(json.dumps(determines).encode(), digest_size=16).hexdigest(),
        "check": check,
    }


def run_twice(trials: list[Trial], run: Run, spent: Spent) -> dict[str, Verdict]:
    """The verdict of each run key."""
    programs = (
        Program(f"{number}:{again}", trial.code, tuple(trial.checks.values()))
        for number, trial in enumerate(trials)
        for again in range(ROUNDS)
    )
    first, found = dict[int, Result](), dict[str, Verdict]()
    for result in run(programs) if trials else ():
        number = int(result.key.split(":")[0])
        spent.seconds += result.seconds
        if number not in first:
            first[number] = result
            continue
        for place, key in enumerate(trials[number].checks):
            found[key] = verdict(first[number], result, place)
        spent.runs += len(trials[number].checks)
    return found


def verdict(one: Result, other: Result, place: int) -> Verdict:
    """What two runs say of one check."""
    a, b = sorted((one.outcomes[place], other.outcomes[place]))  # they come in any order
    told = one if one.outcomes[place] == a else other
    reason = told.error or told.reasons[place]
    return (a, plain(reason), told.level) if a == b else (UNSTABLE, f"{a} and {b}", told.level)


def plain(reason: str) -> str:
    """A reason without addresses of objects, which differ from run to run; short."""
    return re.sub(r"0x[0-9a-fA-F]+", "0x...", reason)[:MOST_REASON]
