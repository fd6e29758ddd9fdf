"""Why an answer won, in words: what decided, and what tests, behaviour and judges say of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from warrior_dagster.config.battles import BEHAVIOUR, EXECUTION, LENGTH, OPINION, RATING
from warrior_dagster.stages.battles.samples.settling import FIRST_SAMPLE
from warrior_dagster.stages.battles.sandbox_runs import NEEDS_MODULE
from warrior_dagster.stages.battles.unit_tests.execution import ABSTAINED, PASSED
from warrior_dagster.stages.ratings.deciding import WITHIN

NAMES = {OPINION: "opinions of judges", EXECUTION: "tests", BEHAVIOUR: "what the answers return"}
"""The kinds of evidence as the report calls them."""
ONLY = {RATING: "the rating of its competitor", LENGTH: "that it is the shortest of those that nothing else told apart"}
"""What puts an answer first where no evidence does."""

UNKNOWN = (ABSTAINED, NEEDS_MODULE)
"""Outcomes of tests that say nothing of an answer."""


def reasons(one: Mapping[str, Any], undecided: str) -> list[str]:
    """Sentences on why the first answer of a lineage won, the most important one first; empty without scores.

    `undecided` is export.undecided: what becomes of an instruction where no evidence decided.
    """
    first, *others = one["answers"] or [{"gold": None}]
    if not first["gold"]:
        return []
    said = (
        tests_passed(one["tests"], first, others),
        agreed(one["behaviours"]["total"], first, others),
        preferred(one["outcomes"], first),
    )
    details = "; ".join(part for part in said if part)
    return [
        decision(first) + (f" {details[0].upper()}{details[1:]}." if details else ""),
        *tied(first, others),
        *exported(first, undecided),
        *judges(one["judges"]),
        *(settled(answer) for answer in one["answers"] if len(answer["samples"]) > 1),
    ]


def decision(first: Mapping[str, Any]) -> str:
    """What decided for the answer that won. Warehouses of earlier versions do not say it."""
    name, decided_by = first["competitor"], first["decided_by"]
    if first["opponents"] == 0:
        return f"{name} won: no other competitor has a usable answer."
    if decided_by in ONLY:
        return f"No evidence put {name} first, only {ONLY[decided_by]}."
    return f"{name} won: decided by {NAMES[decided_by]}." if decided_by in NAMES else f"{name} won."


def tied(first: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which other answers did as well in their battles, so that something else put the first one before them."""
    if first["local_part"] is None:
        return []
    equal = [one for one in others if one["local_part"] is not None and abs(one["local_part"] - first["local_part"]) <= WITHIN]
    names = " and ".join(one["competitor"] for one in equal if one["answer"] != first["answer"])
    then = f"so the rating of its competitor, or its length, put {first['competitor']} first"
    return [f"{names} did as well in the battles, {then}."] if names else []


def exported(first: Mapping[str, Any], undecided: str) -> list[str]:
    """What follows for the data sets where no evidence decided."""
    if first["decided_by"] not in ONLY:
        return []
    if undecided == "leave_out":
        return ["It is in no data set: what no evidence put first may be no better than the others (export.undecided)."]
    return ["It is exported anyway (export.undecided: keep)."]


def tests_passed(tests: Sequence[Mapping[str, Any]], first: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """How many of the tests that others wrote an answer passes, and the best of the other answers, likewise without its own."""

    def count(answer: Mapping[str, Any]) -> tuple[int, int]:
        name = answer["competitor"]
        outcomes = [test["outcomes"].get(name) for test in tests if test["writer"] != name]
        known = [outcome for outcome in outcomes if outcome not in (None, *UNKNOWN)]
        return known.count(PASSED), len(known)

    passed, of = count(first)
    if not of:
        return ""
    counts = [(answer["competitor"], *count(answer)) for answer in others]
    tested = [(name, own, most) for name, own, most in counts if most]
    best = [f" (best other answer: {name}, {own} of {most})" for name, own, most in sorted(tested, key=lambda c: -c[1] / c[2])]
    return f"of the tests that others wrote it passes {passed} of {of}{''.join(best[:1])}"


def agreed(inputs: int, first: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """How often an answer returns what another answer returns, on average, and the best of the other answers."""
    if first["agreement"] is None or not inputs:
        return ""
    known = sorted((a for a in others if a["agreement"] is not None), key=lambda a: -a["agreement"])
    best = [f" (best other answer: {answer['competitor']}, {answer['agreement']:.0%})" for answer in known]
    of = f"{inputs} inputs" if inputs > 1 else "1 input"
    return f"it returns what another answer returns on {first['agreement']:.0%} of {of} on average{''.join(best[:1])}"


def preferred(battles: Sequence[Mapping[str, Any]], first: Mapping[str, Any]) -> str:
    """In how many of an answer's battles the judges' opinions prefer it."""
    name = first["competitor"]
    shares = [
        battle["opinions_for_left"] if battle["left"] == name else 1 - battle["opinions_for_left"]
        for battle in battles
        if name in (battle["left"], battle["right"]) and battle["opinions_for_left"] is not None
    ]
    return f"judges preferred it in {sum(share > 0.5 for share in shares)} of {len(shares)} battles" if shares else ""


def judges(weights: Mapping[str, float]) -> list[str]:
    """What the opinions of each judge weigh; empty where judges sat no exam."""
    words = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items() if weight)
    guessing = ", ".join(name for name, weight in weights.items() if not weight)
    return [
        *([f"Weights of the judges by their exams: {words}."] if words else []),
        *([f"These judges may be guessing, so their opinions do not count: {guessing}."] if guessing else []),
    ]


def settled(answer: Mapping[str, Any]) -> str:
    """Which of a competitor's own samples battles, why, and how the lines of the others differ."""
    if answer["settled_by"] == FIRST_SAMPLE:
        why = ", the first that can be used: there was nothing to compare"
    else:
        own = answer["own_agreement"]
        why = "" if own is None else f", which agrees with its others on {own:.0%} of the inputs"
        if answer["least_like"] is not None:
            why += f" (least with sample {answer['least_like']}, {answer['least_agreement']:.0%})"
    lines = [f"sample {sample['sample']} {difference(sample)}" for sample in answer["samples"] if not sample["settled"]]
    name, number, of = answer["competitor"], answer["sample"], len(answer["samples"])
    return f"{name} settled on sample {number} of {of}{why}. Lines that differ from it: {', '.join(lines)}."


def difference(sample: Mapping[str, Any]) -> str:
    """How many lines a sample has that the one that battles lacks, and the other way round."""
    changed = sample["added"] or sample["removed"]
    return f"+{sample['added']} -{sample['removed']}" if changed else "no line"
