"""Votes of behaviour: who wins, what does not change a vote, abstentions, and answers of one model."""

from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.stages.battles.behaviours import checks, observing, voting
from warrior_dagster.stages.battles.behaviours.agreement import by_model, with_agreement
from warrior_dagster.stages.battles.unit_tests import generation
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA, check_votes

NAMES = ("ann", "bob", "cyd", "dan")
MODELS = {"ann": "coder", "bob": "coder", "cyd": "small", "dan": "other", "eve": "small"}
Returned = Mapping[str, tuple[str | None, ...]]
"""What each competitor's answer returned on every input; None where it returned no plain value."""


def observed(returned: Returned, outcome: str = "raised") -> pl.DataFrame:
    rows = [
        {"row_id": f"00:{n}", "instruction_id": "00", "competitor": name, "input": f"f({n})", "value": value, "reason": "why",
         "outcome": outcome if value is None else "returned", "answer_key": f"of {name}"}
        for name, own in returned.items()
        for n, value in enumerate(own)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=observing.SCHEMA)


def battled(left: str, right: str) -> pl.DataFrame:
    columns = {
        "instruction_id": "00", "attacker": left, "instruction": "i",
        "answer_left": "x", "key_left": f"of {left}", "answer_right": "y", "key_right": f"of {right}",
    }  # fmt: skip
    return pl.DataFrame([columns], schema=dict.fromkeys(columns, pl.String))


def vote(rows: pl.DataFrame, left: str = "ann", right: str = "bob", same_model: float = 0.5) -> dict[str, Any]:
    inputs = voting.inputs_of_each(rows.select("instruction_id", "input").unique())
    found, weights = voting.behaviours(rows), voting.peer_weights(MODELS, left, right, same_model)
    (row,) = voting.vote(battled(left, right), found, inputs, {"00": "not runnable: Go"}, left, right, weights).to_dicts()
    return row


@st.composite
def behaviours(draw: st.DrawFn) -> Returned:
    count = draw(st.integers(1, 4))
    value = st.none() | st.sampled_from(["1", "2"])
    return {name: draw(st.tuples(*[value] * count)) for name in NAMES}


def test_the_answer_that_agrees_more_with_the_others_wins() -> None:
    row = vote(observed({"ann": ("1", "4"), "bob": ("1", "5"), "cyd": ("1", "4"), "dan": ("1", "4")}))
    assert (row["verdict"], row["p_left"], row["evidence"], row["judge"]) == ("left", 1.0, "behaviour", "")
    assert row["text"] == "of 2 inputs: ann agrees with 2 others on 100%, bob agrees with 2 others on 50%"
    assert row["row_id"] == "00:behaviour"


@given(behaviours())
def test_a_vote_is_mirrored_if_the_sides_are_swapped(returned: Returned) -> None:
    one, other = vote(observed(returned)), vote(observed(returned), "bob", "ann")
    assert other["status"] == one["status"]
    assert other["reason"] == one["reason"]
    assert (other["p_left"], other["p_right"]) == (one["p_right"], one["p_left"])


@given(behaviours(), st.fixed_dictionaries({name: st.sampled_from(["coder", "small", "other"]) for name in MODELS}))
def test_two_answers_that_return_the_same_tie_whatever_their_models(returned: Returned, models: dict[str, str]) -> None:
    rows = observed({**returned, "bob": returned["ann"]})
    weights = voting.peer_weights(models, "ann", "bob", 0.5)
    inputs = voting.inputs_of_each(rows.select("instruction_id", "input").unique())
    (row,) = voting.vote(battled("ann", "bob"), voting.behaviours(rows), inputs, {}, "ann", "bob", weights).to_dicts()
    assert row["p_left"] in (0.5, None)
    assert (row["p_left"] is None) == (not any(returned["cyd"]) and not any(returned["dan"]))


def test_a_side_loses_nothing_to_an_answer_of_its_own_model_that_differs() -> None:
    rows = observed({"ann": ("1", "2"), "bob": ("3", "4"), "dan": ("1", "2")})  # ann and bob share a model
    assert vote(rows, "ann", "dan")["verdict"] == "tie"
    assert vote(rows, "dan", "ann")["verdict"] == "tie"


@given(behaviours(), st.permutations(NAMES), st.sampled_from(["raised", "timeout", "not run", "unstable", "needs module"]))
def test_an_answer_that_returns_nothing_moves_no_vote_nor_does_the_order_of_rows(
    returned: Returned, order: list[str], outcome: str
) -> None:
    crashing = observed({"eve": (None,) * len(returned["ann"])}, outcome)
    more = pl.concat([crashing, observed({name: returned[name] for name in order})[::-1]])
    assert vote(more) == vote(observed(returned))


@given(behaviours())
def test_another_answer_like_the_left_one_of_another_model_never_makes_the_vote_worse_for_it(returned: Returned) -> None:
    before, after = vote(observed(returned)), vote(observed({**returned, "eve": returned["ann"]}))
    if before["p_left"] == 1.0:
        assert after["p_left"] == 1.0


def test_answers_of_one_model_count_less_to_each_other() -> None:
    rows = observed({"ann": ("1",), "bob": ("1",), "cyd": ("2",), "dan": ("2",), "eve": ("1",)})
    assert voting.peer_weights(MODELS, "ann", "cyd", 0.5) == {"ann": 0.5, "bob": 0.5, "cyd": 0.5, "dan": 1.0, "eve": 0.5}
    text = "of 1 input: ann agrees with 3 others on {:.0%}, cyd agrees with 3 others on {:.0%}"
    assert vote(rows, "ann", "cyd")["text"] == text.format(1 / 2, 1 / 2)  # bob and eve at one half, dan
    assert vote(rows, "ann", "cyd", same_model=1.0)["text"] == text.format(2 / 3, 1 / 3)
    alike = by_model(rows, MODELS)
    assert alike["agreement_within_models"] == pytest.approx(1 / 2)  # ann and bob agree; cyd and eve do not
    assert alike["agreement_between_models"] == pytest.approx(3 / 8)
    assert (alike["pairs_within_models"], alike["pairs_between_models"]) == (2, 8)
    assert by_model(observed({"ann": ("1",), "bob": (None,)}), MODELS)["agreement_within_models"] is None


@pytest.mark.parametrize(
    ("returned", "outcome", "reason"),
    [
        ({"ann": ("1",), "bob": (None,), "cyd": ("1",)}, "needs module", "not runnable: bob why"),
        ({"ann": ("1",), "bob": ("1",), "cyd": (None,)}, "raised",
         "no peers: no third answer returned a value on any of 1 input"),
        ({"ann": (None,), "bob": (None,), "cyd": (None,)}, "timeout",
         "no peers: no third answer returned a value on any of 1 input"),
        ({}, "", "not runnable: Go"),
    ],
)  # fmt: skip
def test_where_nothing_can_be_compared_there_is_no_vote_with_the_reason(returned: Returned, outcome: str, reason: str) -> None:
    row = vote(observed(returned, outcome))
    assert (row["status"], row["reason"], row["p_left"], row["text"]) == ("failed", reason, None, "")


def test_an_answer_without_a_value_loses_to_one_that_others_agree_with() -> None:
    assert vote(observed({"ann": (None,), "bob": ("1",), "cyd": ("1",)}))["verdict"] == "right"
    assert vote(observed({"ann": ("1",), "bob": ("1",), "cyd": ("1",)}))["verdict"] == "tie"


@pytest.mark.parametrize("changed", ["answer", "inputs", "competitor"])
def test_answers_that_were_not_run_as_they_are_now_are_an_error(changed: str) -> None:
    rows = observed({"ann": ("1", "2"), "bob": ("1", "3"), "cyd": ("1", "1")})
    stale = {
        "answer": rows.with_columns(answer_key=pl.lit("of another")),
        "inputs": rows.filter(pl.col("input") != "f(1)"),
        "competitor": rows.filter(pl.col("competitor") != "bob"),
    }[changed]
    found, weights = voting.behaviours(stale), voting.peer_weights(MODELS, "ann", "bob", 0.5)
    with pytest.raises(LookupError, match="materialize answer_behaviours first"):
        voting.vote(battled("ann", "bob"), found, {"00": frozenset({"f(0)", "f(1)"})}, {}, "ann", "bob", weights)


def test_a_battle_has_one_vote_and_the_agreement_of_its_answers() -> None:
    rows = observed({"ann": ("1", "2"), "bob": ("1", "3"), "cyd": ("1", "1")})
    pairs, row = battled("bob", "ann"), vote(rows, "bob", "ann")
    check_votes(pairs, pl.DataFrame([row], schema=VOTE_SCHEMA), 1, "behaviour_votes")
    battles = pl.DataFrame({"instruction_id": ["00", "01"]})
    assert with_agreement(battles, rows, "bob", "ann")["agreement"].to_list() == [0.5, None]


@pytest.mark.parametrize("outcome", ["not run", "needs module"])
def test_the_agreement_of_an_answer_that_could_not_be_run_is_unknown_and_that_of_one_that_crashes_is_none(outcome: str) -> None:
    battles, returned = pl.DataFrame({"instruction_id": ["00"]}), {"ann": ("1", "2"), "bob": (None, None)}
    assert with_agreement(battles, observed(returned, outcome), "ann", "bob")["agreement"].to_list() == [None]
    assert with_agreement(battles, observed(returned, "raised"), "ann", "bob")["agreement"].to_list() == [0.0]


def test_the_agreement_of_two_answers_that_return_nothing_to_compare_is_unknown() -> None:
    battles = pl.DataFrame({"instruction_id": ["00"]})
    rows = observed({"ann": (None, None), "bob": (None, None), "cyd": ("1", "2")})
    assert with_agreement(battles, rows, "ann", "bob")["agreement"].to_list() == [None]
    assert with_agreement(battles, rows, "bob", "cyd")["agreement"].to_list() == [0.0]


def test_the_reason_without_inputs_is_that_of_all_writers() -> None:
    reasons = [
        ("00", "not runnable: Go"),
        ("00", "not runnable: Go"),
        ("01", "not runnable: Go"),
        ("01", "no test could be read"),
    ]
    rows = [generation.only_row(one, f"writer {n}", "none", reason) for n, (one, reason) in enumerate(reasons)]
    found = voting.reasons_without_inputs(pl.DataFrame(rows, schema=generation.SCHEMA))
    assert found == {"00": "not runnable: Go", "01": voting.NO_INPUTS}


def test_behaviours_that_decide_no_battle_cause_a_warning() -> None:
    returned = {"ann": ("1", "2"), "bob": ("1", "3"), "cyd": ("1", "3")}
    decided = pl.DataFrame([vote(observed(returned))], schema=VOTE_SCHEMA)
    tied = pl.DataFrame([vote(observed(returned | {"ann": ("1", "3")}))], schema=VOTE_SCHEMA)
    check = checks.behaviours_decide({"ann__bob": decided, "ann__cyd": tied.with_columns(right=pl.lit("cyd"))})
    assert check.passed
    assert check.metadata["share_of_battles"].value == 1 / 2
    assert not checks.behaviours_decide({"ann__bob": tied}).passed
