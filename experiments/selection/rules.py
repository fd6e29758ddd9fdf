"""The rules that pick an answer to each task. The product's own functions decide; a rule only says which evidence counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import polars as pl

from warrior_dagster.config.battles import BEHAVIOUR, EXECUTION, OPINION, Battles, Weights
from warrior_dagster.config.matchups import sides
from warrior_dagster.config.stages import Ratings
from warrior_dagster.stages.battles import outcomes as counting
from warrior_dagster.stages.ratings import leaderboard, scores

ALPHAS = (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)
PAPER_ALPHA = 0.7
Votes = Mapping[str, Mapping[str, pl.DataFrame]]
"""The votes, rows of VOTE_SCHEMA, by kind of evidence and matchup."""


@dataclass(frozen=True)
class Kind:
    """What counts as a vote, and how battles are decided by it."""

    evidence: tuple[str, ...]
    combine: Literal["first", "sum"] = "first"
    votes: Literal["hard", "soft"] = "soft"
    ties: Literal["rating", "length"] = "rating"
    """What decides between equal scores: the rating, as in the product, or the shorter answer, as it was before."""


KINDS = {
    "opinions, hard": Kind((OPINION,), votes="hard"),
    "opinions, soft": Kind((OPINION,)),
    "tests, ties to the shorter": Kind((EXECUTION,), ties="length"),
    "tests": Kind((EXECUTION,)),
    "behaviour": Kind((BEHAVIOUR,)),
    "tests, then behaviour": Kind((EXECUTION, BEHAVIOUR)),
    "tests plus behaviour": Kind((EXECUTION, BEHAVIOUR), combine="sum"),
    "tests, behaviour, then opinions": Kind((EXECUTION, BEHAVIOUR, OPINION)),
    "opinions plus tests": Kind((OPINION, EXECUTION), combine="sum"),
    "all three added": Kind((OPINION, EXECUTION, BEHAVIOUR), combine="sum"),
}
MEASURED = "tests, then behaviour"
"""The kind of evidence of the measure that README.md names, with alpha 0."""
BEFORE = "tests, ties to the shorter"
"""The project's rule before there were behaviours."""


@dataclass(frozen=True)
class Rule:
    """One way to pick: what counts as a vote, the rating method, and the weight of the ratings."""

    kind: str
    alpha: float
    method: Literal["elo", "bradley_terry"] = "elo"

    @property
    def name(self) -> str:
        weight = {0.0: "votes only", 1.0: "ratings only"}.get(self.alpha, f"alpha {self.alpha:g}")
        return f"{self.kind}; {weight}" + ("; Bradley-Terry" if self.method == "bradley_terry" else "")


RULES = (*(Rule(kind, alpha) for kind, alpha in product(KINDS, ALPHAS)),)


def scored(
    answers: pl.DataFrame,
    pairs: Mapping[str, pl.DataFrame],
    votes: Votes,
    roster: list[str],
    settings: Battles,
    ratings: Ratings,
    *,
    rules: Sequence[Rule] = RULES,
) -> dict[Rule, pl.DataFrame]:
    """All answers with their score and rank by each rule whose kinds of evidence are all in `votes`.

    If votes are added, the kinds are weighted by their numbers of votes, so that each has the same weight.
    """
    found = {}
    for name in dict.fromkeys(rule.kind for rule in rules if set(KINDS[rule.kind].evidence) <= set(votes)):
        outcomes = outcomes_of(KINDS[name], pairs, votes, settings)
        of_method = {
            method: rated(outcomes, roster, method, ratings) for method in {rule.method for rule in rules if rule.kind == name}
        }
        for rule in (rule for rule in rules if rule.kind == name):
            found[rule] = scores.final_scores(outcomes, of_method[rule.method], answers, roster, alpha=rule.alpha)
    return found


def picks(by_rule: Mapping[Rule, pl.DataFrame], answers: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The competitor whose answer each rule picks, by instruction, from what `scored` gives; by the rules' names."""
    return {
        rule.name: rows.filter("gold") if KINDS[rule.kind].ties == "rating" else shortest_of_best(rows, answers)
        for rule, rows in by_rule.items()
    }


def outcomes_of(kind: Kind, pairs: Mapping[str, pl.DataFrame], votes: Votes, settings: Battles) -> pl.DataFrame:
    """The outcomes of all battles by one kind of evidence."""
    changed = {
        "evidence": kind.evidence,
        "combine": kind.combine,
        "votes": kind.votes,
        "weights": equal_weights({one: votes[one] for one in kind.evidence}),
    }
    counted = settings.model_copy(update=changed)
    tallied = [
        counting.weighted_outcomes(pairs[m], [votes[one][m] for one in kind.evidence], *sides(m), counted)
        for m in sorted(pairs)  # the product's order, because Elo in one pass depends on it
    ]
    return pl.concat(tallied).drop_nulls("outcome")


def shortest_of_best(rows: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """The best answer of each instruction, of equal scores the shortest."""
    lengths = answers.select("instruction_id", "competitor", length=pl.col("answer").str.len_chars())
    ordered = rows.join(lengths, on=["instruction_id", "competitor"]).sort(
        "score", "length", "competitor", descending=[True, False, False]
    )
    return ordered.unique("instruction_id", keep="first", maintain_order=True)


def judges_of(matchup: str, roster: list[str]) -> list[str]:
    """The competitors that may judge a matchup: all but its two sides."""
    return [name for name in roster if name not in sides(matchup)]


def rated(outcomes: pl.DataFrame, roster: list[str], method: str, values: Ratings) -> dict[str, float]:
    """The ratings of one method."""
    settings = values.model_copy(update={"method": method, "bootstrap_rounds": 0})
    return dict(leaderboard.rate(outcomes, roster, settings).select("competitor", "rating").iter_rows())


def equal_weights(votes: Votes) -> Weights:
    """Weights that make all votes of each kind together count the same, abstentions included."""
    totals = {kind: sum(map(len, own.values())) for kind, own in votes.items()}
    most = max(totals.values(), default=0)
    return Weights(**{kind: most / total for kind, total in totals.items() if total})
