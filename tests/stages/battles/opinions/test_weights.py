"""What judges' opinions weigh: nothing for a judge that guesses, more the surer it is that a judge is right."""

from collections.abc import Sequence
from math import log
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stages.battles.opinions.test_judging import DIRECT, battled, frame, verdict_with_probability, vote
from warrior_dagster.analysis.exam_scores import with_exam, without_vote
from warrior_dagster.stages.battles.opinions import exam
from warrior_dagster.stages.battles.opinions.judging import LEFT_FIRST, RIGHT_FIRST
from warrior_dagster.stages.battles.opinions.weights import LEAST_REAL, scores, weights
from warrior_dagster.stages.battles.outcomes import outcomes

ORDERS = (exam.BETTER_FIRST, exam.WORSE_FIRST)


def sat(judge: str, preferences: Sequence[tuple[float | None, float | None]], kind: str = exam.BROKEN) -> list[dict[str, Any]]:
    """The rows of a judge that gives the better side these probabilities, in both orders; None cannot be read."""
    return [
        dict.fromkeys(exam.SCHEMA)
        | {"question": f"{kind}{number}", "judge": judge, "kind": kind, "order": order, "p_better": p}
        | {"verdict": None if p is None else "tie" if p == 0.5 else "better" if p > 0.5 else "worse"}
        for number, both in enumerate(preferences)
        for order, p in zip(ORDERS, both, strict=True)
    ]


def exams(*rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame([one for own in rows for one in own], schema=exam.SCHEMA)


def weight(how: str, *rows: list[dict[str, Any]]) -> float:
    return weights(exams(*rows), ["ann"], how)["ann"]


def test_a_judge_that_always_says_a_or_nothing_or_guesses_half_right_has_no_vote() -> None:
    for preferences in ([(0.9, 0.1)] * 36, [(None, None)] * 36, [(1.0, 1.0), (0.0, 0.0)] * 18, []):
        for how in ("hard", "soft"):
            assert weight(how, sat("ann", preferences)) == 0


def test_probabilities_show_what_the_verdicts_of_a_judge_that_always_says_a_do_not() -> None:
    leaning = sat("ann", [(0.9, 0.2)] * 36)
    assert weight("hard", leaning) == 0
    assert weight("soft", leaning) > 2


def test_the_weight_is_the_log_odds_of_the_lower_end_of_the_interval() -> None:
    right = sat("ann", [(1.0, 1.0)] * 36)
    lowest = 36 / (36 + 1.2816**2)
    assert weight("hard", right) == pytest.approx(log(lowest / (1 - lowest)))


def test_enough_real_battles_that_a_judge_fails_take_its_vote_and_fewer_do_not() -> None:
    made = sat("ann", [(1.0, 1.0)] * 30)
    assert weight("hard", made, sat("ann", [(0.0, 0.0)] * LEAST_REAL, exam.REAL)) == 0
    assert weight("hard", made, sat("ann", [(0.0, 0.0)] * (LEAST_REAL - 1), exam.REAL)) > 2


@given(st.integers(1, 60), st.integers(0, 60))
def test_a_weight_is_finite_never_below_zero_and_grows_with_right_answers(number: int, right: int) -> None:
    right = min(right, number)
    of_right = [weight("hard", sat("ann", [(1.0, 1.0)] * r + [(0.0, 0.0)] * (number - r))) for r in (max(right - 1, 0), right)]
    assert 0 <= of_right[0] <= of_right[1] < 10
    assert of_right[1] == 0 or right > number / 2


def test_scores_say_how_much_was_asked_and_how_often_both_orders_agree() -> None:
    rows = exams(sat("ann", [(1.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1.0, None)]), sat("bob", [(1.0, 1.0)], exam.REAL))
    ann, bob = scores(rows, "hard").to_dicts()
    assert (ann["exam"], ann["exam_of"]) == ((1 + 0.5 + 0 + 1) / 4, 4)
    assert (ann["both_orders"], ann["both_orders_of"]) == (pytest.approx(2 / 3), 3)
    assert (ann["real"], ann["real_of"], bob["real"], bob["made_of"]) == (None, 0, 1.0, 0)


def test_opinions_weigh_what_their_judge_scored_and_those_without_weight_do_not_count() -> None:
    votes = frame(
        [
            vote(verdict_with_probability(p), order, DIRECT) | {"judge": judge}
            for judge, p in (("good", 0.9), ("guesser", 0.2))
            for order in (LEFT_FIRST, RIGHT_FIRST)
        ]
    ).with_columns(
        p_left=pl.when(judge="good").then(0.9).otherwise(0.0), p_right=pl.when(judge="good").then(0.1).otherwise(1.0)
    )
    (row,) = outcomes(battled(), votes, "l", "r", "soft", {"good": 2.0, "guesser": 0.0}).to_dicts()
    assert (row["votes_left"], row["votes_right"]) == (pytest.approx(3.6), pytest.approx(0.4))
    assert (row["decided"] + row["tie"] + row["failed"], row["opinions"], row["outcome"]) == (2, 2, 1.0)
    (row,) = outcomes(battled(), votes, "l", "r", "soft", {"good": 0.0, "guesser": 0.0}).to_dicts()
    assert (row["outcome"], row["decided_by"], row["opinions"], row["votes_left"], row["decided"]) == (0.5, "", 0, 0.0, 0)


def test_the_audit_has_the_score_with_its_interval_and_names_a_judge_without_a_vote() -> None:
    rows = exams(sat("ann", [(1.0, 1.0), (0.0, 0.0)] * 18), sat("bob", [(1.0, 1.0)] * 36))
    audited = with_exam(pl.DataFrame({"judge": ["ann", "bob", "cyd"]}), rows, "hard").to_dicts()
    assert audited[0]["exam_low"] < audited[0]["exam"] == 0.5 < audited[0]["exam_high"]
    assert [without_vote(row) for row in audited] == [
        "it may be guessing: 50% of 36 questions of its exam right, so its opinions do not count",
        "",
        "it was asked nothing in its exam, so its opinions do not count",
    ]


def test_the_audit_names_the_questions_that_take_the_vote() -> None:
    made, real = sat("ann", [(1.0, 1.0)] * 24), sat("ann", [(1.0, 1.0), (0.0, 0.0)] * 6, exam.REAL)
    made_worse, real_worse = sat("bob", [(1.0, 1.0), (0.0, 0.0)] * 13), sat("bob", [(1.0, 1.0)] * 10, exam.REAL)
    audited = with_exam(pl.DataFrame({"judge": ["ann", "bob"]}), exams(made, real, made_worse, real_worse), "hard").to_dicts()
    assert [without_vote(row) for row in audited] == [
        "it may be guessing: 50% of 12 real questions of its exam right, so its opinions do not count",
        "it may be guessing: 50% of 26 questions of its exam right, so its opinions do not count",
    ]
