"""Answers, votes, results of tests and returned values that are drawn at random, with chosen accuracy and biases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from experiments.selection.rules import judges_of
from warrior_dagster.config.matchups import sides
from warrior_dagster.stages.battles.behaviours import voting as behaviours
from warrior_dagster.stages.battles.behaviours.agreement import RETURNED
from warrior_dagster.stages.battles.opinions import exam, judging
from warrior_dagster.stages.battles.unit_tests import execution, generation, voting
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA

ROSTER = ["ann", "bob", "cyd", "dan", "eve", "fay", "gil", "hal"]
SKILLS = (0.55, 0.5, 0.45, 0.4, 0.1, 0.5, 0.45, 0.4)
"""The share of tasks that each competitor gets right: the first five are four of similar skill and a weak one."""
CORRELATION = 0.6
"""Correlation of the difficulty of a task between competitors: some tasks are hard for all."""
TASKS, TESTS, INPUTS = 150, 5, 10
LENGTHS = 100.0
Drawn = NDArray[np.bool_]


@dataclass(frozen=True)
class Judges:
    """The accuracy and the biases of judges, of their tests, and of what answers return."""

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
    """The share of wrong answers to a task that make one common mistake, and return the same; the others err each alone."""
    telling: float = 0.5
    """The share of inputs on which a mistake shows; on the others a wrong answer returns what a right one returns."""
    competitors: int = 5
    """The number of competitors."""

    @property
    def roster(self) -> list[str]:
        """The competitors, who are the judges too."""
        return ROSTER[: self.competitors]


def drawn_answers(roster: list[str], chance: np.random.Generator) -> tuple[list[str], Drawn, NDArray[np.int64], pl.DataFrame]:
    """The tasks, which answers are right and how long they are (tasks, competitors), and the answers."""
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
    return ids, truth, lengths, answers


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
    left, right = (judges.roster.index(name) for name in sides(matchup))
    differs, is_longer = truth[:, left] != truth[:, right], lengths[:, left] > lengths[:, right]
    is_shared, common_accuracy, common_side = chance.random((3, len(ids)))
    rows = list[dict[str, Any]]()
    for judge in panel or judges_of(matchup, judges.roster):
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
    for (place, identity), (writer, name), number in product(enumerate(ids), enumerate(judges.roster), range(TESTS)):
        test = f"{identity}:{name}:{number:02}"
        common = {"row_id": test, "instruction_id": identity, "writer": name, "test": test}
        tests.append(dict.fromkeys(generation.SCHEMA) | common | {"status": "ok", "reason": "", "completion_key": test})
        found = chance.random(len(judges.roster)) < judges.strict
        passes = truth[place] | ~found if understood[place, writer] else mistaken[place]
        for competitor, passed in zip(judges.roster, passes.tolist(), strict=True):
            outcome = execution.PASSED if passed else "failed"
            answer = {"competitor": competitor, "outcome": outcome, "answer_key": f"{place}:{competitor}"}
            run.append(dict.fromkeys(execution.SCHEMA) | common | answer)
    return voting.suite_reports(pl.DataFrame(tests, schema=generation.SCHEMA), pl.DataFrame(run, schema=execution.SCHEMA))


def behaviour_votes(
    judges: Judges, pairs: Mapping[str, pl.DataFrame], truth: Drawn, ids: list[str], chance: np.random.Generator
) -> dict[str, pl.DataFrame]:
    """The votes by what answers return on INPUTS inputs, by matchup."""
    count = truth.shape[1]
    common = chance.random(truth.shape) < judges.common_mistake
    mistake = np.where(common, count, np.arange(count))
    shows = chance.random((len(ids), count + 1, INPUTS)) < judges.telling
    observed = pl.DataFrame(
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
        for column, name in enumerate(judges.roster)
        for number in range(INPUTS)
        for is_wrong in (not truth[place, column] and shows[place, mistake[place, column], number],)
    )
    standing, weights = behaviours.behaviours(observed), dict.fromkeys(judges.roster, 1.0)
    inputs = dict.fromkeys(ids, frozenset(f"f({number})" for number in range(INPUTS)))
    return {m: behaviours.vote(own, standing, inputs, {}, *sides(m), weights) for m, own in pairs.items()}
