import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.config.battles import Battles
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.stages.battles.opinions import judging
from warrior_dagster.stages.battles.opinions.judging import LEFT_FIRST, RIGHT_FIRST
from warrior_dagster.stages.battles.outcomes import outcomes
from warrior_dagster.stages.battles.pairing import pairs
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA, check_votes

REASONED = Battles.model_validate({})
DIRECT = Battles.model_validate({"verdict": "direct", "votes": "soft"})


def vote(completion: Completion, order: str, settings: Battles) -> dict[str, Any]:
    tag = {
        "left": "l",
        "right": "r",
        "instruction_id": "00",
        "judge": "judge",
        "order": order,
        "key_left": "kl",
        "key_right": "kr",
    }
    request: Any = Request(None, "p", "{}", tag=tag)  # type: ignore[arg-type]
    return judging.read(request, completion, settings)


def text_completion(text: str) -> Completion:
    return Completion("k", 0, text, "stop")


def verdict_with_probability(p_a: float) -> Completion:
    logprobs = {"A": math.log(p_a), "B": math.log(1 - p_a)}
    return Completion("k", 0, "A" if p_a >= 0.5 else "B", "stop", logprobs=logprobs)


@pytest.mark.parametrize(
    ("text", "order", "verdict"),
    [
        ("[[A]]", LEFT_FIRST, "left"),
        ("[[A]]", RIGHT_FIRST, "right"),
        ("[[B]]", LEFT_FIRST, "right"),
        ("[[b]]", RIGHT_FIRST, "left"),
        ("[[Tie]]", LEFT_FIRST, "tie"),
        ("[[TIE]]", RIGHT_FIRST, "tie"),
    ],
)
def test_a_letter_is_a_vote_for_the_side_in_that_position(text: str, order: str, verdict: str) -> None:
    row = vote(text_completion(text), order, REASONED)
    assert row["verdict"] == verdict
    assert row["status"] == ("tie" if verdict == "tie" else "decided")
    assert row["evidence"] == "opinion"


@pytest.mark.parametrize(
    "completion", [text_completion("no idea"), Completion("k", 0, error="HTTP 500"), Completion("k", 0, "[[A]]", "length")]
)
def test_a_judge_that_fails_abstains_with_a_reason(completion: Completion) -> None:
    row = vote(completion, LEFT_FIRST, REASONED)
    assert (row["status"], row["verdict"], row["p_left"], row["p_right"]) == ("failed", None, None, None)
    assert row["reason"]


@given(st.floats(0.01, 0.99), st.sampled_from([LEFT_FIRST, RIGHT_FIRST]))
def test_a_direct_verdict_keeps_its_probabilities(p_a: float, order: str) -> None:
    row = vote(verdict_with_probability(p_a), order, DIRECT)
    assert row["p_left"] == pytest.approx(p_a if order == LEFT_FIRST else 1 - p_a)
    assert row["p_left"] + row["p_right"] == pytest.approx(1)


@given(st.floats(0.5, 0.99))
def test_over_both_orders_a_judge_that_always_prefers_the_first_answer_has_no_preference(p_first: float) -> None:
    votes = frame([vote(verdict_with_probability(p_first), order, DIRECT) for order in (LEFT_FIRST, RIGHT_FIRST)])
    for how in ("hard", "soft"):
        (row,) = outcomes(battled(), votes, "l", "r", how).to_dicts()
        assert row["local_left"] == pytest.approx(0.5)
        assert row["outcome"] == 0.5


def battled(*, left: str | None = "x", right: str | None = "y") -> pl.DataFrame:
    columns = {
        "instruction_id": "00", "attacker": "l", "instruction": "i",
        "answer_left": left, "key_left": left and "kl", "answer_right": right, "key_right": right and "kr",
    }  # fmt: skip
    return pl.DataFrame([columns], schema=dict.fromkeys(columns, pl.String))


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    numbered = [row | {"row_id": f"{n:04}"} for n, row in enumerate(rows)]
    return pl.DataFrame(numbered, schema=VOTE_SCHEMA)


verdicts = st.lists(st.sampled_from(["[[A]]", "[[B]]", "[[Tie]]", "mumble"]), max_size=12)


@given(verdicts)
def test_a_tie_is_half_a_hard_vote_for_each_side_and_an_abstention_is_none(texts: list[str]) -> None:
    (row,) = outcomes(
        battled(), frame([vote(text_completion(t), LEFT_FIRST, REASONED) for t in texts]), "l", "r", "hard"
    ).to_dicts()
    left = texts.count("[[A]]") + texts.count("[[Tie]]") / 2
    right = texts.count("[[B]]") + texts.count("[[Tie]]") / 2
    assert (row["votes_left"], row["votes_right"]) == (left, right)
    assert (row["decided"], row["tie"], row["failed"]) == (
        texts.count("[[A]]") + texts.count("[[B]]"), texts.count("[[Tie]]"), texts.count("mumble"),
    )  # fmt: skip
    assert row["local_left"] == pytest.approx(left / (left + right) if left + right else 0.5)
    assert row["outcome"] == (0.5 if left == right else float(left > right))


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.booleans()), min_size=1, max_size=12))
def test_swapping_the_sides_swaps_the_local_scores(preferences: list[tuple[float, bool]]) -> None:
    for how in ("hard", "soft"):
        scores = []
        for swapped in (False, True):
            orders = [RIGHT_FIRST if first != swapped else LEFT_FIRST for _, first in preferences]
            votes = frame(
                [vote(verdict_with_probability(p), order, DIRECT) for (p, _), order in zip(preferences, orders, strict=True)]
            )
            (row,) = outcomes(battled(), votes, "l", "r", how).to_dicts()
            assert 0 <= row["local_left"] <= 1
            scores.append(row)
        assert scores[0]["local_left"] + scores[1]["local_left"] == pytest.approx(1)
        assert scores[0]["outcome"] + scores[1]["outcome"] == 1


def test_a_battle_without_a_decided_vote_is_a_tie() -> None:
    (row,) = outcomes(battled(), frame([]), "l", "r", "hard").to_dicts()
    assert (row["local_left"], row["outcome"], row["decided"]) == (0.5, 0.5, 0)


def test_without_two_answers_there_is_no_battle() -> None:
    (row,) = outcomes(battled(right=None), frame([]), "l", "r", "hard").to_dicts()
    assert (row["local_left"], row["outcome"]) == (None, None)


def test_a_matchup_has_battles_on_all_instructions_or_on_those_of_its_two_sides() -> None:
    selected = pl.DataFrame({"instruction_id": ["1", "2", "3"], "competitor": ["a", "b", "c"], "instruction": ["x", "y", "z"]})
    answers = pl.DataFrame({
        "instruction_id": ["1", "2", "3", "1", "2", "3"],
        "competitor": ["a", "a", "a", "b", "b", "b"],
        "usable": [True, True, True, True, False, False],
        "completion_key": ["k"] * 6,
        "answer": ["a1", "a2", "a3", "b1", "", ""],
    })  # fmt: skip
    everything = pairs(selected, answers, "a", "b", "all")
    assert everything["instruction_id"].to_list() == ["1", "2", "3"]
    assert everything["answer_left"].to_list() == ["a1", "a2", "a3"]
    assert everything["answer_right"].to_list() == ["b1", None, None]
    assert pairs(selected, answers, "a", "b", "attackers")["instruction_id"].to_list() == ["1", "2"]


def test_an_instruction_without_a_row_for_a_competitor_is_an_error_and_not_a_missing_battle() -> None:
    selected = pl.DataFrame({"instruction_id": ["1"], "competitor": ["a"], "instruction": ["x"]})
    answers = pl.DataFrame(
        {"instruction_id": ["1"], "competitor": ["a"], "answer": ["y"], "usable": [True], "completion_key": ["k"]}
    )
    with pytest.raises(LookupError, match="b has no row for 1 selected instructions; materialize answers first"):
        pairs(selected, answers, "a", "b", "all")


def test_votes_on_other_answers_and_missing_votes_are_errors_and_never_ties() -> None:
    votes = frame([vote(verdict_with_probability(0.9), order, DIRECT) for order in (LEFT_FIRST, RIGHT_FIRST)])
    check_votes(battled(), votes, 2, "judge_votes")
    check_votes(battled(right=None), frame([]), 2, "judge_votes")
    for stale in (votes.head(1), frame([]), votes.with_columns(key_left=pl.lit("an older answer"))):
        with pytest.raises(LookupError, match="1 battles lack votes on their present answers"):
            check_votes(battled(), stale, 2, "judge_votes")


def test_alternating_orders_depend_only_on_the_instruction_and_include_both() -> None:
    taken = [judging.orders(f"{n:016x}", "alternate") for n in range(100)]
    assert taken == [judging.orders(f"{n:016x}", "alternate") for n in range(100)]
    assert set(taken) == {(LEFT_FIRST,), (RIGHT_FIRST,)}
    assert judging.orders("00", "both") == (LEFT_FIRST, RIGHT_FIRST)
