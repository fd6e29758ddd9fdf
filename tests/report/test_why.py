"""Why an answer won, in words."""

from typing import Any

import pytest

from warrior_dagster.report.why import reasons


def answer(competitor: str, gold: bool = False, **values: Any) -> dict[str, Any]:
    blank = dict.fromkeys(("decided_by", "agreement", "sample", "settled_by", "own_agreement", "least_like", "least_agreement"))
    blank |= {"local_part": None, "answer": f"answer of {competitor}"}
    return {"competitor": competitor, "gold": gold, "opponents": 2, "samples": [], **blank, **values}


def lineage(*answers: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"answers": answers, "tests": [], "outcomes": [], "behaviours": {"total": 0}, "judges": {}, **values}


def written(writer: str, **outcomes: str) -> dict[str, Any]:
    return {"writer": writer, "test": "assert f(1)", "outcomes": outcomes}


def battle(left: str, right: str, opinions: float | None) -> dict[str, Any]:
    return {"left": left, "right": right, "opinions_for_left": opinions}


def test_the_first_sentence_says_what_decided_and_what_each_kind_of_evidence_says() -> None:
    one = lineage(
        answer("ann", gold=True, decided_by="execution", agreement=0.9),
        answer("bob", agreement=0.5),
        answer("cyd", agreement=0.75),
        tests=[
            written("ann", ann="failed", bob="passed", cyd="failed"),
            written("bob", ann="passed", bob="passed", cyd="passed"),
            written("cyd", ann="passed", bob="failed", cyd="passed"),
            written("cyd", ann="abstained", bob="failed", cyd="passed"),
        ],
        behaviours={"total": 24},
        outcomes=[battle("ann", "bob", 0.6), battle("cyd", "ann", 0.7), battle("bob", "cyd", 1.0)],
    )
    assert reasons(one, "leave_out") == [
        "ann won: decided by tests. Of the tests that others wrote it passes 2 of 2 (best other answer: cyd, 1 of 2);"
        " it returns what another answer returns on 90% of 24 inputs on average (best other answer: cyd, 75%);"
        " judges preferred it in 1 of 2 battles."
    ]


@pytest.mark.parametrize(
    ("decided_by", "words"),
    [
        ("opinion", "ann won: decided by opinions of judges."),
        ("behaviour", "ann won: decided by what the answers return."),
        (None, "ann won."),
    ],
)
def test_what_is_not_known_is_not_mentioned(decided_by: str | None, words: str) -> None:
    one = lineage(answer("ann", gold=True, decided_by=decided_by), answer("bob"))
    assert reasons(one, "leave_out") == [words]


@pytest.mark.parametrize(
    ("decided_by", "because"),
    [("rating", "the rating of its competitor"), ("length", "that it is the shortest of those that nothing else told apart")],
)
def test_where_no_evidence_decided_it_says_so_and_what_becomes_of_it(decided_by: str, because: str) -> None:
    one = lineage(answer("ann", gold=True, decided_by=decided_by), answer("bob"))
    first, second = reasons(one, "leave_out")
    assert first == f"No evidence put ann first, only {because}."
    assert second.startswith("It is in no data set: what no evidence put first")
    assert reasons(one, "keep")[1] == "It is exported anyway (export.undecided: keep)."


def test_another_answer_that_did_as_well_in_the_battles_is_named() -> None:
    first = answer("ann", gold=True, decided_by="behaviour", local_part=1.5)
    same_text = answer("cyd", local_part=1.5, answer="answer of ann")
    (_, why) = reasons(lineage(first, answer("bob", local_part=1.5), same_text, answer("dan", local_part=0.0)), "leave_out")
    assert why == "bob did as well in the battles, so the rating of its competitor, or its length, put ann first."
    assert len(reasons(lineage(first, same_text, answer("dan", local_part=0.0)), "leave_out")) == 1
    by_rating = answer("ann", gold=True, decided_by="rating", local_part=1.5)
    (_, why, left_out) = reasons(lineage(by_rating, answer("bob", local_part=1.5), answer("dan", local_part=2.0)), "leave_out")
    assert why.startswith("bob did as well in the battles")
    assert left_out.startswith("It is in no data set")


def test_an_answer_without_opponents_won_without_a_decision() -> None:
    one = lineage(answer("ann", gold=True, decided_by="", opponents=0))
    assert reasons(one, "leave_out") == ["ann won: no other competitor has a usable answer."]


def test_without_scores_there_is_no_reason() -> None:
    assert reasons(lineage(answer("ann"), answer("bob")), "leave_out") == []
    assert reasons(lineage(), "leave_out") == []


def test_weights_of_judges_and_the_samples_that_competitors_settled_on_are_sentences() -> None:
    samples = [
        {"sample": 0, "settled": False, "added": 0, "removed": 0},
        {"sample": 1, "settled": True, "added": 0, "removed": 0},
        {"sample": 2, "settled": False, "added": 3, "removed": 1},
    ]
    compared = {"settled_by": "agreement", "own_agreement": 2 / 3, "least_like": 2, "least_agreement": 0.1}
    settled = answer("ann", gold=True, sample=1, samples=samples, **compared)
    once = answer(
        "cyd", sample=0, settled_by="first sample", samples=[{"sample": 0, "settled": True, "added": 0, "removed": 0}]
    )
    first = answer("bob", sample=1, settled_by="first sample", samples=samples)
    one = lineage(settled, first, once, judges={"bob": 1.25, "cyd": 0.0})
    assert reasons(one, "keep")[1:] == [
        "Weights of the judges by their exams: bob 1.25.",
        "These judges may be guessing, so their opinions do not count: cyd.",
        "ann settled on sample 1 of 3, which agrees with its others on 67% of the inputs (least with sample 2, 10%)."
        " Lines that differ from it: sample 0 no line, sample 2 +3 -1.",
        "bob settled on sample 1 of 3, the first that can be used: there was nothing to compare."
        " Lines that differ from it: sample 0 no line, sample 2 +3 -1.",
    ]
