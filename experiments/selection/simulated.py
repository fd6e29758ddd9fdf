"""A simulated arena with judges of chosen accuracy and bias: where does each rule break?

No model is called and no code is run. Right answers, votes, test outcomes and what answers return are drawn at random; the
product's own functions count the votes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from experiments.selection.measures import Hits, baselines, hits_of
from experiments.selection.rules import PAPER_ALPHA, Rule, judges_of, picks
from warrior_dagster.config.battles import Battles
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.config.stages import Ratings
from warrior_dagster.stages.battles import pairing, sandbox_runs
from warrior_dagster.stages.battles.behaviours import voting as behaviour_voting
from warrior_dagster.stages.battles.behaviours.agreement import RETURNED
from warrior_dagster.stages.battles.opinions import judging
from warrior_dagster.stages.battles.unit_tests import execution, generation, voting
from warrior_dagster.stages.battles.votes import BEHAVIOUR, EXECUTION, OPINION, VOTE_SCHEMA

ROSTER = ["ann", "bob", "cyd", "dan", "eve", "fay", "gil", "hal"]
SKILLS = (0.55, 0.5, 0.45, 0.4, 0.1, 0.5, 0.45, 0.4)
"""The share of tasks that each competitor gets right: the first five are four of similar skill and a weak one."""
CORRELATION = 0.6
"""Correlation of the difficulty of a task between competitors: some tasks are hard for all."""
TASKS, TESTS, INPUTS, REPEATS = 150, 5, 10, 16
LENGTHS = 100.0
SHOWN = (
    *(Rule("opinions, hard", alpha) for alpha in (0.0, PAPER_ALPHA, 1.0)),
    *(Rule(kind, 0.0) for kind in ("tests", "behaviour", "tests, then behaviour", "all three added")),
)
Drawn = NDArray[np.bool_]


@dataclass(frozen=True)
class Judges:
    """The accuracy and the biases of judges and of their tests."""

    accuracy: float = 0.75
    """The share of battles between a right and a wrong answer in which an unbiased judge prefers the right one."""
    first: float = 0.0
    """The share of votes that go to the first answer."""
    longer: float = 0.0
    """The share of the other votes that go to the longer answer."""
    shared: float = 0.0
    """The share of battles in which all judges agree: they are right or wrong together."""
    understood: float = 0.75
    """The share of tasks that a writer of tests understands. For other tasks, all of its tests expect something wrong."""
    writers_shared: float = 0.0
    """The share of tasks that all writers understand or misunderstand together."""
    strict: float = 0.5
    """The share of wrong answers that a test detects if its writer understood the task."""
    same_mistake: float = 0.25
    """The share of wrong answers that make the same mistake as the tests of a misunderstood task, and pass them."""
    common_mistake: float = 0.25
    """The share of wrong answers to a task that make one common mistake, and so return the same; the others err each for itself."""
    telling: float = 0.5
    """The share of inputs on which a mistake shows; on the others a wrong answer returns what a right one returns."""
    competitors: int = 5
    """The number of competitors."""


SHARES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0)
SWEEPS: dict[str, tuple[Judges, str, str, Sequence[float]]] = {
    "judges see what is right": (Judges(), "accuracy", "share of battles that a judge sees rightly", SHARES),
    "all judges err together": (Judges(shared=1.0), "accuracy", "share of battles that all judges see rightly", SHARES),
    "the first answer sways": (Judges(), "first", "share of votes for whichever comes first", SHARES),
    "the longer answer sways": (Judges(), "longer", "share of votes for the longer", SHARES),
    "writers of tests understand the task": (Judges(), "understood", "share of tasks that a writer understands", SHARES),
    "all writers misunderstand together": (
        Judges(writers_shared=1.0),
        "understood",
        "share of tasks that all understand",
        SHARES,
    ),
    "wrong answers share the tests' mistake": (
        Judges(understood=0.5),
        "same_mistake",
        "share of wrong answers that do",
        SHARES,
    ),
    "tests are strict": (Judges(), "strict", "share of wrong answers that a test finds", SHARES),
    "wrong answers share one mistake": (Judges(), "common_mistake", "share of wrong answers that do", SHARES),
    "inputs tell right from wrong": (Judges(), "telling", "share of inputs on which a mistake shows", SHARES),
    "few answers": (Judges(), "competitors", "number of competitors", (3, 4, 5, 6, 8)),
}
"""For each panel: the judges, what is varied, its name on the axis, and its values."""


def sweep() -> Iterator[dict[str, Any]]:
    """One row per sweep, value and rule of SHOWN: `random_to_oracle`, the mean over all repeats of how far the rule gets from a
    random pick (0) to the oracle (1), and its `standard_error`.
    """
    for name, (judges, varied, _, values) in SWEEPS.items():
        for value in values:
            for rule, shares in random_to_oracle(replace(judges, **{varied: value})).items():
                error = float(np.std(shares, ddof=1) / len(shares) ** 0.5)
                measures = {"random_to_oracle": float(np.mean(shares)), "standard_error": error}
                yield {"sweep": name, "varied": varied, "value": value, "rule": rule, **measures}


def random_to_oracle(judges: Judges, repeats: int = REPEATS) -> dict[str, list[float]]:
    """How far each rule of SHOWN gets from a random pick to the oracle, one value per simulated arena."""
    shares: dict[str, list[float]] = {rule.name: [] for rule in SHOWN}
    for seed in range(repeats):
        found = {name: float(own.mean()) for name, own in arena(judges, seed).items()}
        for name, own in shares.items():
            own.append((found[name] - found["random"]) / (found["oracle"] - found["random"]))
    return shares


def arena(judges: Judges, seed: int) -> dict[str, Hits]:
    """The hits of each rule in one simulated arena; see measures.baselines."""
    chance, roster = np.random.default_rng(seed), ROSTER[: judges.competitors]
    ids = [f"{place:032x}" for place in range(TASKS)]
    common = CORRELATION**0.5 * chance.standard_normal((TASKS, 1))
    hard = common + (1 - CORRELATION) ** 0.5 * chance.standard_normal((TASKS, len(roster)))
    truth = hard < np.array([NormalDist().inv_cdf(skill) for skill in SKILLS[: len(roster)]])
    lengths = chance.exponential(LENGTHS, truth.shape).astype(int) + 1
    answers = pl.DataFrame(
        {
            "instruction_id": identity,
            "competitor": name,
            "answer": chr(ord("a") + column) * lengths[place, column],  # no two competitors give the same text
            "usable": True,
            "completion_key": f"{place}:{name}",
        }
        for place, identity in enumerate(ids)
        for column, name in enumerate(roster)
    )
    selected = pl.DataFrame({"instruction_id": ids, "competitor": roster[0], "instruction": ""})
    pairs = {m: pairing.pairs(selected, answers, *sides(m), "all") for m in matchup_keys(roster)}
    opinions = {m: opinion_votes(judges, m, truth, lengths, ids, chance) for m in pairs}
    reports = suite_reports(judges, truth, ids, chance)
    executed = {m: voting.vote(pairs[m], reports, judges_of(m, roster), *sides(m)) for m in pairs}
    observed = observations(judges, truth, ids, chance)
    weights = behaviour_voting.peer_weights({name: name for name in roster}, same_model=1.0)
    standing, calls = behaviour_voting.behaviours(observed, weights), frozenset(f"f({n})" for n in range(INPUTS))
    inputs = dict.fromkeys(ids, calls)
    by_behaviour = {m: behaviour_voting.vote(pairs[m], standing, inputs, {}, *sides(m)) for m in pairs}
    votes = {OPINION: opinions, EXECUTION: executed, BEHAVIOUR: by_behaviour}
    battles = Battles.model_validate({"verdict": "direct", "votes": "soft"})
    chosen = picks(answers, pairs, votes, roster, battles, Ratings(orders="one"), rules=SHOWN)
    loads = answers.select("instruction_id", "completion_key", loads=True)
    right = truth.astype(float)
    rules = {name: hits_of(picked, right, ids, roster) for name, picked in chosen.items()}
    return baselines(right, answers, loads, ids, roster) | rules


def observations(judges: Judges, truth: Drawn, ids: list[str], chance: np.random.Generator) -> pl.DataFrame:
    """What every answer returns on INPUTS inputs: the columns of observing.SCHEMA that agreement needs."""
    count = truth.shape[1]
    common = chance.random(truth.shape) < judges.common_mistake
    mistake = np.where(common, count, np.arange(count))
    shows = chance.random((len(ids), count + 1, INPUTS)) < judges.telling
    return pl.DataFrame(
        {
            "instruction_id": identity,
            "competitor": name,
            "input": f"f({number})",
            "outcome": RETURNED,
            "reason": "",
            "value": f"mistake {mistake[place, column]}" if is_wrong else "right",
            "answer_key": f"{place}:{name}",
        }
        for place, identity in enumerate(ids)
        for column, name in enumerate(ROSTER[:count])
        for number in range(INPUTS)
        for is_wrong in (not truth[place, column] and shows[place, mistake[place, column], number],)
    )


def opinion_votes(
    judges: Judges, matchup: str, truth: Drawn, lengths: NDArray[np.int64], ids: list[str], chance: np.random.Generator
) -> pl.DataFrame:
    """Every judge's two votes on every battle of a matchup."""
    left, right = (ROSTER.index(name) for name in sides(matchup))
    differs, is_longer = truth[:, left] != truth[:, right], lengths[:, left] > lengths[:, right]
    is_shared, common_accuracy, common_side = chance.random((3, len(ids)))
    rows = list[dict[str, Any]]()
    for judge in judges_of(matchup, ROSTER[: judges.competitors]):
        own_accuracy, own_side = chance.random((2, len(ids)))
        is_right = np.where(is_shared < judges.shared, common_accuracy, own_accuracy) < judges.accuracy
        prefers_left = np.where(is_shared < judges.shared, common_side, own_side) < 0.5  # if both are right or wrong
        unbiased_left = np.where(differs, truth[:, left] == is_right, prefers_left)
        for order in (judging.LEFT_FIRST, judging.RIGHT_FIRST):
            by_place, by_length = chance.random((2, len(ids)))
            votes_left = np.where(by_length < judges.longer, is_longer, unbiased_left)
            votes_left = np.where(by_place < judges.first, order == judging.LEFT_FIRST, votes_left)
            drawn = zip(ids, votes_left.tolist(), strict=True)
            rows += [vote(identity, *sides(matchup), judge, order, is_left) for identity, is_left in drawn]
    return pl.DataFrame(rows, schema=VOTE_SCHEMA)


def vote(identity: str, left: str, right: str, judge: str, order: str, votes_left: bool) -> dict[str, Any]:
    """A row of VOTE_SCHEMA with the columns that outcomes need."""
    return dict.fromkeys(VOTE_SCHEMA) | {
        "row_id": f"{identity}:{judge}:{order}",
        "instruction_id": identity,
        "left": left,
        "right": right,
        "judge": judge,
        "order": order,
        "evidence": "opinion",
        "status": "decided",
        "verdict": "left" if votes_left else "right",
        "p_left": float(votes_left),
        "p_right": float(not votes_left),
    }


def suite_reports(
    judges: Judges, truth: Drawn, ids: list[str], chance: np.random.Generator
) -> Mapping[tuple[str, str], voting.SuiteReport]:
    """The reports of all competitors' tests, from drawn outcomes; see voting.suite_reports."""
    roster = ROSTER[: judges.competitors]
    shared = chance.random((len(ids), 1)) < judges.writers_shared
    understood = np.where(shared, chance.random((len(ids), 1)), chance.random(truth.shape)) < judges.understood
    mistaken = ~truth & (chance.random(truth.shape) < judges.same_mistake)
    tests, run = list[dict[str, Any]](), list[dict[str, Any]]()
    for (place, identity), (writer, name), number in product(enumerate(ids), enumerate(roster), range(TESTS)):
        test = f"{identity}:{name}:{number:02}"
        common = {"row_id": test, "instruction_id": identity, "writer": name, "test": test}
        tests.append(dict.fromkeys(generation.SCHEMA) | common | {"status": "ok", "reason": "", "completion_key": test})
        found = chance.random(len(roster)) < judges.strict
        passes = truth[place] | ~found if understood[place, writer] else mistaken[place]
        for competitor, passed in zip(roster, passes.tolist(), strict=True):
            outcome = execution.PASSED if passed else "failed"
            answer = {"competitor": competitor, "outcome": outcome, "answer_key": f"{place}:{competitor}"}
            run.append(dict.fromkeys(execution.SCHEMA) | common | answer)
    return voting.suite_reports(pl.DataFrame(tests, schema=generation.SCHEMA), pl.DataFrame(run, schema=execution.SCHEMA))
