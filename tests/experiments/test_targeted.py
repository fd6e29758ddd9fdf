"""Targeted questions: which values are asked about."""

import polars as pl

from experiments.selection.evidence import Made
from experiments.selection.targeted import questions

NAMES = ("ann", "bob", "cyd")


def made(values: dict[tuple[str, str], str]) -> tuple[Made, pl.DataFrame]:
    """One task; the values that answers returned by competitor and input. Also the answers."""
    tasks = pl.DataFrame({"instruction_id": ["x"], "instruction": ["Add one."]})
    answers = pl.DataFrame({"instruction_id": "x", "competitor": name, "completion_key": name} for name in NAMES)
    observed = pl.DataFrame(
        {"instruction_id": "x", "competitor": name, "answer_key": name, "input": one, "outcome": "returned", "value": value}
        for (name, one), value in values.items()
    )
    return Made(tasks, answers, tasks, tasks, observed), answers


RANKS = pl.DataFrame({"instruction_id": "x", "competitor": name, "rank": place} for place, name in enumerate(NAMES, 1))


def test_the_best_answer_is_compared_with_the_best_one_that_returns_something_else() -> None:
    values = {("ann", "f(1)"): "2", ("bob", "f(1)"): "2", ("cyd", "f(1)"): "2"}
    values |= {("ann", "f(2)"): "3", ("bob", "f(2)"): "3", ("cyd", "f(2)"): "4"}
    own, answers = made(values)
    (row,) = questions(own, answers, RANKS).to_dicts()
    assert row == {
        "instruction_id": "x",
        "instruction": "Add one.",
        "input": "f(2)",
        "first": "ann",
        "value_first": "3",
        "second": "cyd",
        "value_second": "4",
    }


def test_answers_that_return_the_same_are_not_asked_about() -> None:
    own, answers = made({("ann", "f(1)"): "2", ("bob", "f(1)"): "2", ("cyd", "f(1)"): "2"})
    assert questions(own, answers, RANKS).is_empty()
