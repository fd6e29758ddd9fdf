"""What tests say of two answers, as votes beside the opinions; and how both kinds become a battle's outcome.

CodeT (arXiv 2207.10397) groups answers by the tests that they pass: a group counts by its answers times its tests, so that an
answer which others agree with, and which many tests agree with, comes first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from warrior_dagster.config.stages import Battles
from warrior_dagster.stages.battles.opinions import judging
from warrior_dagster.stages.battles.unit_tests.execution import PASSED, UNSTABLE

EVIDENCE = "execution"
FAULTY_FROM = 2
"""A test that is unstable on the answers of so many competitors is at fault itself, and is dropped. On one answer it is the
answer that is unstable: it does not pass. Or one answer that rolls dice would veto every test.
"""


@dataclass(slots=True)
class Sheet:
    """What the tests that one writer wrote of one instruction say."""

    completion_key: str | None
    kept: int = 0
    """Tests that were run."""
    reason: str = ""
    """Why there are none."""
    passed: dict[str, frozenset[str]] = field(default_factory=dict)
    """Of each competitor but the writer the deciding tests that its answer passes: those that some of these answers pass and
    some do not. The writer's own answer shares its misunderstandings with its tests: what the two agree on is no evidence.
    """
    answer_keys: dict[str, str] = field(default_factory=dict)
    """Of each competitor that all the tests were run on, the answer."""

    def group(self, competitor: str) -> int:
        """How many answers pass the same deciding tests as this one, itself included."""
        return sum(theirs == self.passed[competitor] for theirs in self.passed.values())


def sheets(tests: pl.DataFrame, results: pl.DataFrame) -> dict[tuple[str, str], Sheet]:
    """The sheet of each instruction and writer, from rows of writing.SCHEMA and results.SCHEMA of everyone."""
    found = {
        (identity, writer): Sheet(key, kept=0, reason=reason)
        for identity, writer, key, reason in tests.sort("row_id", descending=True)
        .select("instruction_id", "writer", "completion_key", "reason")
        .rows()
    }
    kept = tests.filter(status="ok").select("row_id", "test", "instruction_id", "writer")
    for identity, writer, count in kept.group_by("instruction_id", "writer").len().rows():
        found[identity, writer].kept, found[identity, writer].reason = count, ""
    on = ["row_id", "test", "instruction_id", "writer"]
    run = kept.join(results.select(*on, "competitor", "outcome", "answer_key"), on=on)
    others = run.filter(pl.col("competitor") != pl.col("writer")).with_columns(passes=pl.col("outcome") == PASSED)
    faulty = (pl.col("outcome") == UNSTABLE).sum() >= FAULTY_FROM
    decides = pl.col("passes").any() & ~pl.col("passes").all() & ~faulty
    of_answers = (
        others.with_columns(decides=decides.over("row_id"))
        .group_by("instruction_id", "writer", "competitor")
        .agg(pl.len(), pl.col("answer_key").unique(), passed=pl.col("row_id").filter("passes", "decides"))
    )
    for identity, writer, competitor, ran, answer_keys, passed in of_answers.rows():
        sheet = found[identity, writer]
        if ran == sheet.kept and len(answer_keys) == 1:
            sheet.passed[competitor], sheet.answer_keys[competitor] = frozenset(passed), answer_keys[0]
    return found


def vote(
    battled: pl.DataFrame, found: Mapping[tuple[str, str], Sheet], judges: Sequence[str], left: str, right: str
) -> pl.DataFrame:
    """The vote that each judge's tests give on each battle of a matchup; rows of judging.VOTE_SCHEMA.

    `battled` is the frame of judging.pairs. None of the judges is left or right: nobody's tests decide for itself. A vote is
    for one side or a tie: the scores only rank, their ratio is no probability. Its `completion_key` is that of the tests.

    Raises LookupError where a judge was never asked for tests, or where they were not run on the present answers.
    """
    rows = []
    for row in battled.drop_nulls().iter_rows(named=True):
        for judge in judges:
            sheet = found.get((row["instruction_id"], judge))
            if sheet is None:
                raise LookupError(f"generated_tests: {judge} was not asked for some; materialize generated_tests first")
            keys = (row["key_left"], row["key_right"])
            if sheet.kept and (sheet.answer_keys.get(left), sheet.answer_keys.get(right)) != keys:
                raise LookupError(
                    f"execution_results: tests of {judge} were not run on the present answers of {left} and {right};"
                    " materialize execution_results first"
                )
            p_left, told = leaning(sheet, left, right)
            rows.append(vote_row(row, sheet, left, right, judge, p_left, told))
    return pl.DataFrame(rows, schema=judging.VOTE_SCHEMA)


def vote_row(
    battle: dict[str, Any], sheet: Sheet, left: str, right: str, judge: str, p_left: float | None, told: str
) -> dict[str, Any]:
    """One row of judging.VOTE_SCHEMA."""
    verdict = None if p_left is None else {1.0: "left", 0.5: "tie", 0.0: "right"}[p_left]
    return {
        "row_id": f"{battle['instruction_id']}:{judge}:{EVIDENCE}",
        "instruction_id": battle["instruction_id"],
        "left": left,
        "right": right,
        "judge": judge,
        "order": "",
        "evidence": EVIDENCE,
        "status": "failed" if verdict is None else "tie" if verdict == "tie" else "decided",
        "reason": told if verdict is None else "",
        "verdict": verdict,
        "p_left": p_left,
        "p_right": None if p_left is None else 1 - p_left,
        "text": "" if verdict is None else told,
        "completion_key": sheet.completion_key,
        "key_left": battle["key_left"],
        "key_right": battle["key_right"],
    }


def leaning(sheet: Sheet, left: str, right: str) -> tuple[float | None, str]:
    """1, 0.5 or 0 for left and what that rests on, or None and why the tests say nothing."""
    if not sheet.kept:
        return None, sheet.reason if sheet.reason.startswith("not runnable") else f"no tests: {sheet.reason}"
    passed = sheet.passed[left], sheet.passed[right]
    if passed[0] == passed[1]:
        return None, f"{sheet.kept} tests do not tell them apart"
    groups = sheet.group(left), sheet.group(right)
    scores = groups[0] * len(passed[0]), groups[1] * len(passed[1])
    told = [
        f"{name} passes {len(own)}, one of {group} that pass these"
        for name, own, group in zip((left, right), passed, groups, strict=True)
    ]
    deciding = len(frozenset().union(*sheet.passed.values()))
    return (
        0.5 if scores[0] == scores[1] else float(scores[0] > scores[1]),
        f"of {deciding} deciding tests (of {sheet.kept}) " + "; ".join(told),
    )


def outcomes(battled: pl.DataFrame, votes: Iterable[pl.DataFrame], left: str, right: str, settings: Battles) -> pl.DataFrame:
    """The rows of judging.outcomes, from opinions and the votes of tests together, with how much of each there was.

    With `execution` the tests decide alone where any of their votes is none of abstention, else the opinions; with `both` they
    add up, each times its weight. The columns `from_opinion` and `from_execution` are the sums that decided, of both sides.
    """
    weights = weights_of(settings)
    together = pl.concat([judging.masses(frame, settings.votes) for frame in votes])
    if settings.evidence == EVIDENCE:
        of_tests = (pl.col("evidence") == EVIDENCE) & (pl.col("status") != "failed")
        together = together.filter(~of_tests.any().over("instruction_id") | (pl.col("evidence") == EVIDENCE))
    weight = pl.col("evidence").replace_strict(weights, return_dtype=pl.Float64)
    together = together.with_columns(pl.col("p_left", "p_right") * weight)
    amounts = together.group_by("instruction_id").agg(
        (pl.col("p_left") + pl.col("p_right")).filter(pl.col("evidence") == kind).sum().alias(f"from_{kind}")
        for kind in weights
    )
    found = judging.outcomes(battled, together, left, right, "soft")
    return found.join(amounts, on="instruction_id", how="left", maintain_order="left").with_columns(
        pl.col("^from_.*$").fill_null(0.0)
    )


def weights_of(settings: Battles) -> dict[str, float]:
    """What one vote of each kind counts."""
    return settings.weights.model_dump() if settings.evidence == "both" else {"opinion": 1.0, EVIDENCE: 1.0}
