"""The rules that pick an answer to each task, and how often what they pick is right."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from warrior_dagster.battles import judging
from warrior_dagster.execution import voting
from warrior_dagster.matchups import sides
from warrior_dagster.ratings import elo, scores
from warrior_dagster.settings.stages import Battles, Ratings, Weights

ALPHAS = tuple(round(0.1 * step, 1) for step in range(11))
PAPER_ALPHA = 0.7
ROUNDS = 10_000
Hits = NDArray[np.float64]
"""Of each task, or of each task and competitor, the share that is right."""
KINDS: dict[str, tuple[Literal["opinion", "execution", "both"], Literal["hard", "soft"]]] = {
    "opinions, hard": ("opinion", "hard"),
    "opinions, soft": ("opinion", "soft"),
    "execution": ("execution", "soft"),
    "both": ("both", "soft"),
}


@dataclass(frozen=True)
class Rule:
    """One way to pick: what counts as a vote, what rates, and how much the ratings say."""

    kind: str
    alpha: float
    method: Literal["elo", "bradley_terry"] = "elo"

    @property
    def name(self) -> str:
        said = {0.0: "votes only", 1.0: "ratings only"}.get(self.alpha, f"alpha {self.alpha:g}")
        return f"{self.kind}; {said}" + ("; Bradley-Terry" if self.method == "bradley_terry" else "")


RULES = (
    *(Rule(kind, alpha) for kind, alpha in product(KINDS, ALPHAS)),
    *(Rule(kind, PAPER_ALPHA, "bradley_terry") for kind in KINDS),
)


def picks(
    answers: pl.DataFrame,
    pairs: Mapping[str, pl.DataFrame],
    opinions: Mapping[str, pl.DataFrame],
    executed: Mapping[str, pl.DataFrame],
    roster: list[str],
    settings: Battles,
    rules: Sequence[Rule] = RULES,
) -> dict[str, pl.DataFrame]:
    """Of each rule by name the competitor whose answer it picks, an instruction a row; the product's own functions decide.

    `both` weighs the two kinds by the votes that there are of each, so that opinions and tests count alike.
    """
    given = answers.with_columns(length=pl.col("answer").str.len_chars())
    chosen = {}
    for kind in dict.fromkeys(rule.kind for rule in rules):
        evidence, how = KINDS[kind]
        changed = {"evidence": evidence, "votes": how, "weights": alike(opinions, executed)}
        counted = settings.model_copy(update=changed)
        tallied = [
            judging.outcomes(pairs[m], opinions[m], *sides(m), how)
            if evidence == "opinion"
            else voting.outcomes(pairs[m], [opinions[m], executed[m]], *sides(m), counted)
            for m in pairs
        ]
        outcomes = pl.concat([frame.drop("^from_.*$") for frame in tallied]).drop_nulls("outcome")
        for rule in (rule for rule in rules if rule.kind == kind):
            scored = scores.final_scores(outcomes, rated(outcomes, roster, rule), given, roster, alpha=rule.alpha)
            chosen[rule.name] = scored.filter("gold").select("instruction_id", "competitor")
    return chosen


def rated(outcomes: pl.DataFrame, roster: list[str], rule: Rule) -> dict[str, float]:
    """The ratings, with the arena's default values."""
    values = Ratings()
    if rule.method == "bradley_terry":
        return elo.bradley_terry(outcomes, roster, initial=values.initial)
    return elo.elo(outcomes, roster, k=values.k, initial=values.initial, seed=values.seed)


def alike(opinions: Mapping[str, pl.DataFrame], executed: Mapping[str, pl.DataFrame]) -> Weights:
    """Weights with which all opinions together count as much as all votes of tests, abstentions included."""
    given, tests = (sum(map(len, votes.values())) for votes in (opinions, executed))
    return Weights(opinion=1.0, execution=given / max(tests, 1) or 1.0)


def matrix(answers: pl.DataFrame, right: pl.DataFrame, ids: list[str], roster: list[str]) -> Hits:
    """1 for a right answer, 0 for a wrong one, NaN where there is none that is usable; shape (tasks, competitors)."""
    found = np.full((len(ids), len(roster)), np.nan)
    told = answers.filter("usable").join(right, on=["instruction_id", "competitor"])
    for identity, name, is_right in told.select("instruction_id", "competitor", "right").iter_rows():
        found[ids.index(identity), roster.index(name)] = is_right
    return found


def hits(
    truth: Hits, answers: pl.DataFrame, chosen: Mapping[str, pl.DataFrame], ids: list[str], roster: list[str]
) -> dict[str, Hits]:
    """Of each rule, and of what it is compared with, the share of each task that it gets right."""
    found = {name: np.nan_to_num(truth[:, place]) for place, name in enumerate(roster)}
    found["random"] = np.nan_to_num(np.nanmean(truth, axis=1)) if truth.size else truth.sum(axis=1)
    found["shortest"] = np.zeros(len(ids))
    shortest = (
        answers.filter("usable")
        .sort(pl.col("answer").str.len_chars(), pl.col("competitor").cast(pl.Enum(roster)))
        .unique("instruction_id", keep="first", maintain_order=True)
    )
    for name, frame in {"shortest": shortest, **chosen}.items():
        found[name] = np.zeros(len(ids))
        for identity, competitor in frame.select("instruction_id", "competitor").iter_rows():
            found[name][ids.index(identity)] = np.nan_to_num(truth[ids.index(identity), roster.index(competitor)])
    found["oracle"] = np.nanmax(np.nan_to_num(truth), axis=1)
    return found


def table(found: Mapping[str, Hits], truth: Hits, roster: list[str], seed: int = 0) -> pl.DataFrame:
    """A row a rule: pass rate, points over the best single competitor, share of the way from it to the oracle, each with a 95 %
    percentile interval over resampled tasks; and the share right of the tasks where the answers differ.

    The best competitor is that of all tasks, in each resampling too.
    """
    best = found[max(roster, key=lambda name: found[name].mean())]
    draws = np.random.default_rng(seed).integers(len(best), size=(ROUNDS, len(best)))
    differ = (np.nanmin(truth, axis=1) == 0) & (np.nanmax(truth, axis=1) == 1)

    def row(name: str, own: Hits) -> dict[str, Any]:
        over, gap = own - best, found["oracle"] - best
        measures: dict[str, Callable[[Any], Any]] = {
            "pass_rate": lambda d: own[d].mean(axis=-1),
            "over_best": lambda d: over[d].mean(axis=-1),
            "of_the_way": lambda d: over[d].sum(axis=-1) / np.maximum(gap[d].sum(axis=-1), 1e-9),
        }
        values: dict[str, Any] = {"rule": name}
        for measure, of in measures.items():
            low, high = np.quantile(of(draws), (0.025, 0.975))
            values |= {measure: float(of(np.arange(len(own)))), f"{measure}_low": low, f"{measure}_high": high}
        return values | {"right_where_they_differ": float(own[differ].mean()), "differ": int(differ.sum())}

    return pl.DataFrame([row(name, own) for name, own in found.items()])


def verdicts(votes: Mapping[str, pl.DataFrame], right: pl.DataFrame) -> pl.DataFrame:
    """Of battles between a right and a wrong answer: how many votes each judge gave, and which share was for the right one.

    A tie is half right; an abstention is no vote, and `said` the share that was none.
    """
    truth = right.select("instruction_id", "competitor", "right")
    together = pl.concat(list(votes.values()))
    for side in ("left", "right"):
        of_side = truth.rename({"competitor": side, "right": f"{side}_is_right"})
        together = together.join(of_side, on=["instruction_id", side])
    telling = together.filter(pl.col("left_is_right") != pl.col("right_is_right"))
    hit = pl.when("left_is_right").then("p_left").otherwise("p_right").round()
    hit = pl.when(pl.col("p_left") == 0.5).then(0.5).otherwise(hit)
    return (
        telling.group_by("evidence", "judge")
        .agg(votes=pl.len(), said=pl.col("p_left").is_not_null().mean(), right=hit.drop_nulls().mean())
        .sort("evidence", "judge", descending=[True, False])
    )
