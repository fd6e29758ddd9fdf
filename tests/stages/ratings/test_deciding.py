"""What decided the gold answers: evidence where it put them first, and never a rating's choice under its name."""

from itertools import combinations
from random import Random
from statistics import mean
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from warrior_dagster.stages.ratings.deciding import with_deciders
from warrior_dagster.stages.ratings.scores import final_scores

ROSTER = ["wolf", "ant", "bear"]
EVEN = dict.fromkeys(ROSTER, 1000.0)
RATED = {"wolf": 1000.0, "ant": 1200.0, "bear": 900.0}
KINDS = ("execution", "behaviour", "opinion")
BATTLES = {
    **{"instruction_id": pl.String, "left": pl.String, "right": pl.String, "local_left": pl.Float64},
    **{"decided_by": pl.String, "agreement": pl.Float64},
}
Battle = tuple[str, str, float, str, float | None]


def decided(
    *battles: Battle, ratings: dict[str, float] = EVEN, texts: dict[str, str] | None = None, alpha: float = 0.0
) -> pl.DataFrame:
    """The explained scores of one instruction; each battle is left, right, local_left, decided_by, agreement."""
    outcomes = pl.DataFrame([("i", *battle) for battle in battles], schema=BATTLES, orient="row")
    return explained(outcomes, ratings, texts or {name: f"text of {name}" for name in ROSTER}, alpha)


def explained(outcomes: pl.DataFrame, ratings: dict[str, float], texts: dict[str, str], alpha: float) -> pl.DataFrame:
    rows = [
        {"instruction_id": "i", "competitor": n, "usable": True, "answer": t, "completion_key": n} for n, t in texts.items()
    ]
    answers = pl.DataFrame(rows)
    scored = final_scores(outcomes, ratings, answers, list(ratings), alpha=alpha)
    return with_deciders(scored, answers, outcomes, KINDS)


def answer(instruction: str, name: str, text: str) -> dict[str, object]:
    return {"instruction_id": instruction, "competitor": name, "usable": True, "answer": text, "completion_key": name}


def gold_of(rows: pl.DataFrame) -> tuple[str, str]:
    """The gold answer's competitor, and what decided it."""
    (name, by) = rows.filter("gold").select("competitor", "decided_by").row(0)
    assert rows["decided_by"].unique().to_list() == [by]
    return name, by


def even(left: str, right: str, agreement: float | None = None) -> Battle:
    return left, right, 0.5, "", agreement


def test_the_kind_that_contributed_most_to_the_lead_of_the_gold_answer_decided_it() -> None:
    both = decided(("wolf", "ant", 1.0, "execution", None), ("wolf", "bear", 0.75, "opinion", None), even("ant", "bear"))
    assert gold_of(both) == ("wolf", "execution")
    overruled = decided(("wolf", "ant", 0.4, "execution", None), ("wolf", "bear", 1.0, "opinion", None), even("ant", "bear"))
    assert gold_of(overruled) == ("wolf", "opinion")
    alike = decided(("wolf", "ant", 1.0, "opinion", None), ("wolf", "bear", 1.0, "behaviour", None), even("ant", "bear"))
    assert gold_of(alike) == ("wolf", "behaviour")  # the earlier of the kinds


def test_answers_that_confirm_each_other_were_decided_by_behaviour() -> None:
    pairs = [even(*pair, agreement) for pair, agreement in zip(combinations(ROSTER, 2), (1.0, 0.75, 0.25), strict=True)]
    rows = decided(*pairs)
    assert dict(rows.select("competitor", "agreement").iter_rows()) == {"wolf": 0.875, "ant": 0.625, "bear": 0.5}
    assert gold_of(rows) == ("ant", "behaviour")
    assert gold_of(decided(*pairs, ratings=RATED)) == ("ant", "behaviour")
    apart = [even(*pair, 0.5) for pair in combinations(ROSTER, 2)]
    assert gold_of(decided(*apart, ratings=RATED)) == ("ant", "rating")


def test_of_answers_that_did_equally_well_evidence_chooses_none_unless_they_return_the_same() -> None:
    def best_two(agreement: float | None, ratings: dict[str, float] = RATED) -> tuple[str, str]:
        wins = [("wolf", "bear", 1.0, "execution", 0.0), ("ant", "bear", 1.0, "execution", 0.0)]
        return gold_of(decided(*wins, even("wolf", "ant", agreement), ratings=ratings))

    assert best_two(0.75) == ("ant", "execution")
    assert best_two(0.5) == ("ant", "rating")
    assert best_two(0.0, EVEN)[1] == "length"
    assert best_two(None) == ("ant", "execution")  # nothing is known against either


def test_how_many_competitors_gave_a_text_does_not_change_what_decided() -> None:
    def best(*texts: str) -> tuple[str, str]:
        """Each pair of unequal texts but the last ties, and returns other values; all win against the last."""
        pairs = combinations(range(len(texts)), 2)
        battles = [
            (str(i), str(j), *((1.0, "execution") if texts[j] == "last" else (0.5, "")), float(texts[i] == texts[j]))
            for i, j in pairs
        ]
        outcomes = pl.DataFrame([("i", *battle) for battle in battles], schema=BATTLES, orient="row")
        given = {str(number): text for number, text in enumerate(texts)}
        return gold_of(explained(outcomes, dict.fromkeys(given, 1000.0), given, 0.0))

    assert best("same", "same", "last")[1] == "execution"
    assert best("one", "other", "last")[1] == "length"
    assert best("one", "one", "one", "other", "last")[1] == "length"
    assert best("one", "other", "other", "other", "last")[1] == "length"


def test_without_evidence_the_rating_decides_and_then_the_length() -> None:
    ties = [even(*pair) for pair in combinations(ROSTER, 2)]
    assert gold_of(decided(*ties, ratings=RATED)) == ("ant", "rating")
    short = {"wolf": "long", "ant": "longer", "bear": "s"}
    assert gold_of(decided(*ties, texts=short)) == ("bear", "length")
    assert decided(*ties)["agreement"].null_count() == 3


def test_a_rating_that_overrules_the_evidence_is_named() -> None:
    votes = [("wolf", "ant", 0.6, "opinion", None), ("wolf", "bear", 0.6, "opinion", None), even("ant", "bear")]
    assert gold_of(decided(*votes, ratings=RATED, alpha=0.0)) == ("wolf", "opinion")
    assert gold_of(decided(*votes, ratings=RATED, alpha=0.7)) == ("ant", "rating")


def test_ratings_that_stand_in_for_battles_are_no_evidence() -> None:
    assert gold_of(decided(even("wolf", "bear"), ratings=RATED)) == ("ant", "rating")
    assert gold_of(decided(("ant", "bear", 0.55, "opinion", None), ratings=RATED)) == ("ant", "rating")
    assert gold_of(decided(("ant", "bear", 1.0, "opinion", None), ratings=RATED)) == ("ant", "opinion")


def test_the_battles_of_all_who_gave_the_gold_text_count() -> None:
    texts = {"wolf": "same", "bear": "same", "ant": "other"}
    votes = [even("wolf", "ant"), ("bear", "ant", 1.0, "execution", None), even("wolf", "bear")]
    rows = decided(*votes, texts=texts)
    assert gold_of(rows) == ("bear", "execution")  # by the completion key: its score is that of the same text
    assert gold_of(decided(*votes[:1], ("bear", "ant", 0.5, "", None), votes[2], texts=texts))[1] == "length"


def test_an_answer_without_opponents_was_decided_by_nothing() -> None:
    rows = decided(texts={"wolf": "alone"})
    assert gold_of(rows) == ("wolf", "")


def test_outcomes_without_agreement_give_none() -> None:
    outcomes = pl.DataFrame([("i", "wolf", "ant", 1.0, "opinion", 0.5)], schema=BATTLES, orient="row").drop("agreement")
    rows = explained(outcomes, EVEN, {"wolf": "one", "ant": "two"}, 0.0)
    assert gold_of(rows) == ("wolf", "opinion")
    assert rows.schema["agreement"] == pl.Float64
    assert rows["agreement"].null_count() == 2


@st.composite
def arenas(draw: st.DrawFn) -> dict[str, Any]:
    """The battles of one instruction with one text or several, and ratings."""
    battles = []
    for left, right in combinations(ROSTER, 2):
        x = draw(st.integers(0, 4)) / 4
        by = draw(st.sampled_from(KINDS)) if x != 0.5 else ""
        battles.append((left, right, x, by, draw(st.none() | st.integers(0, 4).map(lambda n: n / 4))))
    return {
        "battles": battles,
        "ratings": {name: draw(st.sampled_from([900.0, 1000.0, 1100.0])) for name in ROSTER},
        "texts": {name: draw(st.sampled_from(["one", "two", name])) for name in ROSTER},
        "alpha": draw(st.sampled_from([0.0, 0.7])),
    }


@settings(max_examples=100)
@given(arenas(), st.randoms(use_true_random=False))
def test_neither_sides_nor_the_order_of_battles_change_what_decided(arena: dict[str, Any], random: Random) -> None:
    battles = arena.pop("battles")
    turned = [(right, left, 1 - x, by, agreement) for left, right, x, by, agreement in random.sample(battles, len(battles))]
    assert_frame_equal(decided(*battles, **arena), decided(*turned, **arena))


@settings(max_examples=100)
@given(arenas())
def test_evidence_is_named_only_if_it_prefers_the_gold_answer_to_another(arena: dict[str, Any]) -> None:
    rows = decided(*arena["battles"], **{name: value for name, value in arena.items() if name != "battles"})
    gold = rows.filter("gold").row(0, named=True)
    parts = rows["local_part"]
    first = gold["local_part"] >= parts.max() - 1e-9  # type: ignore[operator]
    spread = parts.max() - parts.min() > 1e-9  # type: ignore[operator]
    if gold["decided_by"] in KINDS:
        assert first
        assert spread or (gold["decided_by"], gold["agreement"] > 0.5) == ("behaviour", True)
    texts, equal = arena["texts"], rows.filter(pl.col("local_part") >= gold["local_part"] - 1e-9)["competitor"]
    agreements = {frozenset(pair): agreement for *pair, _, _, agreement in arena["battles"]}
    rivals = [name for name in sorted(equal, reverse=True) if texts[name] != texts[gold["competitor"]]]
    by_text = {texts[name]: a for name in rivals if (a := agreements[frozenset({gold["competitor"], name})]) is not None}
    known = list(by_text.values())
    if first and spread and known and mean(known) <= 0.5:
        assert gold["decided_by"] in {"rating", "length"}
    elif first and spread:
        assert gold["decided_by"] in KINDS
        assert any(by == gold["decided_by"] for *_, by, _ in arena["battles"])


@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_an_instruction_changes_nothing_of_another(alpha: float) -> None:
    battles: list[Battle] = [("wolf", "ant", 1.0, "execution", None), even("wolf", "bear"), even("ant", "bear")]
    rows = [("i", *battle) for battle in battles] + [("j", "wolf", "ant", 0.0, "opinion", None)]
    outcomes = pl.DataFrame(rows, schema=BATTLES, orient="row")
    answers = pl.DataFrame([answer(one, name, f"text of {name}") for one in "ij" for name in ROSTER])
    both = with_deciders(final_scores(outcomes, EVEN, answers, ROSTER, alpha=alpha), answers, outcomes, KINDS)
    assert_frame_equal(both.filter(instruction_id="i"), decided(*battles, alpha=alpha))
    assert gold_of(both.filter(instruction_id="j")) == ("ant", "opinion")
