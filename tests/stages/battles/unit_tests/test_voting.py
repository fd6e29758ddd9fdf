"""Votes of tests: which tests count, abstentions, agreement in groups, and weights beside opinions."""

from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.config.battles import Battles
from warrior_dagster.orchestration.checks import row_rules
from warrior_dagster.stages.battles.outcomes import outcomes, weighted_outcomes
from warrior_dagster.stages.battles.unit_tests import execution, generation, voting
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA, check_votes

OTHERS = ("left", "right", "cyd", "dan", "eve")
Passed = Mapping[str, tuple[bool, ...]]
"""Which of the judge's tests each competitor's answer passes."""


def written(judge: str, count: int, reason: str = "") -> pl.DataFrame:
    of_row: dict[str, Any] = {"completion_key": f"tests of {judge}", "attempts": 1, "error": None}
    rows = [generation.row("00", judge, n, f"assert f({n}) == {n}", "ok", "", **of_row) for n in range(count)]
    return pl.DataFrame(rows or [generation.only_row("00", judge, "none", reason, **of_row)], schema=generation.SCHEMA)


def ran(judge: str, outcomes: Mapping[str, tuple[str, ...]]) -> pl.DataFrame:
    rows = [
        {"row_id": f"00:{judge}:{n:02}", "instruction_id": "00", "competitor": name, "writer": judge,
         "test": f"assert f({n}) == {n}", "outcome": outcome, "reason": f"is {outcome}", "answer_key": f"of {name}"}
        for name, own in outcomes.items()
        for n, outcome in enumerate(own)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=execution.SCHEMA)


def battled(left: str = "left", right: str = "right") -> pl.DataFrame:
    columns = {
        "instruction_id": "00", "attacker": left, "instruction": "i",
        "answer_left": "x", "key_left": f"of {left}", "answer_right": "y", "key_right": f"of {right}",
    }  # fmt: skip
    return pl.DataFrame([columns], schema=dict.fromkeys(columns, pl.String))


def vote_by_outcomes(outcomes: Mapping[str, tuple[str, ...]], left: str = "left", right: str = "right") -> dict[str, Any]:
    """The vote of `judge` by its tests."""
    tests = written("judge", len(outcomes["left"]), "not runnable: the judge said NONE")
    found = voting.suite_reports(tests, ran("judge", outcomes))
    (row,) = voting.vote(battled(left, right), found, ["judge"], left, right).to_dicts()
    return row


def vote_by_passes(passed: Passed, left: str = "left", right: str = "right") -> dict[str, Any]:
    return vote_by_outcomes({n: tuple("passed" if p else "failed" for p in own) for n, own in passed.items()}, left, right)


def test_a_suite_is_traced_to_the_sample_with_its_first_kept_test() -> None:
    of_row: dict[str, Any] = {"attempts": 1, "error": None}
    rows = [
        generation.only_row("00", "judge", "none", "no test could be read", completion_key="first", **of_row),
        generation.row("00", "judge", 0, "assert f(1)", "ok", "", sample=1, completion_key="second", **of_row),
        generation.row("00", "judge", 0, "assert f(2)", "ok", "", sample=2, completion_key="third", **of_row),
    ]
    (report,) = voting.suite_reports(pl.DataFrame(rows, schema=generation.SCHEMA), ran("judge", {})).values()
    assert (report.completion_key, report.kept, report.reason) == ("second", 2, "")


@st.composite
def passes(draw: st.DrawFn, names: tuple[str, ...] = (*OTHERS, "judge")) -> Passed:
    count = draw(st.integers(0, 4))
    return {name: tuple(draw(st.lists(st.booleans(), min_size=count, max_size=count))) for name in names}


@given(passes())
def test_a_vote_is_for_one_side_or_a_tie_and_is_mirrored_if_the_sides_are_swapped(passed: Passed) -> None:
    row, other = vote_by_passes(passed), vote_by_passes(passed, "right", "left")
    if row["status"] == "failed":
        assert (row["p_left"], row["p_right"], row["verdict"]) == (None, None, None)
        assert row["reason"] == other["reason"] != ""
        return
    assert row["p_left"] + row["p_right"] == 1
    assert (row["p_left"], row["p_right"]) == (other["p_right"], other["p_left"])
    assert row["verdict"] == {1.0: "left", 0.5: "tie", 0.0: "right"}[row["p_left"]]
    assert (row["evidence"], row["completion_key"], row["key_left"]) == ("execution", "tests of judge", "of left")


@given(passes(), st.booleans())
def test_a_test_that_all_pass_or_all_fail_does_not_change_the_vote(passed: Passed, outcome: bool) -> None:
    before, after = vote_by_passes(passed), vote_by_passes({name: (*own, outcome) for name, own in passed.items()})
    assert (before["p_left"], before["status"]) == (after["p_left"], after["status"])


@given(passes(), passes())
def test_the_writer_s_own_answer_does_not_change_its_vote(passed: Passed, other: Passed) -> None:
    count = len(passed["left"])
    own = (*other["judge"], *[False] * count)[:count]
    assert vote_by_passes(passed) == vote_by_passes({**passed, "judge": own})


@given(passes())
def test_another_answer_like_the_left_one_never_makes_the_vote_worse_for_it(passed: Passed) -> None:
    before, after = vote_by_passes(passed), vote_by_passes({**passed, "fay": passed["left"]})
    assert (before["status"] == "failed") == (after["status"] == "failed")
    assert (after["p_left"] or 0.0) >= (before["p_left"] or 0.0)


def test_tests_on_which_more_answers_agree_count_more() -> None:
    alone = {"left": (True, True, False), "right": (False, False, True), "cyd": (False,) * 3}
    assert vote_by_passes(alone)["verdict"] == "left"
    agreed = {**alone, "dan": alone["right"], "eve": alone["right"]}
    assert vote_by_passes(agreed)["verdict"] == "right"
    assert vote_by_passes({**alone, "dan": alone["right"]})["verdict"] == "tie"
    assert "right passes 1, one of 3 that pass these" in vote_by_passes(agreed)["text"]


def test_without_tests_that_distinguish_two_answers_the_vote_is_an_abstention_with_a_reason() -> None:
    same = vote_by_passes({"left": (True, False), "right": (True, False), "cyd": (False, True)})
    assert (same["status"], same["reason"]) == ("failed", "2 tests do not tell them apart")
    none = vote_by_passes({"left": (), "right": ()})
    assert (none["status"], none["reason"]) == ("failed", "not runnable: the judge said NONE")


@pytest.mark.parametrize("outcome", ["unstable", "abstained"])
def test_an_outcome_without_a_verdict_is_not_a_pass_and_a_test_that_has_it_twice_is_dropped(outcome: str) -> None:
    once = {"left": (outcome,), "right": ("passed",), "cyd": ("passed",)}
    assert vote_by_outcomes(once)["verdict"] == "right"
    assert vote_by_outcomes({**once, "cyd": (outcome,)})["status"] == "failed"
    assert vote_by_outcomes({**once, "judge": (outcome,)})["verdict"] == "right"


def test_no_competitor_judges_itself_by_its_tests_and_missing_runs_are_an_error() -> None:
    tests = pl.concat([written("judge", 1), written("left", 1)])
    outcomes = {"left": ("passed",), "right": ("failed",)}
    found = voting.suite_reports(tests, pl.concat([ran("judge", outcomes), ran("left", outcomes)]))
    assert voting.vote(battled(), found, ["judge"], "left", "right")["judge"].to_list() == ["judge"]
    with pytest.raises(LookupError, match="materialize generated_tests first"):
        voting.vote(battled(), found, ["cyd"], "left", "right")
    stale = voting.suite_reports(written("judge", 2), ran("judge", outcomes))
    with pytest.raises(LookupError, match="materialize execution_results first"):
        voting.vote(battled(), stale, ["judge"], "left", "right")
    with pytest.raises(LookupError, match="materialize execution_votes first"):
        check_votes(battled(), pl.DataFrame(schema=VOTE_SCHEMA), 1, "execution_votes")


def votes(kind: str, *shares: float | None) -> pl.DataFrame:
    verdicts = [None if p is None else "tie" if p == 0.5 else "left" if p > 0.5 else "right" for p in shares]
    rows = [
        {"row_id": f"00:{kind}:{n}", "instruction_id": "00", "judge": f"{n}", "evidence": kind, "verdict": verdict,
         "status": "failed" if verdict is None else "tie" if verdict == "tie" else "decided",
         "p_left": p, "p_right": None if p is None else 1 - p}
        for n, (p, verdict) in enumerate(zip(shares, verdicts, strict=True))
    ]  # fmt: skip
    return pl.DataFrame([dict.fromkeys(VOTE_SCHEMA) | row for row in rows], schema=VOTE_SCHEMA)


def outcome(opinions: pl.DataFrame, executed: pl.DataFrame, **settings: Any) -> dict[str, Any]:
    battles = Battles.model_validate({"verdict": "direct", "votes": "soft"} | settings)
    (row,) = weighted_outcomes(battled(), [opinions, executed], "left", "right", battles).to_dicts()
    return row


Shares = list[float | None]
shares = st.lists(st.none() | st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]), max_size=5)


@given(shares, shares, st.floats(0.5, 4), st.sampled_from(["hard", "soft"]))
def test_both_kinds_of_votes_are_added_with_their_weights(opinions: Shares, executed: Shares, w: float, how: str) -> None:
    settings = {"evidence": ["opinion", "execution"], "combine": "sum", "weights": {"execution": w}, "votes": how}
    row = outcome(votes("opinion", *opinions), votes("execution", *executed), **settings)

    def mass(ps: Shares) -> list[float]:
        return [p if how == "soft" else (p > 0.5) + 0.5 * (p == 0.5) for p in ps if p is not None]

    left = sum(mass(opinions)) + w * sum(mass(executed))
    assert row["votes_left"] == pytest.approx(left)
    assert row["from_opinion"] == pytest.approx(len(mass(opinions)))
    assert row["from_execution"] == pytest.approx(w * len(mass(executed)))
    assert row["votes_left"] + row["votes_right"] == pytest.approx(row["from_opinion"] + row["from_execution"])


@given(shares, shares, st.sampled_from(["first", "sum"]))
def test_a_battle_of_two_identical_answers_is_a_tie_whatever_the_votes(opinions: Shares, executed: Shares, kind: str) -> None:
    same = battled().with_columns(answer_right="answer_left")
    settings = Battles.model_validate(
        {
            "verdict": "direct",
            "votes": "soft",
            "evidence": ["execution", "opinion"],
            "combine": kind,
            "weights": {"execution": 1},
        }
    )
    given = [votes("opinion", *opinions), votes("execution", *executed)]
    found = weighted_outcomes(same, given, "left", "right", settings)
    assert found.select("local_left", "outcome").rows() == [(0.5, 0.5)]
    counted = found.with_columns(partition=pl.lit("left__right"))
    assert row_rules.shares(counted, dict.fromkeys(("opinion", "execution"), 1.0)) == {}


@given(shares, shares)
def test_the_first_kind_of_evidence_that_prefers_a_side_decides_alone(opinions: Shares, executed: Shares) -> None:
    given = {"opinion": votes("opinion", *opinions), "execution": votes("execution", *executed)}
    alone = {kind: outcomes(battled(), own, "left", "right", "soft").to_dicts()[0] for kind, own in given.items()}
    for order in (["execution", "opinion"], ["opinion", "execution"]):
        row = outcome(*given.values(), evidence=order)
        first = next((kind for kind in order if alone[kind]["outcome"] != 0.5), "")
        assert row["decided_by"] == first
        assert row["outcome"] == (alone[first]["outcome"] if first else 0.5)
        if first:
            (other,) = {*order} - {first}
            assert row[f"from_{other}"] == 0
            assert row["local_left"] == pytest.approx(alone[first]["local_left"])


def test_a_judge_abstains_on_an_answer_that_cannot_be_run_here_and_no_test_counts_it() -> None:
    outcomes = {"left": ("passed", "passed"), "right": ("needs module", "failed"), "cyd": ("passed", "failed")}
    row = vote_by_outcomes(outcomes)
    assert (row["status"], row["p_left"]) == ("failed", None)
    assert row["reason"].startswith("not runnable: right is needs module")
    one, other = (
        vote_by_outcomes(outcomes, "left", "cyd"),
        vote_by_outcomes({**outcomes, "right": ("passed",) * 2}, "left", "cyd"),
    )
    assert "of 1 deciding tests (of 2)" in one["text"]
    assert one["verdict"] == other["verdict"] == "left"
    alone = {"left": ("passed",), "right": ("needs module",), "cyd": ("passed",)}
    assert vote_by_outcomes(alone, "left", "cyd")["reason"] == "1 tests do not tell them apart"
