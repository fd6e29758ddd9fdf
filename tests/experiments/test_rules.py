"""The measures of the experiment: pass rates, intervals, and a rule's share of the gap from best competitor to oracle."""

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from experiments.selection.measures import baselines, hits_of, missed, table, verdicts
from experiments.selection.rules import RULES, Rule, picks, scored
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.inference.request import Request
from warrior_dagster.stages.battles import pairing
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

ROSTER = ["ann", "bob", "cyd"]
IDS = ["a", "b", "c", "d"]
TRUTH = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
ANSWERS = pl.DataFrame(
    {
        "instruction_id": identity,
        "competitor": name,
        "answer": "x" * length,
        "usable": (identity, name) != ("a", "cyd"),
        "completion_key": f"{identity}:{name}",
    }
    for identity in IDS
    for name, length in zip(ROSTER, (3, 2, 1), strict=True)
)
RIGHT = pl.DataFrame(
    {"instruction_id": identity, "completion_key": f"{identity}:{name}", "loads": (identity, name) != ("c", "cyd")}
    for identity in IDS
    for name in ROSTER
)


def found() -> dict[str, NDArray[np.float64]]:
    picked = pl.DataFrame({"instruction_id": IDS, "competitor": ["ann", "ann", "bob", "ann"]})
    return {**baselines(TRUTH, ANSWERS, RIGHT, IDS, ROSTER), "clever": hits_of(picked, TRUTH, IDS, ROSTER)}


def test_a_rule_is_right_if_its_picked_answer_is_right() -> None:
    counted = {name: own.tolist() for name, own in found().items()}
    assert counted == {
        "ann": [1, 1, 0, 0],
        "bob": [0, 1, 1, 0],
        "cyd": [0, 1, 0, 0],  # a task without a usable answer counts as wrong
        "random": [0.5, 1, pytest.approx(1 / 3), 0],
        "shortest": [0, 1, 0, 0],
        "shortest that loads": [0, 1, 1, 0],
        "clever": [1, 1, 1, 0],
        "oracle": [1, 1, 1, 0],
    }


def test_the_gap_to_the_oracle_starts_at_the_best_competitor() -> None:
    hits = found()
    rows = {row["rule"]: row for row in table(hits, hits["ann"], hits["oracle"], hits["shortest"]).iter_rows(named=True)}
    assert rows["ann"]["over_best"] == rows["ann"]["best_to_oracle"] == 0
    assert (rows["clever"]["pass_rate"], rows["clever"]["over_best"], rows["clever"]["best_to_oracle"]) == (0.75, 0.25, 1)
    assert rows["clever"]["over_before"] == 0.5
    assert [(rows[name]["won"], rows[name]["lost"]) for name in ("clever", "bob")] == [(1, 0), (1, 1)]
    assert rows["clever"]["best_to_oracle_low"] == 1  # although some resamples have no gap
    for row in rows.values():
        assert row["pass_rate_low"] <= row["pass_rate"] <= row["pass_rate_high"]


def test_without_a_gap_to_the_oracle_its_share_is_null() -> None:
    same = np.ones(4)
    rows = table({"one": same}, same, same, same)
    assert rows["best_to_oracle"].null_count() == len(rows)


def test_missed_right_answers_are_counted_with_and_without_a_test_that_distinguishes_them() -> None:
    picked = pl.DataFrame({"instruction_id": IDS, "competitor": ["cyd", "ann", "ann", "ann"]})
    votes = {m: pl.DataFrame({"instruction_id": ["a", "b"], "p_left": [None, 1.0]}) for m in matchup_keys(ROSTER)}
    assert missed(picked, votes, TRUTH, IDS, ROSTER) == {"missed": 2, "missed_untold": 2}
    votes["ann__bob"] = pl.DataFrame({"instruction_id": ["a", "c"], "p_left": [1.0, 1.0]})
    assert missed(picked, votes, TRUTH, IDS, ROSTER) == {"missed": 2, "missed_untold": 1}


def test_a_judge_is_measured_by_its_mean_over_both_orders_on_battles_of_a_right_and_a_wrong_answer() -> None:
    grades = {"right": [True, False, True, True, False, True]}
    right = pl.DataFrame({"instruction_id": ["a", "a", "b", "b", "c", "c"], "competitor": ["ann", "bob"] * 3, **grades})
    votes = pl.DataFrame(
        {
            "instruction_id": ["a", "a", "b", "c", "c"],
            "left": "ann",
            "right": "bob",
            "judge": ["cyd", "cyd", "cyd", "cyd", "dan"],
            "evidence": "opinion",
            "p_left": [0.9, 0.4, 0.1, 0.5, None],
        }
    )
    cyd, dan = verdicts({"ann__bob": votes}, right).sort("judge").iter_rows(named=True)
    assert (cyd["battles"], cyd["said"], cyd["right_where_said"], cyd["right_in_all"]) == (2, 1, 0.75, 0.75)
    assert (dan["battles"], dan["said"], dan["right_where_said"], dan["right_in_all"]) == (1, 0, None, 0.5)


def test_the_picks_are_the_gold_answers_of_the_graph(finished: tuple[Arena, list[Request]]) -> None:
    arena, _ = finished
    warehouse = Warehouse(arena.warehouse)
    selected, answers = (warehouse.read(table, arena.roster) for table in ("selected_instructions", "answers"))
    pairs = {m: pairing.pairs(selected, answers, *sides(m), "all") for m in matchup_keys(arena.roster)}
    votes = {m: warehouse.read("judge_votes", [m]).select(list(VOTE_SCHEMA)) for m in pairs}
    rule = Rule("opinions, soft", arena.ratings.alpha)
    by_rule = scored(answers, pairs, {"opinion": votes}, arena.roster, arena.battles, arena.ratings, rules=[rule])
    frame = picks(by_rule, answers)[rule.name]
    gold = warehouse.read("answer_scores", [WHOLE]).filter("gold").select("instruction_id", "competitor").rows()
    assert sorted(frame.select("instruction_id", "competitor").rows()) == sorted(gold)


def test_rule_names_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
