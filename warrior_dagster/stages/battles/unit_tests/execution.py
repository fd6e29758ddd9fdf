"""Runs all answers against all tests of their instructions, from all writers. Earlier runs are reused."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import polars as pl

from warrior_dagster.config.battles import Execution
from warrior_dagster.sandbox.code_extraction import Code, bind_function, extract_code
from warrior_dagster.sandbox.host import Outcome
from warrior_dagster.sandbox.pool import Program, Result
from warrior_dagster.stages.battles import sandbox_runs
from warrior_dagster.stages.battles.sandbox_runs import (
    MAX_REASON,
    NOT_RUN,
    TO_RUN,
    UNSTABLE,
    RunCounts,
    Verdict,
    run_missing,
    runs_of,
)

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
one was. `answer_key`: the completion key of the answer. `run_key`: a hash of all inputs of the run. `reason`: why a test did
not pass; where only the answer's definitions were run, it begins with DEFINITIONS_ONLY and why the whole cannot be loaded.
"""
PASSED, ABSTAINED = "passed", "abstained"
"""The outcome of a test that holds, and of one that would have to believe an answer's own objects, so that nothing is known."""
JUDGED_BY = 2
"""The version of the judging, part of each run key: raise it when the sandbox would judge the same run differently."""

Run = Callable[[Iterable[Program]], Iterator[Result]]


def execute(
    answers: pl.DataFrame, tests: pl.DataFrame, before: pl.DataFrame, run: Run, settings: Execution
) -> tuple[pl.DataFrame, RunCounts]:
    """Run some competitors' usable answers against the kept tests; rows of SCHEMA.

    `answers` has rows of answering.SCHEMA, `tests` of generation.SCHEMA, `before` of SCHEMA. Timeouts are not reproducible, so
    outcomes in `before` are kept and only new tests and new answers are run. Each pair is run twice; if the runs differ, the
    outcome is `unstable`. Raises IsolationError as `run` does.
    """
    rows = result_rows(answers, tests, settings)
    counts = run_missing(rows, known_verdicts(before), run, Program, verdict)
    return pl.DataFrame(rows, schema=SCHEMA), counts


def forecast(answers: pl.DataFrame, tests: pl.DataFrame, before: pl.DataFrame, settings: Execution) -> tuple[int, int, int]:
    """What `execute` would do, as sandbox_runs.forecast counts it."""
    return sandbox_runs.forecast(result_rows(answers, tests, settings), known_verdicts(before))


def dry_run(programs: Iterable[Program]) -> Iterator[Result]:
    """Runs nothing, and marks what would be run by its level."""
    for one in programs:
        outcomes: list[Outcome] = ["not run" for _ in one.checks]
        yield Result(one.key, tuple(outcomes), ("",) * len(outcomes), "", 0.0, TO_RUN)


def known_verdicts(before: pl.DataFrame) -> dict[str, Verdict]:
    """The verdicts of earlier rows by run key."""
    return {key: Verdict(*found) for key, *found in before.select("run_key", "outcome", "reason", "level").rows()}


def result_rows(answers: pl.DataFrame, tests: pl.DataFrame, settings: Execution) -> list[dict[str, Any]]:
    """The row of each usable answer and kept test, in order."""
    rows = list[dict[str, Any]]()
    by_instruction = tests.filter(status="ok").sort("row_id").partition_by("instruction_id", as_dict=True)
    usable = answers.filter("usable").sort("competitor", "instruction_id")
    for identity, competitor, answer, key in usable.select("instruction_id", "competitor", "answer", "completion_key").rows():
        code = extract_code(answer)
        for test in by_instruction.get((identity,), tests.clear()).iter_rows(named=True):
            rows.append(result_row(code, test, settings) | {"competitor": competitor, "answer_key": key})
    return rows


def result_row(code: Code, test: dict[str, Any], settings: Execution) -> dict[str, Any]:
    """The row of a test and an answer's code, as `run_missing` takes it."""
    check, bound = (test["test"], "") if code.reason else bind_function(code, test["test"])
    runs = runs_of(code, [JUDGED_BY, code.text, check], settings)
    return {
        **{name: test[name] for name in ("row_id", "instruction_id", "writer", "test")},
        "outcome": NOT_RUN if code.reason else None,
        "reason": code.reason,
        "bound": bound,
        "level": "",
        "run_key": next(iter(runs)),
        "text": check,
        "runs": runs,
        "modules": code.modules,
    }


def verdict(one: Result, other: Result, place: int) -> Verdict:
    """The outcome of two runs of one check."""
    a, b = sorted((one.outcomes[place], other.outcomes[place]), key=lambda o: (o != NOT_RUN, o))  # they come in any order
    chosen = one if one.outcomes[place] == a else other
    if a not in (b, NOT_RUN):  # code that could be loaded only once could not be loaded
        return Verdict(UNSTABLE, f"{a} and {b}", chosen.level)
    reason = re.sub(r"0x[0-9a-fA-F]+", "0x...", chosen.error or chosen.reasons[place])  # memory addresses differ between runs
    return Verdict(a, reason[:MAX_REASON], chosen.level)
