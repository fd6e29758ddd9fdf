"""An arena whose judges are as good, and as biased, as we say: where does each rule break?

Nothing is asked of a model and nothing is run. Who is right, what judges say and what tests do is drawn; the votes then go
through the product's own functions, as everywhere.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from experiments.selection.rules import PAPER_ALPHA, Rule, hits, matrix, picks
from warrior_dagster.battles.judging import LEFT_FIRST, RIGHT_FIRST, VOTE_SCHEMA
from warrior_dagster.execution import results, voting, writing
from warrior_dagster.matchups import matchup_keys, sides
from warrior_dagster.settings.stages import Battles

ROSTER = ["ann", "bob", "cyd", "dan", "eve"]
SKILLS = (0.55, 0.5, 0.45, 0.4, 0.1)
"""The share of tasks that each gets right: four of a kind and a weak one, as in the experiment."""
TASKS, TESTS, REPEATS = 150, 5, 3
LENGTHS = 100.0
SHOWN = (
    *(Rule("opinions, soft", alpha) for alpha in (0.0, PAPER_ALPHA, 1.0)),
    Rule("execution", 0.0),
    Rule("both", 0.0),
)


@dataclass(frozen=True)
class Judges:
    """How good those who judge are."""

    accuracy: float = 0.75
    """The share of battles between a right and a wrong answer in which a judge that is not swayed sees which is which."""
    first: float = 0.0
    """The share of votes that go to whichever answer comes first."""
    longer: float = 0.0
    """The share of votes that go to the longer answer."""
    shared: float = 0.0
    """The share of battles of which all judges think the same: they are right or wrong together."""
    valid: float = 0.75
    """The share of tests that expect what is right; the others expect something wrong."""
    strict: float = 0.5
    """The share of wrong answers that a valid test finds."""
    same_mistake: float = 0.0
    """The share of wrong answers that pass an invalid test: they misunderstand the task as it does."""


SWEEPS: dict[str, tuple[Judges, str, str]] = {
    "judges see what is right": (Judges(), "accuracy", "share of battles that a judge sees rightly"),
    "all judges err together": (Judges(shared=1.0), "accuracy", "share of battles that all judges see rightly"),
    "the first answer sways": (Judges(), "first", "share of votes for whichever comes first"),
    "the longer answer sways": (Judges(), "longer", "share of votes for the longer"),
    "tests expect what is right": (Judges(), "valid", "share of tests that expect what is right"),
    "wrong answers share the tests' mistakes": (
        Judges(same_mistake=0.5),
        "valid",
        "share of tests that expect what is right",
    ),
}
STEPS = tuple(round(0.1 * step, 1) for step in range(11))


def sweep() -> Iterator[dict[str, Any]]:
    """A row a sweep, value and rule of SHOWN: `of_the_way`, from a random pick (0) to the oracle (1), over all repeats."""
    for name, (judges, varied, _) in SWEEPS.items():
        for value in STEPS:
            for rule, share in of_the_way(replace(judges, **{varied: value})).items():
                yield {"sweep": name, "varied": varied, "value": value, "rule": rule, "of_the_way": share}


def of_the_way(judges: Judges, repeats: int = REPEATS) -> dict[str, float]:
    """How far each rule of SHOWN gets from a random pick to the oracle."""
    names = [rule.name for rule in SHOWN]
    sums: dict[str, float] = dict.fromkeys((*names, "random", "oracle"), 0.0)
    for seed in range(repeats):
        found = arena(judges, seed)
        for name in sums:
            sums[name] += float(found[name].mean())
    return {name: (sums[name] - sums["random"]) / (sums["oracle"] - sums["random"]) for name in names}


def arena(judges: Judges, seed: int) -> dict[str, NDArray[np.float64]]:
    """What each rule gets right of one drawn arena; see rules.hits."""
    chance = np.random.default_rng(seed)
    truth = chance.random((TASKS, len(ROSTER))) < np.array(SKILLS)
    lengths = chance.exponential(LENGTHS, truth.shape).astype(int) + 1
    ids = [f"{place:032x}" for place in range(TASKS)]
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
    opinions, tested = opined(judges, truth, lengths, ids, chance), sheets(judges, truth, ids, chance)
    pairs = {m: pair(answers, ids, *sides(m)) for m in matchup_keys(ROSTER)}
    others = {m: [name for name in ROSTER if name not in sides(m)] for m in pairs}
    executed = {m: voting.vote(pairs[m], tested, others[m], *sides(m)) for m in pairs}
    battles = Battles.model_validate({"verdict": "direct", "votes": "soft", "evidence": "both"})
    chosen = picks(answers, pairs, opinions, executed, ROSTER, battles, SHOWN)
    right = pl.DataFrame(
        {"instruction_id": identity, "competitor": name, "right": bool(truth[place, column])}
        for place, identity in enumerate(ids)
        for column, name in enumerate(ROSTER)
    )
    return hits(matrix(answers, right, ids, ROSTER), answers, chosen, ids, ROSTER)


def pair(answers: pl.DataFrame, ids: list[str], left: str, right: str) -> pl.DataFrame:
    """The frame of judging.pairs."""
    frame = pl.DataFrame({"instruction_id": ids, "attacker": ROSTER[0], "instruction": ""})
    for side, name in (("left", left), ("right", right)):
        own = answers.filter(competitor=name).select(
            "instruction_id", pl.col("answer").alias(f"answer_{side}"), pl.col("completion_key").alias(f"key_{side}")
        )
        frame = frame.join(own, on="instruction_id")
    return frame


def opined(
    judges: Judges, truth: NDArray[np.bool_], lengths: NDArray[np.int64], ids: list[str], chance: np.random.Generator
) -> dict[str, pl.DataFrame]:
    """Every judge's two votes on every battle of each matchup."""
    votes = {}
    for matchup in matchup_keys(ROSTER):
        left, right = (ROSTER.index(name) for name in sides(matchup))
        rows = list[dict[str, Any]]()
        common = {kind: chance.random(len(ids)) for kind in ("is_shared", "sees")}
        for judge in (name for name in ROSTER if name not in sides(matchup)):
            is_shared = common["is_shared"] < judges.shared
            sees = np.where(is_shared, common["sees"], chance.random(len(ids))) < judges.accuracy
            differs = truth[:, left] != truth[:, right]
            thinks_left = np.where(differs, truth[:, left] == sees, chance.random(len(ids)) < 0.5)
            for order in (LEFT_FIRST, RIGHT_FIRST):
                swayed = chance.random(len(ids))
                says_left = np.where(swayed < judges.first, order == LEFT_FIRST, thinks_left)
                by_length = (swayed >= judges.first) & (swayed < judges.first + judges.longer * (1 - judges.first))
                says_left = np.where(by_length, lengths[:, left] > lengths[:, right], says_left)
                said = zip(ids, says_left.tolist(), strict=True)
                rows += [vote(identity, *sides(matchup), judge, order, says) for identity, says in said]
        votes[matchup] = pl.DataFrame(rows, schema=VOTE_SCHEMA)
    return votes


def vote(identity: str, left: str, right: str, judge: str, order: str, says_left: bool) -> dict[str, Any]:
    """A row of judging.VOTE_SCHEMA, as far as outcomes need one."""
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
    judges: Judges, truth: NDArray[np.bool_], ids: list[str], chance: np.random.Generator
) -> Mapping[tuple[str, str], voting.Sheet]:
    """What everybody's tests say: the sheets of voting, from drawn outcomes."""
    tests, run = list[dict[str, Any]](), list[dict[str, Any]]()
    for (place, identity), writer, number in product(enumerate(ids), ROSTER, range(TESTS)):
        name = f"{identity}:{writer}:{number:02}"
        common = {"row_id": name, "instruction_id": identity, "writer": writer, "test": name}
        tests.append(dict.fromkeys(writing.SCHEMA) | common | {"status": "ok", "reason": "", "completion_key": name})
        valid, drawn = chance.random() < judges.valid, chance.random(len(ROSTER))
        for column, competitor in enumerate(ROSTER):
            fooled = drawn[column] >= judges.strict if valid else drawn[column] < judges.same_mistake
            passes = valid if truth[place, column] else fooled
            outcome = results.PASSED if passes else "failed"
            answer = {"competitor": competitor, "outcome": outcome, "answer_key": f"{place}:{competitor}"}
            run.append(dict.fromkeys(results.SCHEMA) | common | answer)
    return voting.sheets(pl.DataFrame(tests, schema=writing.SCHEMA), pl.DataFrame(run, schema=results.SCHEMA))
