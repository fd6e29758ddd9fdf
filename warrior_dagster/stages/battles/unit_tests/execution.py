"""Runs all answers against all tests of their instructions, from all writers. Earlier runs are reused.

An answer's program is run as it is. Where it cannot be loaded (an exception, a time limit, an exit, a read of input), its
definitions alone are run, because a demonstration after a right function does not make that function wrong.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import polars as pl

from warrior_dagster.config.battles import Execution
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
one was. `answer_key`: the completion key of the answer. `run_key`: a hash of all inputs of the run. `reason`: why a test did
not pass; where only the answer's definitions were run, it begins with DEFINITIONS_ONLY and why the whole cannot be loaded.
"""
PASSED, TIMEOUT, NOT_RUN, UNSTABLE = "passed", "timeout", "not run", "unstable"
ABSTAINED = "abstained"
"""The outcome of a test that would have to believe an answer's own objects: whether the answer is right is not known."""
NEEDS_MODULE = "needs module"
"""The outcome of code that needs a module that the sandbox does not have: nothing is known about whether it is right."""
DEFINITIONS_ONLY = "definitions only"
NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '_?(\w+)'")
JUDGED_BY = 2
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

    def add(self, other: "RunCounts") -> None:
        """Add the counts of further runs to these."""
        self.runs, self.reused, self.seconds = self.runs + other.runs, self.reused + other.reused, self.seconds + other.seconds


@dataclass(slots=True)
class PendingProgram:
    """A program and the tests that have not been run on it yet, by run key."""

    code: str
    after: dict[str, str] = field(default_factory=dict)
    """Why the answer's whole program could not be loaded, by run key, if this is its definitions alone."""
    checks: dict[str, str] = field(default_factory=dict)


def limits(settings: Execution) -> ResourceLimits:
    """The limits of each test of an arena."""
    return ResourceLimits(settings.seconds, memory=settings.memory_mib << 20, modules=settings.modules)


def execute(
    answers: pl.DataFrame, tests: pl.DataFrame, before: pl.DataFrame, run: Run, settings: Execution
) -> tuple[pl.DataFrame, RunCounts]:
    """Run some competitors' usable answers against the kept tests; rows of SCHEMA.

    `answers` has rows of answering.SCHEMA, `tests` of generation.SCHEMA, `before` of SCHEMA. Timeouts are not reproducible, so
    outcomes in `before` are kept and only new tests and new answers are run. Each pair is run twice; if the runs differ, the
    outcome is `unstable`. Raises IsolationError as `run` does.
    """
    known: dict[str, Verdict] = {run[0]: run[1:] for run in before.select("run_key", "outcome", "reason", "level").rows()}
    rows, counts = list[dict[str, Any]](), RunCounts()
    by_instruction = tests.filter(status="ok").sort("row_id").partition_by("instruction_id", as_dict=True)
    usable = answers.filter("usable").sort("competitor", "instruction_id")
    for identity, competitor, answer, key in usable.select("instruction_id", "competitor", "answer", "completion_key").rows():
        code = extract_code(answer)
        for test in by_instruction.get((identity,), tests.clear()).iter_rows(named=True):
            rows.append(result_row(code, test, settings) | {"competitor": competitor, "answer_key": key})
    waiting = [row for row in rows if row["outcome"] is None]
    counts.reused = sum(settled(row["runs"], known) is not None for row in waiting)
    while pending := pending_programs(waiting, known):
        known |= run_twice(pending, run, counts)
    for row in waiting:
        row["run_key"] = settled(row["runs"], known)
        row["outcome"], row["reason"], row["level"] = without_module(known[row["run_key"]], row["modules"])
    return pl.DataFrame(rows, schema=SCHEMA), counts


def result_row(code: Code, test: dict[str, Any], settings: Execution) -> dict[str, Any]:
    """The row of a test and an answer's code; `outcome` is None until the test is run. `runs` has the program of each run key
    that may give the outcome: the whole program, then its definitions.
    """
    check, bound = (test["test"], "") if code.reason else bind_function(code, test["test"])
    determines = [JUDGED_BY, code.text, check, settings.seconds, settings.memory_mib]
    if settings.modules:
        determines.append(sorted(settings.modules))
    runs = {run_key(determines): code.text}
    if code.definitions:
        runs[run_key([*determines, code.definitions])] = code.definitions
    return {
        **{name: test[name] for name in ("row_id", "instruction_id", "writer", "test")},
        "outcome": NOT_RUN if code.reason else None,
        "reason": code.reason,
        "bound": bound,
        "level": "",
        "run_key": next(iter(runs)),
        "check": check,
        "runs": runs,
        "modules": code.modules,
    }


def run_key(determines: list[Any]) -> str:
    """The hash of all inputs of a run."""
    return blake2b(json.dumps(determines).encode(), digest_size=16).hexdigest()


def settled(runs: Iterable[str], known: Mapping[str, Verdict]) -> str | None:
    """The run key that gives the outcome, of the run keys of an answer and a test; None while another run is needed.

    It is the first whose program could be loaded, or the last. That of the definitions depends on the whole program too, so it
    is only known where that could not be loaded.
    """
    keys = list(runs)
    return next((key for key in keys if key in known and (key == keys[-1] or known[key][0] != NOT_RUN)), None)


def pending_programs(rows: list[dict[str, Any]], known: Mapping[str, Verdict]) -> list[PendingProgram]:
    """The programs to run next, each with the tests that have no outcome on it."""
    found, queued = dict[str, PendingProgram](), set[str]()
    for row in rows:
        if settled(row["runs"], known) is not None:
            continue
        key = next(key for key in row["runs"] if key not in known)
        if key not in queued:
            queued.add(key)
            program = found.setdefault(row["runs"][key], PendingProgram(row["runs"][key]))
            program.checks[key] = row["check"]
            for earlier in known.keys() & row["runs"].keys():
                program.after[key] = known[earlier][1]
    return list(found.values())


def run_twice(pending: list[PendingProgram], run: Run, counts: RunCounts) -> dict[str, Verdict]:
    """The verdict of each run key."""
    programs = (
        Program(f"{number}:{again}", program.code, tuple(program.checks.values()))
        for number, program in enumerate(pending)
        for again in range(ROUNDS)
    )
    first, found = dict[int, Result](), dict[str, Verdict]()
    for result in run(programs):
        number = int(result.key.split(":")[0])
        counts.seconds += result.seconds
        if number not in first:
            first[number] = result
            continue
        for place, key in enumerate(pending[number].checks):
            found[key] = noted(verdict(first[number], result, place), pending[number].after.get(key))
        counts.runs += len(pending[number].checks)
    return found


def verdict(one: Result, other: Result, place: int) -> Verdict:
    """The outcome of two runs of one check."""
    a, b = sorted((one.outcomes[place], other.outcomes[place]), key=lambda o: (o != NOT_RUN, o))  # they come in any order
    chosen = one if one.outcomes[place] == a else other
    if a not in (b, NOT_RUN):  # code that could be loaded only once could not be loaded
        return UNSTABLE, f"{a} and {b}", chosen.level
    reason = re.sub(r"0x[0-9a-fA-F]+", "0x...", chosen.error or chosen.reasons[place])  # memory addresses differ between runs
    return a, reason[:MAX_REASON], chosen.level


def noted(found: Verdict, failure: str | None) -> Verdict:
    """A verdict, with a note in its reason if only definitions were run, after the failure of the whole program."""
    outcome, reason, level = found
    if failure is None or NO_MODULE.match(reason):
        return found
    note = f"{DEFINITIONS_ONLY} ({failure})"[: MAX_REASON // 2]
    return outcome, f"{note}: {reason}"[:MAX_REASON] if reason else note, level


def without_module(found: Verdict, imported: frozenset[str]) -> Verdict:
    """A verdict, as NEEDS_MODULE if the code could not import a module that it names and the standard library does not have."""
    missing = NO_MODULE.match(found[1])
    if found[0] == PASSED or missing is None or missing[1] not in imported:
        return found
    return NEEDS_MODULE, f"needs module {missing[1]}, which the sandbox does not have", found[2]
