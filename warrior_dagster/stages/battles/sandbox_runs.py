"""Runs answers in the sandbox: which of their programs, twice, and what was run before and is not run again.

An answer's program is run as it is. Where it cannot be loaded (an exception, a time limit, an exit, a read of input), its
definitions alone are run, because a demonstration after a right function does not make that function wrong.

An answer that hangs on three calls, in their order, is run on no later one. Which ones these are follows from the answer and
all its calls, not from which of them were run earlier or together: skipped ones are not stored as runs, and where a call that
sorts before them times out later, known ones are skipped from then on.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol, TypeVar

import polars as pl

from warrior_dagster.config.battles import Execution
from warrior_dagster.sandbox.code_extraction import Code
from warrior_dagster.sandbox.isolation import ResourceLimits
from warrior_dagster.sandbox.observing import MAX_TIMEOUTS, SKIPPED
from warrior_dagster.warehouse.tables import Warehouse

NOT_RUN, TIMEOUT, UNSTABLE = "not run", "timeout", "unstable"
NEEDS_MODULE = "needs module"
"""The outcome of code that needs a module that the sandbox does not have: nothing is known about whether it is right."""
TO_RUN: Any = "to run"
"""The isolation level of what a dry run would run."""
DEFINITIONS_ONLY = "definitions only"
NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '_?(\w+)'")
MAX_REASON = 200
ROUNDS = 2


class Ran(Protocol):
    """The result of one run of a program."""

    @property
    def key(self) -> str: ...
    @property
    def seconds(self) -> float: ...


P = TypeVar("P")
R = TypeVar("R", bound=Ran)


class Verdict(NamedTuple):
    """What two runs of one text on one program gave."""

    outcome: str
    reason: str
    level: str
    value: str | None = None
    """What a call returned; None for tests."""


@dataclass(slots=True)
class RunCounts:
    """How many runs were needed, and their time."""

    runs: int = 0
    """Pairs of an answer and a text that were run, each twice."""
    reused: int = 0
    """Pairs whose outcome came from an earlier row."""
    seconds: float = 0.0

    @property
    def metadata(self) -> dict[str, Any]:
        """What the UI shows of them."""
        return {"runs": self.runs, "runs_reused": self.reused, "seconds_running": round(self.seconds, 3)}

    def add(self, other: "RunCounts") -> None:
        """Add the counts of further runs to these."""
        self.runs, self.reused, self.seconds = self.runs + other.runs, self.reused + other.reused, self.seconds + other.seconds


@dataclass(slots=True)
class PendingProgram:
    """A program and the texts, tests or calls, that have not been run on it yet, by run key."""

    code: str
    after: dict[str, str] = field(default_factory=dict)
    """Why the answer's whole program could not be loaded, by run key, if this is its definitions alone."""
    texts: dict[str, str] = field(default_factory=dict)


def limits(settings: Execution) -> ResourceLimits:
    """The limits of each run of an arena."""
    return ResourceLimits(settings.seconds, memory=settings.memory_mib << 20, modules=settings.modules)


def earlier(
    warehouse: Warehouse, table: str, names: list[str], schema: Mapping[str, pl.DataType | type[pl.DataType]]
) -> pl.DataFrame:
    """The rows that earlier runs made, of the partitions that exist; none if the table lacks a column of `schema`."""
    found = warehouse.read_existing(table, names)
    return pl.DataFrame(schema=schema) if found is None or not set(schema) <= set(found.columns) else found


def run_key(determines: list[Any]) -> str:
    """The hash of all inputs of a run."""
    return blake2b(json.dumps(determines).encode(), digest_size=16).hexdigest()


def runs_of(code: Code, determines: list[Any], settings: Execution) -> dict[str, str]:
    """The program of each run key that may give the outcome of a text on an answer: the whole program, then its definitions.

    `determines`: what the outcome depends on besides the code that is run and the arena's limits.
    """
    determines = [*determines, settings.seconds, settings.memory_mib]
    if settings.modules:
        determines.append(sorted(settings.modules))
    runs = {run_key(determines): code.text}
    if code.definitions:
        runs[run_key([*determines, code.definitions])] = code.definitions
    return runs


def run_missing(
    rows: Iterable[dict[str, Any]],
    known: dict[str, Verdict],
    run: Callable[[Iterable[P]], Iterator[R]],
    program: Callable[[str, str, tuple[str, ...]], P],
    verdict: Callable[[R, R, int], Verdict | None],
) -> RunCounts:
    """Run what is not in `known`, the verdicts by run key, and set run_key and the fields of Verdict in each row.

    A row has `outcome`, None where a run decides it, and then `text`, the test or the call; `runs`, as `runs_of` gives them;
    and `modules`, those that the code imports. If it has `of`, the rows with the same one are the calls of one answer, in
    order, and those after MAX_TIMEOUTS timeouts are skipped. `program` makes the program that `run` takes of a key, the code
    and its texts; `verdict` gives that of two results at the place of one text, or None if the sandbox skipped it in one of
    them: it is run again unless it is one of those to be skipped.
    """
    waiting = [row for row in rows if row["outcome"] is None]
    counts = RunCounts(reused=sum(deciding_key(row["runs"], known) is not None for row in waiting))
    while pending := pending_programs(waiting, known):
        programs = (
            program(f"{number}:{again}", one.code, tuple(one.texts.values()))
            for number, one in enumerate(pending)
            for again in range(ROUNDS)
        )
        known |= verdicts(pending, run(programs), verdict, counts)
    for row in needed(waiting, known):
        row["run_key"] = deciding_key(row["runs"], known)
        row.update(without_module(known[row["run_key"]], row["modules"])._asdict())
    for row in waiting:
        if row["outcome"] is None:
            row.update(outcome=SKIPPED, reason=f"{MAX_TIMEOUTS} calls before it timed out")
    return counts


def forecast(rows: Iterable[dict[str, Any]], known: Mapping[str, Verdict]) -> tuple[int, int, int]:
    """What `run_missing` would do: the pairs of an answer and a text that can be run, those of them that are not known, and the
    programs that these are run on. A program that cannot be loaded takes a second run, of its definitions.
    """
    waiting = [row for row in rows if row["outcome"] is None]
    programs = pending_programs(waiting, known)
    return len(waiting), sum(len(one.texts) for one in programs), len(programs)


def needed(rows: Iterable[dict[str, Any]], known: Mapping[str, Verdict]) -> Iterator[dict[str, Any]]:
    """The rows without those that are to be skipped, as far as is known."""
    timeouts = Counter[Any]()
    for row in rows:
        of = row.get("of")
        if timeouts[of] >= MAX_TIMEOUTS:
            continue
        yield row
        key = deciding_key(row["runs"], known)
        timeouts[of] += of is not None and key is not None and known[key].outcome == TIMEOUT


def deciding_key(runs: Iterable[str], known: Mapping[str, Verdict]) -> str | None:
    """The run key that gives the outcome, of the run keys of an answer and a text; None while another run is needed.

    It is the first whose program could be loaded, or the last. That of the definitions depends on the whole program too, so it
    is only known where that could not be loaded.
    """
    keys = list(runs)
    return next((key for key in keys if key in known and (key == keys[-1] or known[key].outcome != NOT_RUN)), None)


def pending_programs(rows: Iterable[dict[str, Any]], known: Mapping[str, Verdict]) -> list[PendingProgram]:
    """The programs to run next, each with the texts that have no outcome on it."""
    found, queued = dict[str, PendingProgram](), set[str]()
    for row in needed(rows, known):
        if deciding_key(row["runs"], known) is not None:
            continue
        key = next(key for key in row["runs"] if key not in known)
        if key not in queued:
            queued.add(key)
            program = found.setdefault(row["runs"][key], PendingProgram(row["runs"][key]))
            program.texts[key] = row["text"]
            for earlier in known.keys() & row["runs"].keys():
                program.after[key] = known[earlier].reason
    return list(found.values())


def verdicts(
    pending: list[PendingProgram], results: Iterable[R], verdict: Callable[[R, R, int], Verdict | None], counts: RunCounts
) -> dict[str, Verdict]:
    """The verdict of each run key that has one, from the results of both runs of each program in any order."""
    first, found = dict[int, R](), dict[str, Verdict]()
    for result in results:
        number = int(result.key.split(":")[0])
        counts.seconds += result.seconds
        if number not in first:
            first[number] = result
            continue
        for place, key in enumerate(pending[number].texts):
            if given := verdict(first[number], result, place):
                found[key] = noted(given, pending[number].after.get(key))
                counts.runs += 1
    return found


def noted(found: Verdict, failure: str | None) -> Verdict:
    """A verdict, with a note in its reason if only definitions were run, after the failure of the whole program."""
    if failure is None or NO_MODULE.match(found.reason):
        return found
    note = f"{DEFINITIONS_ONLY} ({failure})"[: MAX_REASON // 2]
    return found._replace(reason=f"{note}: {found.reason}"[:MAX_REASON] if found.reason else note)


def without_module(found: Verdict, imported: frozenset[str]) -> Verdict:
    """A verdict, as NEEDS_MODULE if the code could not import a module that it names and the standard library does not have."""
    missing = NO_MODULE.match(found.reason)
    if missing is None or missing[1] not in imported:
        return found
    return Verdict(NEEDS_MODULE, f"needs module {missing[1]}, which the sandbox does not have", found.level)
