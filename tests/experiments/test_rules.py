"""How the experiment counts: pass rates, intervals, and how far a rule gets from the best competitor to the oracle."""

import numpy as np
import polars as pl
import pytest

from experiments.selection.rules import RULES, hits, table, verdicts

ROSTER = ["ann", "bob", "cyd"]
IDS = ["a", "b", "c", "d"]
TRUTH = np.array([[1.0, 0.0, np.nan], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
ANSWERS = pl.DataFrame(
    {"instruction_id": identity, "competitor": name, "answer": "x" * length, "usable": (identity, name) != ("a", "cyd")}
    for identity in IDS
    for name, length in zip(ROSTER, (3, 2, 1), strict=True)
)


def found() -> dict[str, np.ndarray]:
    best_of_each = pl.DataFrame({"instruction_id": IDS, "competitor": ["ann", "ann", "bob", "ann"]})
    return hits(TRUTH, ANSWERS, {"clever": best_of_each}, IDS, ROSTER)


def test_each_rule_is_right_where_the_answer_that_it_picks_is() -> None:
    counted = {name: own.tolist() for name, own in found().items()}
    assert counted == {
        "ann": [1, 1, 0, 0],
        "bob": [0, 1, 1, 0],
        "cyd": [0, 1, 0, 0],  # no usable answer is a wrong one
        "random": [0.5, 1, pytest.approx(1 / 3), 0],
        "shortest": [0, 1, 0, 0],
        "clever": [1, 1, 1, 0],
        "oracle": [1, 1, 1, 0],
    }


def test_the_way_to_the_oracle_starts_at_the_best_competitor() -> None:
    rows = {row["rule"]: row for row in table(found(), TRUTH, ROSTER).iter_rows(named=True)}
    assert rows["ann"]["over_best"] == rows["ann"]["of_the_way"] == 0
    assert (rows["clever"]["pass_rate"], rows["clever"]["over_best"], rows["clever"]["of_the_way"]) == (0.75, 0.25, 1)
    assert rows["clever"]["right_where_they_differ"] == 1
    assert rows["ann"]["differ"] == 2
    for row in rows.values():
        assert row["pass_rate_low"] <= row["pass_rate"] <= row["pass_rate_high"]


def test_votes_count_where_one_answer_is_right_and_the_other_wrong() -> None:
    told = {"right": [True, False, True, True]}
    right = pl.DataFrame({"instruction_id": ["a", "a", "b", "b"], "competitor": ["ann", "bob"] * 2, **told})
    votes = pl.DataFrame(
        {
            "instruction_id": ["a", "a", "a", "b"],
            "left": "ann",
            "right": "bob",
            "judge": "cyd",
            "evidence": "opinion",
            "p_left": [0.9, 0.5, None, 0.1],
        }
    ).with_columns(p_right=1 - pl.col("p_left"))
    (row,) = verdicts({"ann__bob": votes}, right).iter_rows(named=True)
    assert (row["votes"], row["said"], row["right"]) == (3, pytest.approx(2 / 3), 0.75)


def test_no_two_rules_share_a_name() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
