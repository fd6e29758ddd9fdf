"""Runs answers on inputs and keeps what they return. Earlier runs are reused."""

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from hashlib import blake2b
from typing import Any

import polars as pl

from warrior_dagster.config.battles import Execution
from warrior_dagster.sandbox.code_extraction import Code, bind_function, extract_code
from warrior_dagster.sandbox.observing import SKIPPED
from warrior_dagster.sandbox.pool import Observation, ObservedProgram
from warrior_dagster.stages.battles import sandbox_runs
from warrior_dagster.stages.battles.behaviours.agreement import RETURNED
from warrior_dagster.stages.battles.sandbox_runs import (
    MAX_REASON,
    NEEDS_MODULE,
    NOT_RUN,
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
        "input",
        "outcome",
        "value",
        "reason",
        "bound",
        "level",
        "answer_key",
        "run_key",
    ),
    pl.String,
)
"""One row per answer and input. `outcome`: `returned` with the text of the plain value as `value`, the same for equal values,
or why there is none: `raised`, with the class of the exception as `reason`; `timeout`; `not plain`; `error`; `unstable`, if two
runs differ; `not run`; `needs module`; `skipped`, after three calls of the answer that timed out. The other columns are those
of test runs.
"""
RAISED = "raised"
OBSERVED_BY = 2
"""The version of the observing, part of each run key: raise it when the sandbox would observe the same run differently."""

Run = Callable[[Iterable[ObservedProgram]], Iterator[Observation]]


def observe(
    answers: pl.DataFrame, inputs: pl.DataFrame, before: pl.DataFrame, run: Run, settings: Execution
) -> tuple[pl.DataFrame, RunCounts]:
    """Run usable answers on all inputs of their instructions, twice; rows of SCHEMA.

    `answers` has instruction_id, competitor, answer, completion_key and usable; `inputs` has rows of inputs.SCHEMA, of which
    equal ones count once, whoever wrote them. What `before`, rows of SCHEMA, knows is not run again. Raises IsolationError as
    `run` does.
    """
    rows = observed_rows(answers, inputs, settings)
    counts = run_missing(rows, known_verdicts(before), run, ObservedProgram, verdict)
    for row in rows:
        if row["outcome"] == RAISED and row["reason"].endswith(ModuleNotFoundError.__name__):
            row.update(without_modules(row["modules"], settings))
    return pl.DataFrame(rows, schema=SCHEMA), counts


def forecast(answers: pl.DataFrame, inputs: pl.DataFrame, before: pl.DataFrame, settings: Execution) -> tuple[int, int, int]:
    """What `observe` would do, as sandbox_runs.forecast counts it."""
    return sandbox_runs.forecast(observed_rows(answers, inputs, settings), known_verdicts(before))


def depends_on(settings: Execution) -> list[Any]:
    """The settings that observations depend on, for the code version."""
    return [settings.inputs, settings.seconds, settings.memory_mib, *sorted(settings.modules)]


def processes(inputs: int, answers: int) -> int:
    """How many processes start for some inputs of some answers: one that loads each answer, and one for each input."""
    return sandbox_runs.ROUNDS * (inputs + answers)


def known_verdicts(before: pl.DataFrame) -> dict[str, Verdict]:
    """The verdicts of earlier rows by run key."""
    columns = before.filter(pl.col("outcome") != SKIPPED).select("run_key", "outcome", "reason", "level", "value")
    return {key: Verdict(*found) for key, *found in columns.rows()}


def observed_rows(answers: pl.DataFrame, inputs: pl.DataFrame, settings: Execution) -> list[dict[str, Any]]:
    """The row of each usable answer and input, in order."""
    rows = list[dict[str, Any]]()
    unique = inputs.select("instruction_id", "input").unique().sort("instruction_id", "input")
    calls = dict(unique.group_by("instruction_id", maintain_order=True).agg("input").rows())
    usable = answers.filter("usable").sort("competitor", "instruction_id")
    for identity, competitor, answer, key in usable.select("instruction_id", "competitor", "answer", "completion_key").rows():
        code = extract_code(answer) if identity in calls else Code()
        of_answer = {"instruction_id": identity, "competitor": competitor, "answer_key": key, "of": (identity, competitor, key)}
        bind = cache(partial(bound_name, code))
        rows += [of_answer | observed_row(code, identity, call, bind, settings) for call in calls.get(identity, [])]
    return rows


def bound_name(code: Code, name: str) -> tuple[str, str]:
    """The name of the answer's function that calls of `name` mean, and the renaming; bound once for all calls of it."""
    if code.reason:
        return name, ""
    call, bound = bind_function(code, f"{name}()")
    return call.removesuffix("()"), bound


def observed_row(
    code: Code, identity: str, call: str, bind: Callable[[str], tuple[str, str]], settings: Execution
) -> dict[str, Any]:
    """The row of an input and an answer's code, as `run_missing` takes it; `bind` is `bound_name` of the code."""
    name, _, arguments = call.partition("(")
    function, bound = bind(name)
    text = f"{function}({arguments}"
    runs = runs_of(code, ["observed", OBSERVED_BY, code.text, text], settings)
    return {
        "row_id": f"{identity}:{blake2b(call.encode(), digest_size=8).hexdigest()}",
        "input": call,
        "outcome": NOT_RUN if code.reason else None,
        "value": None,
        "reason": code.reason,
        "bound": bound,
        "level": "",
        "run_key": next(iter(runs)),
        "text": text,
        "runs": runs,
        "modules": code.modules,
    }


def verdict(one: Observation, other: Observation, place: int) -> Verdict | None:
    """What two runs of one call gave, in any order; None if it was skipped in one of them, and the code could be loaded."""
    results = [(run.outcomes[place], run.error or run.values[place], run.level) for run in (one, other)]
    (outcome, said, level), (second, said_then, _) = sorted(results, key=lambda result: (result[0] != NOT_RUN, result))
    if outcome == NOT_RUN:  # code that could be loaded only once could not be loaded
        return Verdict(NOT_RUN, said[:MAX_REASON], level)
    if SKIPPED in (outcome, second):
        return None
    if outcome != second or (outcome in (RETURNED, RAISED) and said != said_then):
        differ = (outcome, second) if outcome != second else (said[: MAX_REASON // 2], said_then)
        return Verdict(UNSTABLE, " and ".join(differ)[:MAX_REASON], level)
    return Verdict(RETURNED, "", level, said) if outcome == RETURNED else Verdict(outcome, said[:MAX_REASON], level)


def without_modules(imported: Iterable[str], settings: Execution) -> dict[str, str]:
    """The outcome of a call that found no module, if its code imports one that neither Python nor the arena's sandbox has."""
    missing = ", ".join(sorted({*imported} - sys.stdlib_module_names - {*settings.modules}))
    return {"outcome": NEEDS_MODULE, "reason": f"needs module {missing}, which the sandbox does not have"} if missing else {}
