"""Agreement: what counts as the same behaviour, and what it does not depend on."""

from collections.abc import Mapping

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.stages.battles.behaviours.agreement import agreement, agreements, with_others, with_peers, with_third

NAMES = ("ann", "bob", "cyd", "dan")
Returned = Mapping[str, Mapping[str, str | None]]
"""What each competitor's answer returned, by input; None where it returned no plain value."""
VALUES = st.none() | st.sampled_from(["1", "2", "[]"])
RETURNED = st.integers(1, 5).flatmap(
    lambda count: st.fixed_dictionaries(
        {name: st.fixed_dictionaries({f"f({n})": VALUES for n in range(count)}) for name in NAMES}
    )
)


def observed(returned: Returned, identity: str = "00") -> pl.DataFrame:
    rows = [
        (identity, name, call, "raised" if value is None else "returned", "ValueError" if value is None else value)
        for name, own in returned.items()
        for call, value in own.items()
    ]
    columns = ("instruction_id", "competitor", "input", "outcome", "value")
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def means(frame: pl.DataFrame) -> dict[str, tuple[float | None, int]]:
    return {name: (mean, peers) for _, name, mean, peers in with_others(frame).rows()}


def test_agreement_is_the_share_of_inputs_with_the_same_value() -> None:
    one, other = {"f(1)": "1", "f(2)": "2", "f(3)": None}, {"f(1)": "1", "f(2)": "3", "f(3)": None}
    assert agreement(one, other) == pytest.approx(1 / 3)  # two exceptions are no agreement
    assert agreement(one, {"f(4)": "1"}) == 0.0
    assert agreement({}, {}) is None


@pytest.mark.parametrize("outcome", ["raised", "timeout", "not plain", "not run", "unstable"])
def test_only_returned_values_agree(outcome: str) -> None:
    frame = observed({"ann": {"f(1)": "1"}, "bob": {"f(1)": "1"}})
    assert agreements(frame)["agreement"].to_list() == [1.0, 1.0]
    assert agreements(frame.with_columns(outcome=pl.lit(outcome)))["agreement"].to_list() == [0.0, 0.0]


@given(RETURNED, st.randoms(use_true_random=False))
def test_agreements_are_those_of_every_two_answers_in_any_order(returned: Returned, random) -> None:  # type: ignore[no-untyped-def]
    frame = observed(returned)
    found = agreements(frame)
    assert {(one, other): share for _, one, other, share, _ in found.rows()} == {
        (one, other): agreement(returned[one], returned[other]) for one in NAMES for other in NAMES if one != other
    }
    rows = frame.rows()
    random.shuffle(rows)
    shuffled = pl.DataFrame(rows, schema=frame.schema, orient="row")
    assert agreements(shuffled).equals(found)
    assert with_others(shuffled).equals(with_others(frame))


@given(RETURNED)
def test_agreement_is_symmetric(returned: Returned) -> None:
    shares = {(one, other): share for _, one, other, share, _ in agreements(observed(returned)).rows()}
    assert shares == {(other, one): share for (one, other), share in shares.items()}


@given(RETURNED)
def test_an_answer_that_crashes_on_everything_changes_no_mean(returned: Returned) -> None:
    crashing = {"eve": dict.fromkeys(returned["ann"])}
    before, after = means(observed(returned)), means(observed({**returned, **crashing}))
    assert {name: after[name] for name in NAMES} == before


def test_the_mean_is_null_without_peers() -> None:
    assert means(observed({"ann": {"f(1)": "1"}, "bob": {"f(1)": None}})) == {"ann": (None, 0), "bob": (0.0, 1)}


@given(RETURNED, st.floats(0.1, 1.0))
def test_both_sides_are_compared_with_the_same_third_answers_of_one_weight_each(returned: Returned, weight: float) -> None:
    weights = dict.fromkeys(NAMES, 1.0) | {"cyd": weight}
    third = {name: weights[name] for name in ("cyd", "dan") if any(returned[name].values())}
    expected = [
        sum(own * (agreement(returned[side], returned[name]) or 0.0) for name, own in third.items()) / sum(third.values())
        for side in ("ann", "bob")
        if third
    ]
    rows = with_third(with_peers(observed(returned)), "ann", "bob", weights).rows()
    assert rows == ([("00", *map(pytest.approx, expected), len(third))] if third else [])


def test_inputs_that_only_one_answer_was_run_on_count() -> None:
    frame = observed({"ann": {"f(1)": "1", "f(2)": "1"}, "bob": {"f(1)": "1", "f(3)": "1"}})
    assert agreements(frame).rows() == [("00", "ann", "bob", 1 / 3, 3), ("00", "bob", "ann", 1 / 3, 3)]


def test_instructions_are_apart() -> None:
    frame = pl.concat([observed({"ann": {"f(1)": "1"}}, "00"), observed({"bob": {"f(1)": "1"}}, "01")])
    assert agreements(frame).is_empty()
