"""An arena whose judges are as good, and as biased, as we say: where does each rule break?

Nothing is asked of a model and nothing is run. Who is right, what judges say and what tests do is drawn; the votes then go
through the product's own functions, as everywhere.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from experiments.selection.rules import PAPER_ALPHA, Hits, Rule, hits, outside, picks
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.config.stages import Battles, Ratings
from warrior_dagster.stages.battles import pairing
from warrior_dagster.stages.battles.opinions import judging
from warrior_dagster.stages.battles.unit_tests import execution, generation, voting
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA

ROSTER = ["ann", "bob", "cyd", "dan", "eve"]
SKILLS = (0.55, 0.5, 0.45, 0.4, 0.1)
"""The share of tasks that each gets right: four of a kind and a weak one, as in the experiment."""
ALIKE = 0.6
"""Correlation of who is right: some tasks are hard for all."""
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
    """How good those who judge are."""

    accuracy: float = 0.75
    """The share of battles between a right and a wrong answer in which a judge that is not swayed sees which is which."""
    first: float = 0.0
    """The share of votes that go to whichever answer comes first."""
    longer: float = 0.0
    """The share of the other votes that go to the longer answer."""
    shared: float = 0.0
    """The share of battles of which all judges think the same: they are right or wrong together."""
    understood: float = 0.75
    """The share of tasks that a writer of tests understands; of the others all of its tests expect something wrong."""
    writers_shared: float = 0.0
    """The share of tasks that all writers understand or misunderstand together."""
    strict: float = 0.5
    """The share of wrong answers that a test finds of a task that its writer understood."""
    same_mistake: float = 0.25
    """The share of wrong answers that are wrong as the tests of a misunderstood task expect: they pass those."""


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
    """A row a sweep, value and rule of SHOWN: `random_to_oracle`, how far it gets from a random pick (0) to the oracle (1), the
    mean over all repeats, and the `standard_error` of that.
    """
    for name, (judges, varied, _) in SWEEPS.items():
        for value in VALUES:
            for rule, shares in random_to_oracle(replace(judges, **{varied: value})).items():
                error = float(np.std(shares, ddof=1) / len(shares) ** 0.5)
                told = {"random_to_oracle": float(np.mean(shares)), "standard_error": error}
                yield {"sweep": name, "varied": varied, "value": value, "rule": rule, **told}


def random_to_oracle(judges: Judges, repeats: int = REPEATS) -> dict[str, list[float]]:
    """How far each rule of SHOWN gets from a random pick to the oracle, in each of some drawn arenas."""
    shares: dict[str, list[float]] = {rule.name: [] for rule in SHOWN}
    for seed in range(repeats):
        found = {name: float(own.mean()) for name, own in arena(judges, seed).items()}
        for name, own in shares.items():
            own.append((found[name] - found["random"]) / (found["oracle"] - found["random"]))
    return shares


def arena(judges: Judges, seed: int) -> dict[str, Hits]:
    """What each rule gets right of one drawn arena; see rules.hits."""
    chance = np.random.default_rng(seed)
    ids = [f"{place:032x}" for place in range(TASKS)]
    hard = ALIKE**0.5 * chance.standard_normal((TASKS, 1)) + (1 - ALIKE) ** 0.5 * chance.standard_normal((TASKS, len(ROSTER)))
    truth = hard < np.array([NormalDist().inv_cdf(skill) for skill in SKILLS])
    lengths = chance.exponential(LENGTHS, truth.shape).astype(int) + 1
    answers = pl.DataFrame(
        {
            "instruction_id": identity,
            "competitor": name,
            "answer": "x" * lengths[place, column],
            "usable": True,
            "completion_key": f"{place}:{name}",
        }
        for place, identity in enumerate(ids)
        for column, name in enumerate(ROSTER)
    )
    selected = pl.DataFrame({"instruction_id": ids, "competitor": ROSTER[0], "instruction": ""})
    pairs = {m: pairing.pairs(selected, answers, *sides(m), "all") for m in matchup_keys(ROSTER)}
    opinions = {m: opined(judges, m, truth, lengths, ids, chance) for m in pairs}
    written = sheets(judges, truth, ids, chance)
    executed = {m: voting.vote(pairs[m], written, outside(m, ROSTER), *sides(m)) for m in pairs}
    battles = Battles.model_validate({"verdict": "direct", "votes": "soft", "evidence": "both"})
    chosen = picks(answers, pairs, opinions, executed, ROSTER, battles, Ratings(), rules=SHOWN, seeds=(seed,))
    loads = answers.select("instruction_id", "competitor", loads=True)
    return hits(truth.astype(float), answers, loads, chosen, ids, ROSTER)


def opined(
    judges: Judges, matchup: str, truth: Drawn, lengths: NDArray[np.int64], ids: list[str], chance: np.random.Generator
) -> pl.DataFrame:
    """Every judge's two votes on every battle of a matchup."""
    left, right = (ROSTER.index(name) for name in sides(matchup))
    differs, is_longer = truth[:, left] != truth[:, right], lengths[:, left] > lengths[:, right]
    is_shared, common_sight, common_side = chance.random((3, len(ids)))
    rows = list[dict[str, Any]]()
    for judge in outside(matchup, ROSTER):
        own_sight, own_side = chance.random((2, len(ids)))
        sees = np.where(is_shared < judges.shared, common_sight, own_sight) < judges.accuracy
        prefers_left = np.where(is_shared < judges.shared, common_side, own_side) < 0.5  # where both are right, or both wrong
        thinks_left = np.where(differs, truth[:, left] == sees, prefers_left)
        for order in (judging.LEFT_FIRST, judging.RIGHT_FIRST):
            by_place, by_length = chance.random((2, len(ids)))
            says_left = np.where(by_length < judges.longer, is_longer, thinks_left)
            says_left = np.where(by_place < judges.first, order == judging.LEFT_FIRST, says_left)
            told = zip(ids, says_left.tolist(), strict=True)
            rows += [vote(identity, *sides(matchup), judge, order, says) for identity, says in told]
    return pl.DataFrame(rows, schema=VOTE_SCHEMA)


def vote(identity: str, left: str, right: str, judge: str, order: str, says_left: bool) -> dict[str, Any]:
    """A row of VOTE_SCHEMA, as far as outcomes need one."""
    return dict.fromkeys(VOTE_SCHEMA) | {
        "row_id": f"{identity}:{judge}:{order}",
        "instruction_id": identity,
        "left": left,
        "right": right,
        "judge": judge,
        "order": order,
        "evidence": "opinion",
        "status": "decided",
        "verdict": "left" if says_left else "right",
        "p_left": float(says_left),
        "p_right": float(not says_left),
    }


def sheets(
    judges: Judges, truth: Drawn, ids: list[str], chance: np.random.Generator
) -> Mapping[tuple[str, str], voting.TestReport]:
    """What everybody's tests say: the sheets of voting, from drawn outcomes."""
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
    return voting.test_reports(pl.DataFrame(tests, schema=generation.SCHEMA), pl.DataFrame(run, schema=execution.SCHEMA))
