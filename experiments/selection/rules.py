"""The rules that pick an answer to each task, and how often the picked answer is right."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from warrior_dagster.config.battles import Battles, Weights
from warrior_dagster.config.matchups import sides
from warrior_dagster.config.stages import Ratings
from warrior_dagster.stages.battles import outcomes as counting
from warrior_dagster.stages.ratings import leaderboard, scores

ALPHAS = tuple(round(0.1 * step, 1) for step in range(11))
PAPER_ALPHA = 0.7
ROUNDS = 10_000
Hits = NDArray[np.float64]
"""The share that is right, with shape (tasks,) or (tasks, competitors)."""


COUNTED_BY: dict[str, dict[str, Any]] = {
    "opinion": {"evidence": ("opinion",)},
    "execution": {"evidence": ("execution", "opinion"), "combine": "first"},
    "both": {"evidence": ("opinion", "execution"), "combine": "sum"},
}


@dataclass(frozen=True)
class Kind:
    """What counts as a vote."""

    evidence: Literal["opinion", "execution", "both"]
    votes: Literal["hard", "soft"] = "soft"
    fallback: bool = True
    """Whether opinions decide where no test does."""
    one_writer: bool = False
    """Whether only the tests of the judge that gives opinions count: the first outside a matchup."""


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
    """One way to pick: what counts as a vote, the rating method, and the weight of the ratings."""

    kind: str
    alpha: float
    method: Literal["elo", "bradley_terry"] = "elo"

    @property
    def name(self) -> str:
        weight = {0.0: "votes only", 1.0: "ratings only"}.get(self.alpha, f"alpha {self.alpha:g}")
        return f"{self.kind}; {weight}" + ("; Bradley-Terry" if self.method == "bradley_terry" else "")


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
    """The competitor whose answer each rule picks, by instruction. A rule has one frame per seed of Elo's order of battles. The
    product's own functions decide.

    `both` weights the two kinds by their numbers of votes, so that opinions and tests have equal weight.
    """
    chosen = {}
    for name in dict.fromkeys(rule.kind for rule in rules):
        kind = KINDS[name]
        changed = {**COUNTED_BY[kind.evidence], "votes": kind.votes, "weights": equal_weights(opinions, executed)}
        counted = settings.model_copy(update=changed)
        used_opinions = {m: votes if kind.fallback else votes.clear() for m, votes in opinions.items()}
        tests = {m: votes.filter(judge=judges_of(m, roster)[0]) if kind.one_writer else votes for m, votes in executed.items()}
        tallied = [
            counting.outcomes(pairs[m], used_opinions[m], *sides(m), kind.votes)
            if kind.evidence == "opinion"
            else counting.weighted_outcomes(pairs[m], [used_opinions[m], tests[m]], *sides(m), counted)
            for m in sorted(pairs)  # the product's order, because Elo depends on it
        ]
        outcomes = pl.concat(tallied).drop_nulls("outcome")
        for rule in (rule for rule in rules if rule.kind == name):
            chosen[rule.name] = [
                scores.final_scores(
                    outcomes, rated(outcomes, roster, rule, ratings, seed), answers, roster, alpha=rule.alpha
                ).filter("gold")
                for seed in (seeds if rule.alpha > 0 and rule.method == "elo" else seeds[:1])
            ]
    return chosen


def judges_of(matchup: str, roster: list[str]) -> list[str]:
    """The competitors that may judge a matchup: all but its two sides."""
    return [name for name in roster if name not in sides(matchup)]


def rated(outcomes: pl.DataFrame, roster: list[str], rule: Rule, values: Ratings, seed: int) -> dict[str, float]:
    """The ratings of one rule."""
    settings = values.model_copy(update={"method": rule.method, "seed": seed, "bootstrap_rounds": 0})
    return dict(leaderboard.rate(outcomes, roster, settings).select("competitor", "rating").iter_rows())


def equal_weights(opinions: Mapping[str, pl.DataFrame], executed: Mapping[str, pl.DataFrame]) -> Weights:
    """Weights that make all opinions together count as much as all votes of tests, abstentions included."""
    given, tests = (sum(map(len, votes.values())) for votes in (opinions, executed))
    return Weights(opinion=1.0, execution=given / max(tests, 1) or 1.0)


def matrix(answers: pl.DataFrame, right: pl.DataFrame, ids: list[str], roster: list[str]) -> Hits:
    """1 for a right answer, 0 for a wrong or unusable one; shape (tasks, competitors)."""
    found = np.zeros((len(ids), len(roster)))
    graded = answers.filter("usable").join(right, on=["instruction_id", "competitor"])
    for identity, name, is_right in graded.select("instruction_id", "competitor", "right").iter_rows():
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
    """The share of seeds with a right pick, for each task: by name of a rule, a competitor or a baseline."""
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
    """One row per rule: pass rate, difference to the best single competitor, and share of the gap between it and the oracle
    (null if there is no gap), each with a 95 % percentile interval over resampled tasks; how many tasks are `won` and `lost`
    against the best competitor; and the share right where answers differ.

    Every resample keeps the picks and the best competitor of all tasks: the intervals are about other tasks, not about other
    votes. A resample without a gap does not count for the share of the gap.
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
            bounds: list[float | None] = [None] * 3
            if measure != "best_to_oracle" or gap.any():
                bounds = [float(of(np.arange(len(own)))), *np.nanquantile(of(draws), (0.025, 0.975)).tolist()]
            values |= dict(zip((measure, f"{measure}_low", f"{measure}_high"), bounds, strict=True))
        beaten = {"won": float((own - best).clip(0).sum()), "lost": float((best - own).clip(0).sum())}
        return values | beaten | {"right_where_they_differ": float(own[differ].mean()) if differ.any() else None}

    schema = {f"best_to_oracle{end}": pl.Float64 for end in ("", "_low", "_high")} | {"right_where_they_differ": pl.Float64}
    return pl.DataFrame([row(name, own) for name, own in found.items()], schema_overrides=schema)


def missed(
    picked: pl.DataFrame, executed: Mapping[str, pl.DataFrame], truth: Hits, ids: list[str], roster: list[str]
) -> dict[str, int]:
    """The number of tasks in which a rule `missed` a right answer, and of those in which no test distinguished the picked
    answer from any right one (`missed_untold`).
    """
    distinguished = {
        (identity, frozenset(sides(m)))
        for m, votes in executed.items()
        for identity in votes.filter(pl.col("p_left") != 0.5)["instruction_id"]
    }
    places = [(ids.index(one), roster.index(name)) for one, name in picked.select("instruction_id", "competitor").iter_rows()]
    wrong = [(task, own) for task, own in places if not truth[task, own] and truth[task].any()]
    undistinguished = [
        not any((ids[task], frozenset({roster[own], roster[other]})) in distinguished for other in np.flatnonzero(truth[task]))
        for task, own in wrong
    ]
    return {"missed": len(wrong), "missed_untold": sum(undistinguished)}


def verdicts(votes: Mapping[str, pl.DataFrame], right: pl.DataFrame) -> pl.DataFrame:
    """For each judge and kind of evidence: the number of `battles` between a right and a wrong answer, the share with a vote
    (`said`), the share of these that are right (by the mean over both orders; a tie is one half), and the share right of all
    battles, where an abstention is one half too.
    """
    truth = right.select("instruction_id", "competitor", "right")
    battle = ["instruction_id", "left", "right", "evidence", "judge"]
    together = pl.concat(list(votes.values())).group_by(battle).agg(preference=pl.col("p_left").mean())
    for side in ("left", "right"):
        of_side = truth.rename({"competitor": side, "right": f"{side}_is_right"})
        together = together.join(of_side, on=["instruction_id", side])
    decidable = together.filter(pl.col("left_is_right") != pl.col("right_is_right"))
    for_right = pl.when("left_is_right").then("preference").otherwise(1 - pl.col("preference"))
    hit = pl.when((for_right - 0.5).abs() < counting.TIE_WITHIN).then(0.5).otherwise((for_right > 0.5).cast(pl.Float64))
    voted = pl.col("preference").is_not_null()
    counted = decidable.group_by("evidence", "judge").agg(
        battles=pl.len(),
        said=voted.mean(),
        right_where_said=hit.filter(voted).mean(),
        right_in_all=pl.when(voted).then(hit).otherwise(0.5).mean(),
    )
    return counted.sort("evidence", "judge", descending=[True, False])
