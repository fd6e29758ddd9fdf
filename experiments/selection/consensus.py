"""Rules that score all answers and tests of a task together, for comparison with votes.

CodeT is arXiv 2207.10397, B4 is arXiv 2409.08692.
"""

from collections.abc import Callable
from math import lgamma

import numpy as np
import polars as pl
from numpy.typing import NDArray

from warrior_dagster.stages.battles.unit_tests.execution import PASSED

Passed = NDArray[np.bool_]
"""Whether each answer passes each test, with shape (answers, tests)."""
WRONG_PASSES_WRONG = (1.0, 10.0)
"""Beta prior of the share of wrong tests that a wrong answer passes: mostly none, because both have to make the same error.
The other three priors are uniform. Chosen before any figure of the experiment existed.
"""


def codet(passed: Passed) -> NDArray[np.float64]:
    """The number of answers that pass exactly the same tests as each answer, times the number of these tests."""
    alike = (passed[:, None, :] == passed[None, :, :]).all(axis=-1).sum(axis=1)
    scores: NDArray[np.float64] = (alike * passed.sum(axis=1)).astype(np.float64)
    return scores


def b4(passed: Passed) -> NDArray[np.float64]:
    """The log posterior, up to a constant, that exactly the answers which pass the same tests as each answer are right, and
    exactly these tests.

    Right answers pass right tests and no others. A wrong answer passes a right test with one unknown probability, a wrong one
    with another; answers and tests are right with unknown probabilities. Each of the four is integrated out under its prior,
    which gives four beta functions.
    """
    scores = np.empty(len(passed))
    for place, right_tests in enumerate(passed):
        right = (passed == right_tests).all(axis=1)
        on_right, on_wrong = passed[~right][:, right_tests], passed[~right][:, ~right_tests]
        scores[place] = (
            integrated(right) + integrated(right_tests) + integrated(on_right) + integrated(on_wrong, WRONG_PASSES_WRONG)
        )
    return scores


def integrated(events: Passed, prior: tuple[float, float] = (1.0, 1.0)) -> float:
    """The log probability of independent yes-or-no events that share one unknown probability with a beta prior."""
    yes = int(events.sum())
    return log_beta(yes + prior[0], events.size - yes + prior[1]) - log_beta(*prior)


def log_beta(a: float, b: float) -> float:
    """The logarithm of the beta function."""
    return lgamma(a) + lgamma(b) - lgamma(a + b)


SCORES: dict[str, Callable[[Passed], NDArray[np.float64]]] = {"CodeT": codet, "B4": b4}


def picks(answers: pl.DataFrame, run: pl.DataFrame, ties: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The answer to each task with the highest score on the tests of all writers, its own included.

    Of equal scores the one with the lowest `rank` in `ties` is picked. `answers` has a row of each competitor and task, `run`
    the outcomes of these answers under all tests.
    """
    usable = answers.filter("usable").select("instruction_id", "competitor").join(ties, on=["instruction_id", "competitor"])
    outcomes = run.group_by("instruction_id", "competitor", "test").agg(passed=(pl.col("outcome") == PASSED).any())
    of_task = {one: own for (one,), own in outcomes.partition_by("instruction_id", as_dict=True).items()}
    scored = [
        own.with_columns(pl.Series(name, score(matrix(own, of_task.get(one))), pl.Float64) for name, score in SCORES.items())
        for (one,), own in usable.partition_by("instruction_id", as_dict=True, maintain_order=True).items()
    ]
    every = pl.concat(scored)
    return {
        name: every.sort(name, "rank", descending=[True, False]).unique("instruction_id", keep="first", maintain_order=True)
        for name in SCORES
    }


def matrix(answers: pl.DataFrame, outcomes: pl.DataFrame | None) -> Passed:
    """Whether each of one task's answers, in their order, passes each test."""
    if outcomes is None:
        return np.zeros((len(answers), 0), bool)
    table = outcomes.pivot("test", index="competitor", values="passed")
    tests = answers.select("competitor").join(table, on="competitor", how="left", maintain_order="left").drop("competitor")
    return tests.fill_null(value=False).to_numpy().astype(bool)
