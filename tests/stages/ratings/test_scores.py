"""The final scores against METHOD's formula, and their invariants."""

from collections.abc import Callable
from itertools import combinations
from math import sqrt
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from warrior_dagster.stages.ratings.elo import expected
from warrior_dagster.stages.ratings.scores import final_scores

some = settings(max_examples=50)

ROSTER = ["wolf", "ant", "bear", "lynx"]  # Not in alphabetical order, so that the two orders differ.
RATINGS = {"wolf": 1000.0, "ant": 1100.0, "bear": 900.0, "lynx": 1005.0}
OUTCOMES = {"instruction_id": pl.String, "left": pl.String, "right": pl.String, "local_left": pl.Float64}
ANSWERS = {
    **{"instruction_id": pl.String, "competitor": pl.String, "usable": pl.Boolean},
    **{"answer": pl.String, "completion_key": pl.String},
}


@st.composite
def arenas(draw: st.DrawFn) -> dict[str, Any]:
    """Instructions with answers, not all usable, and outcomes of some pairs, with either competitor as left."""
    answers, outcomes = [], []
    for instruction in draw(st.lists(st.sampled_from("cabd"), unique=True, max_size=3)):
        for name in draw(st.lists(st.sampled_from(ROSTER), unique=True)):
            text, key = draw(st.text("ab", min_size=1, max_size=2)), draw(st.text("01", max_size=2)) + name
            answers.append((instruction, name, draw(st.booleans()) or draw(st.booleans()), text, key))
        for pair in draw(st.lists(st.sampled_from(list(combinations(ROSTER, 2))), unique=True)):
            left, right = draw(st.permutations(pair))
            outcomes.append((instruction, left, right, draw(st.integers(0, 6)) / 6))
    return {
        "outcomes": pl.DataFrame(outcomes, schema=OUTCOMES, orient="row"),
        "answers": pl.DataFrame(answers, schema=ANSWERS, orient="row"),
        "ratings": {name: float(draw(st.integers(700, 1300))) for name in ROSTER},
    }


def naive_scores(arena: dict[str, Any], alpha: float) -> list[dict[str, Any]]:
    """METHOD section 5 in a loop over the answers."""
    votes = {}
    for instruction, left, right, x in arena["outcomes"].rows():
        votes[instruction, left, right], votes[instruction, right, left] = x, 1 - x
    rows = []
    usable = [row for row in arena["answers"].rows() if row[2]]
    for instruction in sorted({row[0] for row in usable}):
        group = sorted((row for row in usable if row[0] == instruction), key=lambda row: ROSTER.index(row[1]))
        parts = {}
        for _, name, *_ in group:
            others = [row[1] for row in group if row[1] != name]
            elo_part = sum(expected(arena["ratings"][name], arena["ratings"][b]) for b in others)
            local_part = sum(
                votes.get((instruction, name, b), expected(arena["ratings"][name], arena["ratings"][b])) for b in others
            )
            parts[name] = elo_part, local_part
        scored = []
        for _, name, _, text, key in group:
            copies = [parts[row[1]] for row in group if row[3] == text]
            elo_part, local_part = (sum(values) / len(copies) for values in zip(*copies, strict=True))
            score = round(alpha * elo_part + (1 - alpha) * local_part, 9)
            place = (-round(elo_part, 9), len(text), key)
            scored.append((name, score, elo_part, local_part, place, len(group) - 1))
        mean = sum(row[1] for row in scored) / len(scored)
        std = sqrt(sum((row[1] - mean) ** 2 for row in scored) / len(scored))
        order = sorted(scored, key=lambda row: (-row[1], row[4]))
        rows += [
            {
                "instruction_id": instruction,
                "competitor": row[0],
                "score": row[1],
                "elo_part": row[2],
                "local_part": row[3],
                "rank": 1 + order.index(row),
                "gold": row is order[0],
                "advantage": (row[1] - mean) / std if std > 1e-12 else 0.0,
                "opponents": row[5],
            }
            for row in scored
        ]
    return rows


def scores_of(arena: dict[str, Any], alpha: float) -> pl.DataFrame:
    return final_scores(arena["outcomes"], arena["ratings"], arena["answers"], ROSTER, alpha=alpha)


@some
@given(arenas(), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_scores_equal_the_formula_of_the_method(arena: dict[str, Any], alpha: float) -> None:
    scores, naive = scores_of(arena, alpha), naive_scores(arena, alpha)
    assert len(scores) == len(naive)
    for row, twin in zip(scores.rows(named=True), naive, strict=True):
        assert list(row) == list(twin)
        assert row == pytest.approx(twin, abs=1e-6)


@some
@given(arenas(), st.floats(0.0, 1.0))
def test_the_scores_of_a_group_add_up_to_its_number_of_pairs(arena: dict[str, Any], alpha: float) -> None:
    scores = scores_of(arena, alpha)
    for (_,), group in scores.group_by("instruction_id"):
        n = len(group)
        for part in ("score", "elo_part", "local_part"):
            assert group[part].sum() == pytest.approx(n * (n - 1) / 2, abs=1e-8)
            assert group[part].is_between(-1e-12, n - 1 + 1e-12).all()
        assert group["opponents"].to_list() == [n - 1] * n


@some
@given(arenas(), st.floats(0.0, 1.0))
def test_every_instruction_with_a_usable_answer_has_one_gold_answer_with_the_highest_score(
    arena: dict[str, Any], alpha: float
) -> None:
    scores = scores_of(arena, alpha)
    assert set(scores["instruction_id"]) == set(arena["answers"].filter("usable")["instruction_id"])
    for (_,), group in scores.group_by("instruction_id"):
        assert sorted(group["rank"]) == list(range(1, len(group) + 1))
        assert group.filter("gold")["rank"].to_list() == [1]
        assert group.filter("gold")["score"].item() == group["score"].max()
        assert group.sort("rank")["score"].is_sorted(descending=True)


@some
@given(arenas(), st.floats(0.0, 1.0))
def test_advantages_have_mean_zero_and_deviation_one_or_are_all_zero(arena: dict[str, Any], alpha: float) -> None:
    for (_,), group in scores_of(arena, alpha).group_by("instruction_id"):
        if group["score"].n_unique() == 1:
            assert group["advantage"].to_list() == [0.0] * len(group)
        elif max(group["score"].to_list()) - min(group["score"].to_list()) > 1e-3:
            assert group["advantage"].mean() == pytest.approx(0.0, abs=1e-5)
            assert group["advantage"].std(ddof=0) == pytest.approx(1.0, abs=1e-5)


@some
@given(arenas())
def test_with_alpha_one_only_the_ratings_count(arena: dict[str, Any]) -> None:
    arena["answers"] = arena["answers"].with_columns(pl.col("answer") + pl.col("competitor"))  # no two are the same text
    for (_,), group in scores_of(arena, 1.0).group_by("instruction_id", maintain_order=True):
        rated = [arena["ratings"][name] for name in group.sort("rank")["competitor"]]
        assert rated == sorted(rated, reverse=True)
        assert group["score"].to_list() == pytest.approx(group["elo_part"].to_list(), abs=1e-9)


@some
@given(arenas(), st.integers(700, 1300))
def test_with_alpha_zero_only_the_votes_count(arena: dict[str, Any], rating: int) -> None:
    met = set(arena["outcomes"].select("instruction_id", "left", "right").rows())
    ids = [i for i in arena["answers"]["instruction_id"].unique() if sum(row[0] == i for row in met) == 6]
    arena["answers"] = arena["answers"].filter(pl.col("instruction_id").is_in(ids))
    other = arena | {"ratings": {**arena["ratings"], "ant": float(rating)}}
    of_votes = ["instruction_id", "competitor", "score", "local_part", "advantage"]
    before, after = scores_of(arena, 0.0), scores_of(other, 0.0)
    assert before.select(of_votes).equals(after.select(of_votes))
    alone = ~pl.struct("instruction_id", "score").is_duplicated()  # ratings break ties
    assert before.filter(alone).select("rank", "gold").equals(after.filter(alone).select("rank", "gold"))


@some
@given(arenas(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_rows_changes_no_bit(arena: dict[str, Any], random: Random) -> None:
    shuffled = {
        name: table[random.sample(range(len(table)), len(table))] if isinstance(table, pl.DataFrame) else table
        for name, table in arena.items()
    }
    assert scores_of(shuffled, 0.7).equals(scores_of(arena, 0.7))


def answers(*rows: tuple[str, str, bool, int]) -> pl.DataFrame:
    """Answers of a given length; no two are the same text."""
    texts = [(one, name, usable, name[0] * length, f"key of {name}") for one, name, usable, length in rows]
    return pl.DataFrame(texts, schema=ANSWERS, orient="row")


def outcomes(*rows: tuple[str, str, str, float | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=OUTCOMES, orient="row")


@pytest.mark.parametrize(("gap", "gold"), [(158.0, "wolf"), (160.0, "ant")])
def test_a_rating_gap_above_159_points_outweighs_a_unanimous_vote(gap: float, gold: str) -> None:
    two = answers(("i", "wolf", True, 9), ("i", "ant", True, 9))
    won = outcomes(("i", "wolf", "ant", 1.0))
    scores = final_scores(won, RATINGS | {"wolf": 1000.0, "ant": 1000.0 + gap}, two, ROSTER, alpha=0.7)
    assert scores.filter("gold")["competitor"].to_list() == [gold]


def test_equal_scores_are_ranked_by_rating_before_length() -> None:
    three = answers(("i", "bear", True, 5), ("i", "ant", True, 7), ("i", "wolf", True, 6))
    votes = outcomes(*(("i", *pair, 0.5) for pair in combinations(("wolf", "ant", "bear"), 2)))
    scores = final_scores(votes, RATINGS, three, ROSTER, alpha=0.0)
    assert scores["score"].to_list() == [1.0] * 3
    assert scores.sort("rank")["competitor"].to_list() == ["ant", "wolf", "bear"]


def test_equal_scores_and_ratings_are_ranked_by_length_then_completion_key() -> None:
    three = answers(("i", "bear", True, 5), ("i", "ant", True, 7), ("i", "wolf", True, 7))
    scores = final_scores(outcomes(), dict.fromkeys(ROSTER, 1000.0), three, ROSTER, alpha=0.7)
    assert scores.sort("rank")["competitor"].to_list() == ["bear", "ant", "wolf"]
    assert scores["competitor"].to_list() == ["wolf", "ant", "bear"]


@some
@given(arenas(), st.permutations(ROSTER), st.permutations(ROSTER))
def test_gold_answers_and_scores_do_not_depend_on_names_or_the_order_of_the_roster(
    arena: dict[str, Any], listed: list[str], renamed: list[str]
) -> None:
    new_name = dict(zip(ROSTER, renamed, strict=True))
    other: dict[str, Any] = {
        "outcomes": arena["outcomes"].with_columns(pl.col("left", "right").replace(new_name)),
        "answers": arena["answers"].with_columns(pl.col("competitor").replace(new_name)),
        "ratings": {new_name[name]: rating for name, rating in arena["ratings"].items()},
    }
    scores = final_scores(other["outcomes"], other["ratings"], other["answers"], listed, alpha=0.7)
    expected_rows = scores_of(arena, 0.7).with_columns(pl.col("competitor").replace(new_name))
    by = ["instruction_id", "competitor"]
    assert_frame_equal(scores.sort(by), expected_rows.sort(by), check_exact=False, abs_tol=1e-9)
    assert scores.filter("gold").select(by).equals(expected_rows.filter("gold").select(by))


@some
@given(arenas(), st.floats(0.0, 1.0))
def test_competitors_with_the_same_text_have_the_same_score(arena: dict[str, Any], alpha: float) -> None:
    texts = scores_of(arena, alpha).join(arena["answers"], on=["instruction_id", "competitor"])
    values = ["score", "elo_part", "local_part", "advantage"]
    assert len(texts.unique(["instruction_id", "answer", *values])) == len(texts.unique(["instruction_id", "answer"]))


def test_sums_of_the_same_votes_in_a_different_order_are_equal_scores() -> None:
    four = answers(*(("i", name, True, length) for name, length in zip(ROSTER, (6, 7, 8, 9), strict=True)))
    # wolf has 0 + 0.2 + 1 and ant 1 + 0.1 + 0.1: in floats 1.2 and 1.2000000000000002, but exactly a tie.
    votes = outcomes(
        ("i", "wolf", "ant", 0.0), ("i", "wolf", "bear", 0.2), ("i", "wolf", "lynx", 1.0),
        ("i", "ant", "bear", 0.1), ("i", "ant", "lynx", 0.1), ("i", "bear", "lynx", 0.5),
    )  # fmt: skip
    scores = final_scores(votes, dict.fromkeys(ROSTER, 1000.0), four, ROSTER, alpha=0.0)
    wolf, ant = (scores.row(by_predicate=pl.col("competitor") == name, named=True) for name in ("wolf", "ant"))
    assert wolf["local_part"] != ant["local_part"]
    assert wolf["score"] == ant["score"]
    assert wolf["rank"] + 1 == ant["rank"]  # The shorter answer, although its float sum is smaller.


def test_an_unusable_answer_is_removed_from_the_group_with_its_votes() -> None:
    three = answers(("i", "wolf", True, 1), ("i", "ant", False, 1), ("i", "bear", True, 1))
    votes = outcomes(("i", "wolf", "ant", 1.0), ("i", "wolf", "bear", 0.25), ("i", "ant", "bear", 0.0))
    scores = final_scores(votes, RATINGS, three, ROSTER, alpha=0.0)
    assert scores.select("competitor", "score").rows() == [("wolf", 0.25), ("bear", 0.75)]


def test_a_single_answer_is_gold_with_score_zero() -> None:
    scores = final_scores(outcomes(), RATINGS, answers(("i", "ant", True, 1)), ROSTER, alpha=0.7)
    row = scores.row(0, named=True)
    assert (row["score"], row["gold"], row["advantage"], row["opponents"]) == (0.0, True, 0.0, 0)


def test_without_answers_the_table_is_empty_with_the_same_columns() -> None:
    full = final_scores(outcomes(), RATINGS, answers(("i", "ant", True, 1)), ROSTER, alpha=0.7)
    assert final_scores(outcomes(), RATINGS, answers(), ROSTER, alpha=0.7).schema == full.schema


TWO = (("i", "wolf", True, 1), ("i", "ant", True, 1))
BAD_INPUT: dict[str, Callable[[], pl.DataFrame]] = {
    "not from 0 to 1": lambda: final_scores(outcomes(("i", "wolf", "ant", 1.5)), RATINGS, answers(*TWO), ROSTER, alpha=0.7),
    r"\(a share of the votes\)": lambda: final_scores(
        outcomes(("i", "wolf", "ant", None)), RATINGS, answers(*TWO), ROSTER, alpha=0.7
    ),
    "two outcomes": lambda: final_scores(
        outcomes(("i", "wolf", "ant", 1.0), ("i", "ant", "wolf", 1.0)), RATINGS, answers(*TWO), ROSTER, alpha=0.7
    ),
    "two answers": lambda: final_scores(outcomes(), RATINGS, answers(TWO[0], TWO[0]), ROSTER, alpha=0.7),
    "answer of a competitor": lambda: final_scores(outcomes(), RATINGS, answers(*TWO), ROSTER[1:], alpha=0.7),
    "outcome of a competitor": lambda: final_scores(
        outcomes(("i", "ant", "eve", 1.0)), RATINGS, answers(*TWO), ROSTER, alpha=0.7
    ),
    "alpha": lambda: final_scores(outcomes(), RATINGS, answers(*TWO), ROSTER, alpha=1.1),
    "ratings must be finite": lambda: final_scores(
        outcomes(), RATINGS | {ROSTER[0]: float("nan")}, answers(*TWO), ROSTER, alpha=0.7
    ),
}


@pytest.mark.parametrize("message", BAD_INPUT)
def test_inconsistent_input_is_rejected(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BAD_INPUT[message]()
