"""The results of tests as votes beside the opinions.

CodeT (arXiv 2207.10397) groups answers by the tests that they pass. A group's score is the number of its answers times the
number of its tests, so an answer that agrees with many others and passes many tests ranks first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from warrior_dagster.config.battles import EXECUTION
from warrior_dagster.stages.battles.sandbox_runs import NEEDS_MODULE, UNSTABLE
from warrior_dagster.stages.battles.unit_tests.execution import ABSTAINED, PASSED
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA, decision

FAULTY_FROM = 2
"""A test that is unstable on the answers of this many competitors, or abstains on them, is faulty and is dropped. If it is so
on one answer only, that answer counts as not passing: otherwise one answer could veto every test.
"""


@dataclass(slots=True)
class SuiteReport:
    """The result of the tests that one writer wrote for one instruction."""

    completion_key: str | None
    """That of the tests; of those with the first kept test if they were written several times."""
    kept: int = 0
    """The number of tests that were run."""
    reason: str = ""
    """Why none was run."""
    passed: dict[str, frozenset[str]] = field(default_factory=dict)
    """For each competitor but the writer, whose answer shares its misunderstandings with its tests: the deciding tests that its
    answer passes. A test decides if some of these answers pass it and some do not.
    """
    answer_keys: dict[str, str] = field(default_factory=dict)
    """For each competitor on which all tests were run, the completion key of its answer."""

    cannot_run: dict[str, str] = field(default_factory=dict)
    """For each competitor whose answer cannot be run here, the reason. It neither passes nor fails, so no test counts it."""

    def group(self, competitor: str) -> int:
        """How many answers pass the same deciding tests as this one, itself included."""
        return sum(theirs == self.passed[competitor] for theirs in self.passed.values())


def suite_reports(tests: pl.DataFrame, results: pl.DataFrame) -> dict[tuple[str, str], SuiteReport]:
    """The report of each instruction and writer, from all rows of generation.SCHEMA and execution.SCHEMA."""
    # Of several samples of a suite, the first with a kept test is named: the first in this order is the last to be stored.
    ordered = tests.sort(pl.col("status") == "ok", "row_id", descending=[False, True])
    found = {
        (identity, writer): SuiteReport(key, kept=0, reason=reason)
        for identity, writer, key, reason in ordered.select("instruction_id", "writer", "completion_key", "reason").rows()
    }
    kept = tests.filter(status="ok").select("row_id", "test", "instruction_id", "writer")
    for identity, writer, count in kept.group_by("instruction_id", "writer").len().rows():
        found[identity, writer].kept, found[identity, writer].reason = count, ""
    on = ["row_id", "test", "instruction_id", "writer"]
    run = kept.join(results.select(*on, "competitor", "outcome", "reason", "answer_key"), on=on)
    others = run.filter(pl.col("competitor") != pl.col("writer")).with_columns(
        passes=pl.col("outcome") == PASSED,
        cannot_run=pl.col("reason")
        .filter(pl.col("outcome") == NEEDS_MODULE)
        .first()
        .over("competitor", "instruction_id", "writer"),
    )
    faulty = pl.col("outcome").is_in([UNSTABLE, ABSTAINED]).sum() >= FAULTY_FROM
    runs = pl.col("passes").filter(pl.col("cannot_run").is_null())
    decides = runs.any() & ~runs.all() & ~faulty
    of_answers = (
        others.with_columns(decides=decides.over("row_id"))
        .group_by("instruction_id", "writer", "competitor")
        .agg(
            pl.len(),
            pl.col("answer_key").unique(),
            pl.col("cannot_run").first(),
            passed=pl.col("row_id").filter("passes", "decides"),
        )
    )
    for identity, writer, competitor, ran, answer_keys, cannot_run, passed in of_answers.rows():
        report = found[identity, writer]
        if ran != report.kept or len(answer_keys) != 1:
            continue
        report.answer_keys[competitor] = answer_keys[0]
        if cannot_run is None:
            report.passed[competitor] = frozenset(passed)
        else:
            report.cannot_run[competitor] = cannot_run
    return found


def vote(
    pairs: pl.DataFrame, reports: Mapping[tuple[str, str], SuiteReport], judges: Sequence[str], left: str, right: str
) -> pl.DataFrame:
    """The vote of each judge's tests on each battle of a matchup, from the frame of `pairing.pairs`; rows of VOTE_SCHEMA.

    The judges exclude left and right: no competitor's tests decide its own battle. A vote is for one side or a tie, because the
    scores only rank and their ratio is no probability. Its `completion_key` is that of the tests. Raises LookupError if a judge
    has no rows, or if its tests were not run on the present answers.
    """
    rows = []
    for battle in pairs.drop_nulls().select("instruction_id", "key_left", "key_right").iter_rows(named=True):
        for judge in judges:
            report = reports.get((battle["instruction_id"], judge))
            if report is None:
                raise LookupError(f"generated_tests: {judge} lacks some instructions; materialize generated_tests first")
            keys = (battle["key_left"], battle["key_right"])
            if report.kept and (report.answer_keys.get(left), report.answer_keys.get(right)) != keys:
                raise LookupError(
                    f"execution_results: tests of {judge} were not run on the present answers of {left} and {right};"
                    " materialize execution_results first"
                )
            p_left, text = preference(report, left, right)
            vote = battle | decision(p_left, None if p_left is None else 1 - p_left, text)
            vote |= {"left": left, "right": right, "judge": judge, "order": "", "evidence": EXECUTION}
            vote |= {"text": "" if p_left is None else text, "completion_key": report.completion_key}
            rows.append(vote | {"row_id": f"{battle['instruction_id']}:{judge}:{EXECUTION}"})
    return pl.DataFrame(rows, schema=VOTE_SCHEMA)


def preference(report: SuiteReport, left: str, right: str) -> tuple[float | None, str]:
    """1, 0.5 or 0 for left and the reason, or None and the reason why the tests do not decide."""
    if not report.kept:
        return None, report.reason if report.reason.startswith("not runnable") else f"no tests: {report.reason}"
    if impossible := [f"{name} {report.cannot_run[name]}" for name in (left, right) if name in report.cannot_run]:
        return None, f"not runnable: {'; '.join(impossible)}"
    passed = report.passed[left], report.passed[right]
    if passed[0] == passed[1]:
        return None, f"{report.kept} tests do not tell them apart"
    groups = report.group(left), report.group(right)
    left_score, right_score = groups[0] * len(passed[0]), groups[1] * len(passed[1])
    counts = "; ".join(
        f"{name} passes {len(own)}, one of {group} that pass these"
        for name, own, group in zip((left, right), passed, groups, strict=True)
    )
    deciding = len(frozenset().union(*report.passed.values()))
    text = f"of {deciding} deciding tests (of {report.kept}) {counts}"
    return 0.5 if left_score == right_score else float(left_score > right_score), text
