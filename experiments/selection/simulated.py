"""A simulated arena with judges of chosen accuracy and bias: where does each rule break?

No model is called and no code is run. Right answers, votes and test outcomes are drawn at random; the product's own functions
count the votes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from experiments.selection.rules import PAPER_ALPHA, Hits, Rule, hits, judges_of, picks
from warrior_dagster.config.battles import Battles
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.config.stages import Ratings
from warrior_dagster.stages.battles import outcomes, pairing
from warrior_dagster.stages.battles.opinions import exam, judging, weights
from warrior_dagster.stages.battles.unit_tests import execution, generation, voting
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA
from warrior_dagster.stages.ratings import scores
from warrior_dagster.stages.ratings.elo import bradley_terry

ROSTER = ["ann", "bob", "cyd", "dan", "eve"]
SKILLS = (0.55, 0.5, 0.45, 0.4, 0.1)
"""The share of tasks that each competitor gets right: four of similar skill and a weak one, as in the experiment."""
CORRELATION = 0.6
"""Correlation of the difficulty of a task between competitors: some tasks are hard for all."""
TASKS, TESTS, REPEATS = 150, 5, 16
LENGTHS = 100.0
SHOWN = (
    *(Rule("opinions, hard", alpha) for alpha in (0.0, PAPER_ALPHA, 1.0)),
    Rule("tests alone", 0.0),
    Rule("both", 0.0),
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


SWEEPS: dict[str, tuple[Judges, str, str]] = {
    "judges see what is right": (Judges(), "accuracy", "share of battles that a judge sees rightly"),
    "all judges err together": (Judges(shared=1.0), "accuracy", "share of battles that all judges see rightly"),
    "the first answer sways": (Judges(), "first", "share of votes for whichever comes first"),
    "the longer answer sways": (Judges(), "longer", "share of votes for the longer"),
    "writers of tests understand the task": (Judges(), "understood", "share of tasks that a writer understands"),
    "all writers misunderstand together": (Judges(writers_shared=1.0), "understood", "share of tasks that all understand"),
    "wrong answers share the tests' mistake": (Judges(understood=0.5), "same_mistake", "share of wrong answers that do"),
    "tests are strict": (Judges(), "strict", "share of wrong answers that a test finds"),
}
VALUES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0)


def sweep() -> Iterator[dict[str, Any]]:
    """One row per sweep, value and rule of SHOWN: `random_to_oracle`, the mean over all repeats of how far the rule gets from a
    random pick (0) to the oracle (1), and its `standard_error`.
    """
    for name, (judges, varied, _) in SWEEPS.items():
        for value in VALUES:
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
    """The hits of each rule in one simulated arena; see rules.hits."""
    chance = np.random.default_rng(seed)
    ids, truth, lengths, answers = drawn_answers(chance)
    selected = pl.DataFrame({"instruction_id": ids, "competitor": ROSTER[0], "instruction": ""})
    pairs = {m: pairing.pairs(selected, answers, *sides(m), "all") for m in matchup_keys(ROSTER)}
    opinions = {m: opinion_votes(judges, m, truth, lengths, ids, chance) for m in pairs}
    reports = suite_reports(judges, truth, ids, chance)
    executed = {m: voting.vote(pairs[m], reports, judges_of(m, ROSTER), *sides(m)) for m in pairs}
    battles = Battles.model_validate(
        {"verdict": "direct", "votes": "soft", "evidence": ["opinion", "execution"], "combine": "sum"}
    )
    chosen = picks(answers, pairs, opinions, executed, ROSTER, battles, Ratings(orders="one"), rules=SHOWN, seeds=(seed,))
    loads = answers.select("instruction_id", "competitor", loads=True)
    return hits(truth.astype(float), answers, loads, chosen, ids, ROSTER)


def drawn_answers(chance: np.random.Generator) -> tuple[list[str], Drawn, NDArray[np.int64], pl.DataFrame]:
    """The tasks, which answers are right and how long they are (tasks, competitors), and the answers."""
    ids = [f"{place:032x}" for place in range(TASKS)]
    common = CORRELATION**0.5 * chance.standard_normal((TASKS, 1))
    hard = common + (1 - CORRELATION) ** 0.5 * chance.standard_normal((TASKS, len(ROSTER)))
    truth = hard < np.array([NormalDist().inv_cdf(skill) for skill in SKILLS])
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
        for column, name in enumerate(ROSTER)
    )
    return ids, truth, lengths, answers


def weighing(accuracies: Mapping[str, float], asked: int, seed: int, alpha: float = 0.0) -> dict[str, float]:
    """How far opinions of judges with these accuracies get from a random pick (0) to the oracle (1) in one simulated arena:
    `equal` votes, and votes `weighted` by an exam of so many questions for each judge. Judges that compete do not judge
    themselves; judges by other names judge every battle. `alpha` is the weight of Bradley-Terry's ratings.
    """
    chance = np.random.default_rng(seed)
    ids, truth, lengths, answers = drawn_answers(chance)
    selected = pl.DataFrame({"instruction_id": ids, "competitor": ROSTER[0], "instruction": ""})
    exams = exam_rows(accuracies, asked, chance)
    given = {"equal": None, "weighted": weights.weights(exams, accuracies, "hard")}
    counted = dict[str, list[pl.DataFrame]]((name, []) for name in given)
    for m in matchup_keys(ROSTER):
        pairs = pairing.pairs(selected, answers, *sides(m), "all")
        votes = pl.concat(
            opinion_votes(Judges(accuracy=own), m, truth, lengths, ids, chance, [name])
            for name, own in accuracies.items()
            if name not in sides(m)
        )
        for name, of_judges in given.items():
            counted[name].append(outcomes.outcomes(pairs, votes, *sides(m), "hard", of_judges))
    chosen = dict[str, list[pl.DataFrame]]()
    for name, frames in counted.items():
        battles = pl.concat(frames)
        ratings = bradley_terry(battles.select("left", "right", "outcome"), ROSTER, initial=0.0)
        chosen[name] = [scores.final_scores(battles, ratings, answers, ROSTER, alpha=alpha).filter("gold")]
    loads = answers.select("instruction_id", "competitor", loads=True)
    found = {name: own.mean() for name, own in hits(truth.astype(float), answers, loads, chosen, ids, ROSTER).items()}
    return {name: float((found[name] - found["random"]) / (found["oracle"] - found["random"])) for name in given}


def exam_rows(accuracies: Mapping[str, float], asked: int, chance: np.random.Generator) -> pl.DataFrame:
    """The exam of each judge, which says the same in both orders."""
    rows = [
        dict.fromkeys(exam.SCHEMA)
        | {"question": f"{number}", "judge": judge, "kind": exam.BROKEN, "order": order, "status": "decided"}
        | {"verdict": "better" if right else "worse", "p_better": float(right)}
        for judge, accuracy in accuracies.items()
        for number, right in enumerate(chance.random(asked) < accuracy)
        for order in (exam.BETTER_FIRST, exam.WORSE_FIRST)
    ]
    return pl.DataFrame(rows, schema=exam.SCHEMA)


def opinion_votes(
    judges: Judges,
    matchup: str,
    truth: Drawn,
    lengths: NDArray[np.int64],
    ids: list[str],
    chance: np.random.Generator,
    panel: Sequence[str] = (),
) -> pl.DataFrame:
    """Two votes on every battle of a matchup of each judge of a panel; by default of every other competitor."""
    left, right = (ROSTER.index(name) for name in sides(matchup))
    differs, is_longer = truth[:, left] != truth[:, right], lengths[:, left] > lengths[:, right]
    is_shared, common_accuracy, common_side = chance.random((3, len(ids)))
    rows = list[dict[str, Any]]()
    for judge in panel or judges_of(matchup, ROSTER):
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
    shared = chance.random((len(ids), 1)) < judges.writers_shared
    understood = np.where(shared, chance.random((len(ids), 1)), chance.random(truth.shape)) < judges.understood
    mistaken = ~truth & (chance.random(truth.shape) < judges.same_mistake)
    tests, run = list[dict[str, Any]](), list[dict[str, Any]]()
    for (place, identity), (writer, name), number in product(enumerate(ids), enumerate(ROSTER), range(TESTS)):
        test = f"{identity}:{name}:{number:02}"
        common = {"row_id": test, "instruction_id": identity, "writer": name, "test": test}
        tests.append(dict.fromkeys(generation.SCHEMA) | common | {"status": "ok", "reason": "", "completion_key": test})
        found = chance.random(len(ROSTER)) < judges.strict
        passes = truth[place] | ~found if understood[place, writer] else mistaken[place]
        for competitor, passed in zip(ROSTER, passes.tolist(), strict=True):
            outcome = execution.PASSED if passed else "failed"
            answer = {"competitor": competitor, "outcome": outcome, "answer_key": f"{place}:{competitor}"}
            run.append(dict.fromkeys(execution.SCHEMA) | common | answer)
    return voting.suite_reports(pl.DataFrame(tests, schema=generation.SCHEMA), pl.DataFrame(run, schema=execution.SCHEMA))
