"""The audit of simulated judges with known faults, and against counts by hand."""

from collections.abc import Callable, Iterable, Mapping
from itertools import permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.analysis import audit, intervals
from warrior_dagster.stages.battles.opinions.judging import LEFT_FIRST, RIGHT_FIRST
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA

ORDERS = (LEFT_FIRST, RIGHT_FIRST)
Opinion = Callable[[int, str], str]
"""Returns a verdict (left, right, tie or failed) for the number of a battle and the order of the answers."""


def votes(judges: Mapping[str, Opinion], battles: int, orders: Iterable[str] = ORDERS) -> pl.DataFrame:
    rows = []
    for judge, opinion in judges.items():
        for number in range(battles):
            for order in orders:
                result = opinion(number, order)
                status = result if result in ("tie", "failed") else "decided"
                verdict = None if result == "failed" else result
                names = {"left": "ann", "right": "bob", "judge": judge, "order": order, "status": status, "verdict": verdict}
                rows.append({"row_id": f"{number}:{judge}:{order}", "instruction_id": f"{number:02d}", **names})
    return pl.DataFrame([dict.fromkeys(VOTE_SCHEMA) | row for row in rows], schema=VOTE_SCHEMA)


def lengths(battles: int, left: int = 20, right: int = 10) -> pl.DataFrame:
    rows = [
        {"instruction_id": f"{number:02d}", "competitor": name, "length": length}
        for number in range(battles)
        for name, length in (("ann", left), ("bob", right))
    ]
    return pl.DataFrame(rows)


def of(judge: str, judges: Mapping[str, Opinion], battles: int = 40) -> dict[str, Any]:
    return audit.audit(votes(judges, battles), lengths(battles)).row(by_predicate=pl.col("judge") == judge, named=True)


def truthful(number: int, order: str) -> str:
    return "left" if number % 2 else "right"


def contrary(number: int, order: str) -> str:
    return "right" if number % 2 else "left"


def always_first(number: int, order: str) -> str:
    return "left" if order == LEFT_FIRST else "right"


def test_a_judge_with_a_position_bias_is_detected() -> None:
    row = of("biased", {"biased": always_first, "other": truthful})
    assert (row["first"], row["first_of"]) == (1.0, 80)
    assert (row["consistent"], row["consistent_of"]) == (0.0, 40)
    assert row["agrees_of"] == 0  # It prefers no side.
    assert row["agrees"] is None


def test_a_reliable_judge_has_no_faults() -> None:
    row = of("sound", {"sound": truthful, "other": truthful, "third": truthful})
    assert (row["first"], row["consistent"], row["agrees"], row["longer"]) == (0.5, 1.0, 1.0, 0.5)
    assert audit.faults(audit.audit(votes({"sound": truthful, "other": truthful}, 40), lengths(40))) == {}


def test_faults_are_reported_per_judge() -> None:
    judges = {"ann_like": truthful, "bob_like": truthful, "biased": always_first, "contrary": contrary}
    found = audit.faults(audit.audit(votes(judges, 40), lengths(40)))
    assert set(found) == {"biased", "contrary"}
    assert "100% of its votes are for the answer shown first" in found["biased"]
    assert "it agrees with the other judges in only 0% of battles" in found["contrary"]


def test_a_few_votes_are_not_enough_to_report_a_judge() -> None:
    judges = {"one": truthful, "two": truthful, "contrary": contrary}
    assert audit.faults(audit.audit(votes(judges, 2), lengths(2))) == {}


def test_votes_for_the_longer_answer_count_only_if_lengths_differ() -> None:
    judges = {"long": lambda number, order: "left", "tied": lambda number, order: "tie"}
    row = of("long", judges)
    assert (row["longer"], row["longer_of"]) == (1.0, 80)
    same = audit.audit(votes(judges, 5), lengths(5, 7, 7))
    assert same["longer_of"].to_list() == [0, 0]
    assert same["longer"].null_count() == 2


def test_abstentions_and_ties_are_shares_of_all_votes() -> None:
    row = of("odd", {"odd": lambda number, order: ("failed", "tie", "left", "right")[number % 4]})
    assert (row["votes"], row["abstained"], row["tied"], row["first_of"]) == (80, 0.25, 0.25, 40)
    assert row["consistent_of"] == 30


def test_without_votes_the_audit_is_empty() -> None:
    assert audit.audit(votes({}, 0), lengths(1)).is_empty()
    assert audit.krippendorff_alpha(audit.preferences(votes({}, 0))) is None


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_that_of_wilson(counted: tuple[int, int]) -> None:
    hits, n = counted
    row = audit.share(pl.DataFrame({"judge": "j", "hit": [i < hits for i in range(n)]}), "x").row(0, named=True)
    # Wilson's limits are the two values of p from which the observed share is exactly Z standard errors away.
    for limit in (row["x_low"], row["x_high"]):
        assert (hits / n - limit) ** 2 == pytest.approx(intervals.Z**2 * limit * (1 - limit) / n, abs=1e-9)
    assert -1e-9 <= row["x_low"] <= hits / n + 1e-9 <= row["x_high"] + 2e-9 <= 1 + 3e-9


def preferences(values: list[list[float | None]]) -> pl.DataFrame:
    """The preferences of a matrix with one row per judge and one column per battle."""
    rows = [
        {"left": "ann", "right": "bob", "instruction_id": f"{unit:02d}", "judge": f"j{judge}", "preference": value}
        for judge, row in enumerate(values)
        for unit, value in enumerate(row)
        if value is not None
    ]
    schema = dict.fromkeys(("left", "right", "instruction_id", "judge"), pl.String) | {"preference": pl.Float64}
    return pl.DataFrame(rows, schema=schema)


def test_alpha_equals_krippendorffs_example() -> None:
    _ = None
    values: list[list[float | None]] = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
    assert audit.krippendorff_alpha(preferences(values)) == pytest.approx(0.849, abs=5e-4)


@given(st.lists(st.lists(st.sampled_from([None, 0.0, 0.5, 1.0]), min_size=6, max_size=6), min_size=1, max_size=4))
def test_alpha_equals_a_count_of_pairs(values: list[list[float | None]]) -> None:
    units = [[row[unit] for row in values if row[unit] is not None] for unit in range(6)]
    paired = [[v for v in unit if v is not None] for unit in units if len(unit) > 1]
    every = [v for unit in paired for v in unit]
    expected = sum((a - b) ** 2 for a, b in permutations(every, 2))
    found = audit.krippendorff_alpha(preferences(values))
    if expected == 0:
        assert found is None
        return
    observed = sum(sum((a - b) ** 2 for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in paired) / len(every)
    assert found == pytest.approx(1 - observed / (expected / (len(every) * (len(every) - 1))))


def test_guessing_judges_agree_no_more_than_chance() -> None:
    guesses = np.random.default_rng(0).integers(0, 2, (3, 4_000)).astype(float)
    assert audit.krippendorff_alpha(preferences(guesses.tolist())) == pytest.approx(0, abs=0.05)


def test_with_soft_votes_a_judge_that_always_says_the_same_letter_has_a_preference() -> None:
    rows = votes({"ann's friend": always_first, "other": truthful}, 40)
    # Its verdict is always the first answer, but the probability is a little higher for the one it prefers.
    p = pl.when(pl.col("verdict") == "left").then(0.9).otherwise(0.1) + pl.when(
        pl.col("instruction_id").str.to_integer() % 2 == 1
    ).then(0.05).otherwise(-0.05)
    rows = rows.with_columns(
        p_left=pl.when(pl.col("judge") == "other").then((pl.col("verdict") == "left").cast(pl.Float64)).otherwise(p)
    )
    hard, soft = (
        audit.audit(rows, lengths(40), soft=how).filter(judge="ann's friend").row(0, named=True) for how in (False, True)
    )
    assert (hard["agrees_of"], soft["agrees_of"], soft["agrees"]) == (0, 40, 1.0)
