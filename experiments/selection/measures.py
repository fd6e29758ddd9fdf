"""How often picked answers are right, and how far that is from a random pick, the best competitor and the oracle."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from warrior_dagster.config.matchups import sides
from warrior_dagster.stages.battles.outcomes import TIE_WITHIN

ROUNDS = 10_000
Hits = NDArray[np.float64]
"""The share that is right, with shape (tasks,) or (tasks, competitors)."""


def matrix(answers: pl.DataFrame, right: pl.DataFrame, ids: list[str], roster: list[str]) -> Hits:
    """1 for a right answer, 0 for a wrong or unusable one; shape (tasks, competitors). `right` has rows of evidence.grade."""
    found = np.zeros((len(ids), len(roster)))
    graded = answers.filter("usable").join(right, on=["instruction_id", "completion_key"])
    for identity, name, is_right in graded.select("instruction_id", "competitor", "right").iter_rows():
        found[ids.index(identity), roster.index(name)] = is_right
    return found


def baselines(truth: Hits, answers: pl.DataFrame, right: pl.DataFrame, ids: list[str], roster: list[str]) -> dict[str, Hits]:
    """The share right of each task: each competitor alone, a random answer, the shortest, the shortest that loads, and the
    oracle of these answers.
    """
    usable = answers.filter("usable")
    counts = dict(usable.group_by("instruction_id").len().iter_rows())
    by_length = usable.sort(pl.col("answer").str.len_chars(), pl.col("competitor").cast(pl.Enum(roster)))
    loading = by_length.join(right.filter("loads"), on=["instruction_id", "completion_key"], how="semi", maintain_order="left")
    found = {name: truth[:, place] for place, name in enumerate(roster)}
    found["random"] = truth.sum(axis=1) / np.array([max(counts.get(one, 0), 1) for one in ids])
    for name, frame in (("shortest", by_length), ("shortest that loads", loading)):
        found[name] = hits_of(frame.unique("instruction_id", keep="first", maintain_order=True), truth, ids, roster)
    return {**found, "oracle": truth.max(axis=1)}


def hits_of(picked: pl.DataFrame, truth: Hits, ids: list[str], roster: list[str]) -> Hits:
    """Whether the picked answer of each task is right; a task without one counts as wrong."""
    found = np.zeros(len(ids))
    for identity, competitor in picked.select("instruction_id", "competitor").iter_rows():
        found[ids.index(identity)] = truth[ids.index(identity), roster.index(competitor)]
    return found


def table(found: Mapping[str, Hits], best: Hits, oracle: Hits, before: Hits, seed: int = 0) -> pl.DataFrame:
    """One row per rule: pass rate, points over the `best` single competitor and over the rule `before`, and share of the gap
    between the best competitor and the `oracle` (null if there is none), each with a 95 % percentile interval over resampled
    tasks; and the number of tasks `won` and `lost` against the best competitor.

    Every resample keeps the picks and the best competitor of all tasks: the intervals are about other tasks, not about other
    votes. A resample without a gap does not count for the share of the gap.
    """
    draws = np.random.default_rng(seed).integers(len(best), size=(ROUNDS, len(best)))
    gap = oracle - best

    def row(name: str, own: Hits) -> dict[str, Any]:
        measures: dict[str, Callable[[Any], Any]] = {
            "pass_rate": lambda d: own[d].mean(axis=-1),
            "over_best": lambda d: (own - best)[d].mean(axis=-1),
            "over_before": lambda d: (own - before)[d].mean(axis=-1),
            "best_to_oracle": lambda d: (own - best)[d].sum(axis=-1) / np.where(ways := gap[d].sum(axis=-1), ways, np.nan),
        }
        values: dict[str, Any] = {"rule": name, "tasks": len(own)}
        for measure, of in measures.items():
            bounds: list[float | None] = [None] * 3
            if measure != "best_to_oracle" or gap.any():
                bounds = [float(of(np.arange(len(own)))), *np.nanquantile(of(draws), (0.025, 0.975)).tolist()]
            values |= dict(zip((measure, f"{measure}_low", f"{measure}_high"), bounds, strict=True))
        return values | {"won": float((own - best).clip(0).sum()), "lost": float((best - own).clip(0).sum())}

    schema = {f"best_to_oracle{end}": pl.Float64 for end in ("", "_low", "_high")}
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
    hit = pl.when((for_right - 0.5).abs() < TIE_WITHIN).then(0.5).otherwise((for_right > 0.5).cast(pl.Float64))
    voted = pl.col("preference").is_not_null()
    counted = decidable.group_by("evidence", "judge").agg(
        battles=pl.len(),
        said=voted.mean(),
        right_where_said=hit.filter(voted).mean(),
        right_in_all=pl.when(voted).then(hit).otherwise(0.5).mean(),
    )
    return counted.sort("evidence", "judge", descending=[True, False])
