"""Runs all answers against all tests of their instructions, from all writers. Earlier runs are reused."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import polars as pl

from warrior_dagster.config.stages import Execution
from warrior_dagster.sandbox.code_extraction import Code, bind_function, extract_code
from warrior_dagster.sandbox.isolation import ResourceLimits
from warrior_dagster.sandbox.pool import Program, Result

SCHEMA = dict.fromkeys(
    (
        "row_id",
        "instruction_id",
        "competitor",
        "writer",
        "test",
        "outcome",
        "reason",
        "bound",
        "level",
        "answer_key",
        "run_key",
    ),
    pl.String,
)
"""One row per answer and test, with the row id of the test. `bound`: the name that was bound to the answer's one function, if
one was. `answer_key`: the completion key of the answer. `run_key`: a hash of all inputs of the run.
"""
PASSED, TIMEOUT, NOT_RUN, UNSTABLE = "passed", "timeout", "not run", "unstable"
JUDGED_BY = 1
"""The version of the judging, part of each run key: raise it when the sandbox would judge the same run differently."""
MAX_REASON = 200
ROUNDS = 2

Run = Callable[[Iterable[Program]], Iterator[Result]]
Verdict = tuple[str, str, str]
"""Outcome, reason and level."""


@dataclass(slots=True)
class RunCounts:
    """How many runs were needed, and their time."""

    runs: int = 0
    """Pairs of answer and test that were run, each twice."""
    reused: int = 0
    """Pairs whose outcome came from an earlier row."""
    seconds: float = 0.0


@dataclass(slots=True)
class PendingProgram:
    """An answer's code and the tests that have not been run on it yet, by run key."""

    code: str
    checks: dict[str, str] = field(default_factory=dict)


def limits(settings: Execution) -> ResourceLimits:
    """The limits of each test of an arena."""
    return ResourceLimits(settings.seconds, memory=settings.memory_mib << 20)


def execute(
    answers: pl.DataFrame, tests: pl.DataFrame, before: pl.DataFrame, run: Run, settings: Execution
) -> tuple[pl.DataFrame, RunCounts]:
    """Run some competitors' usable answers against the kept tests; rows of SCHEMA.

    `answers` has rows of answering.SCHEMA, `tests` of generation.SCHEMA, `before` of SCHEMA. Timeouts are not reproducible, so
    outcomes in `before` are kept and only new tests and new answers are run. Each pair is run twice; if the runs differ, the
    outcome is `unstable`. Raises IsolationError as `run` does.
    """
    known: dict[str, Verdict] = {run[0]: run[1:] for run in before.select("run_key", "outcome", "reason", "level").rows()}
    rows, pending, queued, counts = list[dict[str, Any]](), list[PendingProgram](), set[str](), RunCounts()
    by_instruction = tests.filter(status="ok").sort("row_id").partition_by("instruction_id", as_dict=True)
    usable = answers.filter("usable").sort("competitor", "instruction_id")
    for identity, competitor, answer, key in usable.select("instruction_id", "competitor", "answer", "completion_key").rows():
        code = extract_code(answer)
        program = PendingProgram(code.text)
        for test in by_instruction.get((identity,), tests.clear()).iter_rows(named=True):
            row = result_row(code, test, settings) | {"competitor": competitor, "answer_key": key}
            rows.append(row)
            if code.reason:
                continue
            if row["run_key"] in known:
                counts.reused += 1
            elif row["run_key"] not in queued:
                program.checks[row["run_key"]] = row["check"]
                queued.add(row["run_key"])
        if program.checks:
            pending.append(program)
    found = run_twice(pending, run, counts)
    for row in rows:
        if row["outcome"] is None:
            row["outcome"], row["reason"], row["level"] = known.get(row["run_key"]) or found[row["run_key"]]
    return pl.DataFrame(rows, schema=SCHEMA), counts


def result_row(code: Code, test: dict[str, Any], settings: Execution) -> dict[str, Any]:
    """The row of a test and an answer's code; `outcome` is None until the test is run."""
    check, bound = (test["test"], "") if code.reason else bind_function(code, test["test"])
    determines = [JUDGED_BY, code.text, check, settings.seconds, settings.memory_mib]
    return {
        **{name: test[name] for name in ("row_id", "instruction_id", "writer", "test")},
        "outcome": NOT_RUN if code.reason else None,
        "reason": code.reason,
        "bound": bound,
        "level": "",
        "run_key": blake2b(json.dumps(determines).encode(), digest_size=16).hexdigest(),
        "check": check,
    }


def run_twice(pending: list[PendingProgram], run: Run, counts: RunCounts) -> dict[str, Verdict]:
    """The verdict of each run key."""
    programs = (
        Program(f"{number}:{again}", program.code, tuple(program.checks.values()))
        for number, program in enumerate(pending)
        for again in range(ROUNDS)
    )
    first, found = dict[int, Result](), dict[str, Verdict]()
    for result in run(programs) if pending else ():
        number = int(result.key.split(":")[0])
        counts.seconds += result.seconds
        if number not in first:
            first[number] = result
            continue
        for place, key in enumerate(pending[number].checks):
            found[key] = verdict(first[number], result, place)
        counts.runs += len(pending[number].checks)
    return found


def verdict(one: Result, other: Result, place: int) -> Verdict:
    """The outcome of two runs of one check."""
    a, b = sorted((one.outcomes[place], other.outcomes[place]))  # they come in any order
    chosen = one if one.outcomes[place] == a else other
    if a != b:
        return UNSTABLE, f"{a} and {b}", chosen.level
    reason = re.sub(r"0x[0-9a-fA-F]+", "0x...", chosen.error or chosen.reasons[place])  # memory addresses differ between runs
    return a, reason[:MAX_REASON], chosen.level
