"""The rules that pick an answer to each task, and how often what they pick is right."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from warrior_dagster.config.matchups import sides
from warrior_dagster.config.stages import Battles, Ratings, Weights
from warrior_dagster.stages.battles import outcomes as counting
from warrior_dagster.stages.ratings import elo, scores

ALPHAS = tuple(round(0.1 * step, 1) for step in range(11))
PAPER_ALPHA = 0.7
ROUNDS = 10_000
Hits = NDArray[np.float64]
"""Of each task, or of each task and competitor, the share that is right."""


@dataclass(frozen=True)
class Kind:
    """What counts as a vote."""

    evidence: Literal["opinion", "execution", "both"]
    votes: Literal["hard", "soft"] = "soft"
    fallback: bool = True
    """Whether opinions decide where no test does."""
    one_writer: bool = False
    """Whether only the tests of one judge count, the one that gives opinions: the first outside a matchup."""


KINDS = {
    "opinions, hard": Kind("opinion", "hard"),
    "opinions, soft": Kind("opinion"),
    "tests alone": Kind("execution", fallback=False),
    "tests of one judge": Kind("execution", fallback=False, one_writer=True),
    "tests, else opinions": Kind("execution"),
    "both": Kind("both"),
}
MEASURE = "tests alone; votes only"
"""The rule that README.md names as the measure."""
WITHOUT_OPINIONS = [name for name, kind in KINDS.items() if kind.evidence == "execution" and not kind.fallback]


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
    ratings: Ratings,
    *,
    rules: Sequence[Rule] = RULES,
    seeds: Sequence[int] = (0,),
) -> dict[str, list[pl.DataFrame]]:
    """Of each rule by name the competitor whose answer it picks, an instruction a row, for each seed of Elo's order of battles;
    the product's own functions decide.

    `both` weighs the two kinds by how many votes there are of each, so that opinions and tests count alike.
    """
    given = answers.with_columns(length=pl.col("answer").str.len_chars())
    chosen = {}
    for name in dict.fromkeys(rule.kind for rule in rules):
        kind = KINDS[name]
        changed = {"evidence": kind.evidence, "votes": kind.votes, "weights": alike(opinions, executed)}
        counted = settings.model_copy(update=changed)
        heard = {m: votes if kind.fallback else votes.clear() for m, votes in opinions.items()}
        tests = {m: votes.filter(judge=outside(m, roster)[0]) if kind.one_writer else votes for m, votes in executed.items()}
        tallied = [
            counting.outcomes(pairs[m], heard[m], *sides(m), kind.votes)
            if kind.evidence == "opinion"
            else counting.weighted_outcomes(pairs[m], [heard[m], tests[m]], *sides(m), counted)
            for m in sorted(pairs)  # as the product reads them: Elo depends on the order
        ]
        outcomes = pl.concat(tallied).drop_nulls("outcome")
        for rule in (rule for rule in rules if rule.kind == name):
            chosen[rule.name] = [
                scores.final_scores(
                    outcomes, rated(outcomes, roster, rule, ratings, seed), given, roster, alpha=rule.alpha
                ).filter("gold")
                for seed in (seeds if rule.alpha > 0 and rule.method == "elo" else seeds[:1])
            ]
    return chosen


def outside(matchup: str, roster: list[str]) -> list[str]:
    """Who may judge a matchup."""
    return [name for name in roster if name not in sides(matchup)]


def rated(outcomes: pl.DataFrame, roster: list[str], rule: Rule, values: Ratings, seed: int) -> dict[str, float]:
    """The ratings of one rule."""
    if rule.method == "bradley_terry":
        return elo.bradley_terry(outcomes, roster, initial=values.initial)
    return elo.elo(outcomes, roster, k=values.k, initial=values.initial, seed=seed)


def alike(opinions: Mapping[str, pl.DataFrame], executed: Mapping[str, pl.DataFrame]) -> Weights:
    """Weights with which all opinions together count as much as all votes of tests, abstentions included."""
    given, tests = (sum(map(len, votes.values())) for votes in (opinions, executed))
    return Weights(opinion=1.0, execution=given / max(tests, 1) or 1.0)


def matrix(answers: pl.DataFrame, right: pl.DataFrame, ids: list[str], roster: list[str]) -> Hits:
    """1 for a right answer, 0 for a wrong one and where there is none that is usable; shape (tasks, competitors)."""
    found = np.zeros((len(ids), len(roster)))
    told = answers.filter("usable").join(right, on=["instruction_id", "competitor"])
    for identity, name, is_right in told.select("instruction_id", "competitor", "right").iter_rows():
        found[ids.index(identity), roster.index(name)] = is_right
    return found


def hits(
    truth: Hits,
    answers: pl.DataFrame,
    right: pl.DataFrame,
    chosen: Mapping[str, Sequence[pl.DataFrame]],
    ids: list[str],
    roster: list[str],
) -> dict[str, Hits]:
    """Of each rule, and of what it is compared with, the share of each task that it gets right, over the seeds."""
    usable = answers.filter("usable")
    counts = dict(usable.group_by("instruction_id").len().iter_rows())
    by_length = usable.sort(pl.col("answer").str.len_chars(), pl.col("competitor").cast(pl.Enum(roster)))
    loading = by_length.join(right.filter("loads"), on=["instruction_id", "competitor"], how="semi", maintain_order="left")
    simple = {"shortest": by_length, "shortest that loads": loading}
    found = {name: truth[:, place] for place, name in enumerate(roster)}
    found["random"] = truth.sum(axis=1) / np.array([max(counts.get(one, 0), 1) for one in ids])
    first = {name: [frame.unique("instruction_id", keep="first", maintain_order=True)] for name, frame in simple.items()}
    for name, frames in {**first, **chosen}.items():
        found[name] = np.zeros(len(ids))
        for frame in frames:
            for identity, competitor in frame.select("instruction_id", "competitor").iter_rows():
                found[name][ids.index(identity)] += truth[ids.index(identity), roster.index(competitor)]
        found[name] /= len(frames)
    found["oracle"] = truth.max(axis=1)
    return found


def table(found: Mapping[str, Hits], truth: Hits, roster: list[str], seed: int = 0) -> pl.DataFrame:
    """A row a rule: pass rate, points over the best single competitor and share of the way from it to the oracle (null where
    these are one), each with a 95 % percentile interval over resampled tasks; how many tasks are `won` and `lost` to the best
    competitor; and the share right where answers differ.

    The picks and the best competitor are those of all tasks, in each resampling too: the intervals are about other tasks, not
    about other votes. A resampling that leaves nothing between best and oracle says nothing of the way between them.
    """
    best = found[max(roster, key=lambda name: found[name].mean())]
    draws = np.random.default_rng(seed).integers(len(best), size=(ROUNDS, len(best)))
    differ = (truth.min(axis=1) == 0) & (truth.max(axis=1) == 1)
    gap = found["oracle"] - best

    def row(name: str, own: Hits) -> dict[str, Any]:
        measures: dict[str, Callable[[Any], Any]] = {
            "pass_rate": lambda d: own[d].mean(axis=-1),
            "over_best": lambda d: (own - best)[d].mean(axis=-1),
            "best_to_oracle": lambda d: (own - best)[d].sum(axis=-1) / np.where(ways := gap[d].sum(axis=-1), ways, np.nan),
        }
        values: dict[str, Any] = {"rule": name, "tasks": len(own)}
        for measure, of in measures.items():
            told: list[float | None] = [None] * 3
            if measure != "best_to_oracle" or gap.any():
                told = [float(of(np.arange(len(own)))), *np.nanquantile(of(draws), (0.025, 0.975)).tolist()]
            values |= dict(zip((measure, f"{measure}_low", f"{measure}_high"), told, strict=True))
        beaten = {"won": float((own - best).clip(0).sum()), "lost": float((best - own).clip(0).sum())}
        return values | beaten | {"right_where_they_differ": float(own[differ].mean()) if differ.any() else None}

    schema = {f"best_to_oracle{end}": pl.Float64 for end in ("", "_low", "_high")} | {"right_where_they_differ": pl.Float64}
    return pl.DataFrame([row(name, own) for name, own in found.items()], schema_overrides=schema)


def missed(
    picked: pl.DataFrame, executed: Mapping[str, pl.DataFrame], truth: Hits, ids: list[str], roster: list[str]
) -> dict[str, int]:
    """In how many tasks a rule `missed` a right answer that there was, and in how many of these no test told the picked answer
    from any right one (`missed_untold`).
    """
    told = {
        (identity, frozenset(sides(m)))
        for m, votes in executed.items()
        for identity in votes.filter(pl.col("p_left") != 0.5)["instruction_id"]
    }
    places = [(ids.index(one), roster.index(name)) for one, name in picked.select("instruction_id", "competitor").iter_rows()]
    wrong = [(task, own) for task, own in places if not truth[task, own] and truth[task].any()]
    untold = [
        not any((ids[task], frozenset({roster[own], roster[other]})) in told for other in np.flatnonzero(truth[task]))
        for task, own in wrong
    ]
    return {"missed": len(wrong), "missed_untold": sum(untold)}


def verdicts(votes: Mapping[str, pl.DataFrame], right: pl.DataFrame) -> pl.DataFrame:
    """Of each judge and kind of evidence: the `battles` between a right and a wrong answer, the share in which it `said`
    anything, the share of these in which it was right, on its mean over both orders, one half if that is none; and the share
    of all in which it was, silence being one half too.
    """
    truth = right.select("instruction_id", "competitor", "right")
    battle = ["instruction_id", "left", "right", "evidence", "judge"]
    together = pl.concat(list(votes.values())).group_by(battle).agg(leaning=pl.col("p_left").mean())
    for side in ("left", "right"):
        of_side = truth.rename({"competitor": side, "right": f"{side}_is_right"})
        together = together.join(of_side, on=["instruction_id", side])
    telling = together.filter(pl.col("left_is_right") != pl.col("right_is_right"))
    toward = pl.when("left_is_right").then("leaning").otherwise(1 - pl.col("leaning"))
    hit = pl.when((toward - 0.5).abs() < counting.TIE_WITHIN).then(0.5).otherwise((toward > 0.5).cast(pl.Float64))
    said = pl.col("leaning").is_not_null()
    counted = telling.group_by("evidence", "judge").agg(
        battles=pl.len(),
        said=said.mean(),
        right_where_said=hit.filter(said).mean(),
        right_in_all=pl.when(said).then(hit).otherwise(0.5).mean(),
    )
    return counted.sort("evidence", "judge", descending=[True, False])
