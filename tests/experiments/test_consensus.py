"""CodeT and B4: right answers that agree on tests rank first, whatever the order of answers and tests."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from experiments.selection.consensus import SCORES, b4, codet, integrated, picks

PASSED = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6))


def test_codet_counts_answers_that_agree_times_tests_that_they_pass() -> None:
    passed = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
    assert codet(passed).tolist() == [4, 4, 1, 0]


def test_the_probability_of_events_that_share_an_unknown_one_sums_to_one() -> None:
    of_each = [np.exp(integrated(np.array(events, bool))) for events in np.ndindex(2, 2, 2)]
    assert sum(of_each) == pytest.approx(1)


def test_b4_prefers_two_answers_that_agree_on_many_tests_to_one_that_passes_one() -> None:
    passed = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 1]], bool)
    scores = b4(passed)
    assert scores[0] == scores[1] > scores[2]


@given(PASSED, st.randoms(use_true_random=False))
def test_the_order_of_answers_and_tests_does_not_matter(passed: np.ndarray, random: st.DataObject) -> None:
    answers, tests = (random.sample(range(size), size) for size in passed.shape)  # type: ignore[attr-defined]
    for score in (codet, b4):
        assert score(passed[answers][:, tests]) == pytest.approx(score(passed)[answers])


@given(PASSED)
def test_answers_that_pass_the_same_tests_have_the_same_score(passed: np.ndarray) -> None:
    twice = np.concatenate([passed, passed[:1]])
    for score in (codet, b4):
        assert score(twice)[0] == score(twice)[-1]


def test_ties_go_to_the_lower_rank_and_a_task_without_tests_to_the_first() -> None:
    answers = pl.DataFrame(
        [
            {"instruction_id": task, "competitor": name, "usable": name != "cyd"}
            for task in "xy"
            for name in ("ann", "bob", "cyd")
        ]
    )
    ties = pl.DataFrame(
        [
            {"instruction_id": task, "competitor": name, "rank": place}
            for task in "xy"
            for place, name in enumerate(("bob", "ann", "cyd"), 1)
        ]
    )
    run = pl.DataFrame(
        [
            {"instruction_id": "x", "competitor": name, "test": "assert f(1)", "outcome": outcome}
            for name, outcome in (("ann", "passed"), ("bob", "failed"), ("cyd", "passed"))
        ]
    )
    for picked in picks(answers, run, ties).values():
        assert picked.select("instruction_id", "competitor").sort("instruction_id").rows() == [("x", "ann"), ("y", "bob")]
    assert set(picks(answers, run, ties)) == set(SCORES)
