"""A simulated arena with judges of chosen accuracy and bias: where does each rule break?

No model is called and no code is run. Right answers, votes, test outcomes and what answers return are drawn at random
(drawn.py); the product's own functions count the votes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from experiments.selection.drawn import (
    Judges,
    behaviour_votes,
    drawn_answers,
    exam_rows,
    opinion_votes,
    suite_reports,
)
from experiments.selection.measures import Hits, baselines, hits_of
from experiments.selection.rules import PAPER_ALPHA, Rule, judges_of, picks, scored
from warrior_dagster.config.battles import BEHAVIOUR, EXECUTION, OPINION, Battles
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.config.stages import Ratings
from warrior_dagster.judge_weights import weights
from warrior_dagster.stages.battles import outcomes, pairing
from warrior_dagster.stages.battles.unit_tests import voting
from warrior_dagster.stages.ratings import scores
from warrior_dagster.stages.ratings.elo import bradley_terry

REPEATS = 16
SHOWN = (
    *(Rule("opinions, hard", alpha) for alpha in (0.0, PAPER_ALPHA, 1.0)),
    *(Rule(kind, 0.0) for kind in ("tests", "behaviour", "tests, then behaviour", "all three added")),
)
SHARES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0)
SWEEPS: dict[str, tuple[Judges, str, str, Sequence[float]]] = {
    "judges see what is right": (Judges(), "accuracy", "share of battles that a judge sees rightly", SHARES),
    "all judges err together": (Judges(shared=1.0), "accuracy", "share of battles that all judges see rightly", SHARES),
    "the first answer sways": (Judges(), "first", "share of votes for whichever comes first", SHARES),
    "the longer answer sways": (Judges(), "longer", "share of votes for the longer", SHARES),
    "writers of tests understand the task": (Judges(), "understood", "share of tasks that a writer understands", SHARES),
    "all writers misunderstand together": (Judges(writers_shared=1.0), "understood", "share that all understand", SHARES),
    "wrong answers share the tests' mistake": (Judges(understood=0.5), "same_mistake", "share of wrong answers", SHARES),
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
            varied_judges = replace(judges, **{varied: value})  # type: ignore[arg-type]
            for rule, shares in random_to_oracle(varied_judges).items():
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
    chance, roster = np.random.default_rng(seed), judges.roster
    ids, truth, lengths, answers = drawn_answers(roster, chance)
    selected = pl.DataFrame({"instruction_id": ids, "competitor": roster[0], "instruction": ""})
    pairs = {m: pairing.pairs(selected, answers, *sides(m), "all") for m in matchup_keys(roster)}
    reports = suite_reports(judges, truth, ids, chance)
    votes = {
        OPINION: {m: opinion_votes(judges, m, truth, lengths, ids, chance) for m in pairs},
        EXECUTION: {m: voting.vote(pairs[m], reports, judges_of(m, roster), *sides(m)) for m in pairs},
        BEHAVIOUR: behaviour_votes(judges, pairs, truth, ids, chance),
    }
    battles = Battles.model_validate({"verdict": "direct", "votes": "soft"})
    chosen = picks(scored(answers, pairs, votes, roster, battles, Ratings(orders="one"), rules=SHOWN), answers)
    right = truth.astype(float)
    loads = answers.select("instruction_id", "completion_key", loads=True)
    rules = {name: hits_of(picked, right, ids, roster) for name, picked in chosen.items()}
    return baselines(right, answers, loads, ids, roster) | rules


def weighing(accuracies: Mapping[str, float], asked: int, seed: int, alpha: float = 0.0) -> dict[str, float]:
    """How far opinions of judges with these accuracies get from a random pick (0) to the oracle (1) in one simulated arena:
    `equal` votes, and votes `weighted` by an exam of so many questions for each judge. Judges that compete do not judge
    themselves; judges by other names judge every battle. `alpha` is the weight of Bradley-Terry's ratings.
    """
    chance = np.random.default_rng(seed)
    roster = Judges().roster
    ids, truth, lengths, answers = drawn_answers(roster, chance)
    selected = pl.DataFrame({"instruction_id": ids, "competitor": roster[0], "instruction": ""})
    exams = exam_rows(accuracies, asked, chance)
    given = {"equal": None, "weighted": weights(exams, accuracies, "hard")}
    counted = dict[str, list[pl.DataFrame]]((name, []) for name in given)
    for m in matchup_keys(roster):
        pairs = pairing.pairs(selected, answers, *sides(m), "all")
        votes = pl.concat(
            opinion_votes(Judges(accuracy=own), m, truth, lengths, ids, chance, [name])
            for name, own in accuracies.items()
            if name not in sides(m)
        )
        for name, of_judges in given.items():
            counted[name].append(outcomes.outcomes(pairs, votes, *sides(m), "hard", of_judges))
    found = baselines(truth.astype(float), answers, answers.select("instruction_id", "completion_key", loads=True), ids, roster)
    random, oracle = found["random"].mean(), found["oracle"].mean()
    shares = dict[str, float]()
    for name, frames in counted.items():
        battles = pl.concat(frames)
        ratings = bradley_terry(battles.select("left", "right", "outcome"), roster, initial=0.0)
        picked = scores.final_scores(battles, ratings, answers, roster, alpha=alpha).filter("gold")
        own = hits_of(picked, truth.astype(float), ids, roster).mean()
        shares[name] = float((own - random) / (oracle - random))
    return shares
