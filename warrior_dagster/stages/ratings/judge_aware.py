"""Bradley-Terry with one discrimination a judge: judges that guess move no rating (arXiv 2601.21817).

Judge j prefers A to B with the probability sigma(gamma_j (theta_A - theta_B)). Strengths theta and discriminations gamma >= 0
are fitted together, from how often each judge preferred which side of each pair; nobody says who is right. A judge whose votes
agree with no ranking gets a gamma near 0. One vote is a judge's mean share over both orders of a battle. Tests are one judge,
`execution votes`, and behaviour is another, `behaviour votes`: no competitor can have such a name.

What makes the fit finite and unique: each judge has one more vote, a tie, on each pair that it may judge, as each pair has in
`elo.bradley_terry`; gamma is drawn to 1 as by a normal prior with a standard deviation of 1, and theta hardly at all to 0. Only
the prior of gamma knows the scale, since gamma times c with theta divided by c predicts the same; at its optimum the mean of
gamma, weighted by gamma itself, is 1. So ratings are what a judge sees that tells competitors apart, not diluted by those that
guess, and with equal judges they are Bradley-Terry's. Judges that err together are believed: nothing in their votes shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log

import numpy as np
import polars as pl
from numpy.typing import NDArray

from warrior_dagster.config.battles import OPINION
from warrior_dagster.stages.ratings.elo import SCALE

Vector = NDArray[np.float64]
Index = NDArray[np.int64]
STEPS, SMALL = 200, 1e-11
FLAT = 1e-6
"""The precision of the prior of strengths: it only decides where no judge tells a competitor from another."""
DECIMALS = 5
"""Ratings are rounded to this, far above the accuracy of the fit, so that names and orders change no digit."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The votes as counts; a cell is a pair of competitors (`left`, `right`) with a judge that may judge it."""

    judges: list[str]
    left: Index
    right: Index
    judge: Index
    cell: Index
    """The cell of each vote."""
    instruction: Index
    """The number of each vote's instruction, in the order of their ids."""
    share: Vector
    """The share of each vote that is for the left side of its cell."""
    instructions: int

    def sums(self, times: Vector) -> tuple[Vector, Vector]:
        """The votes of each cell and those for its left side, with one more tie, if each instruction counts so many times."""
        weight, cells = times[self.instruction], len(self.left)
        number, wins = (np.bincount(self.cell, of_vote, cells).astype(np.float64) for of_vote in (weight, weight * self.share))
        return number + 1.0, wins + 0.5


def of_two_texts(battles: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """The battles (instruction_id, left, right) whose answers are not one text: a vote on that says nothing about competitors.

    `answers` has instruction_id, competitor and answer.
    """
    texts = {
        side: answers.select("instruction_id", pl.col("competitor").alias(side), pl.col("answer").alias(f"text_{side}"))
        for side in ("left", "right")
    }
    both = battles.select("instruction_id", "left", "right")
    for side, of_side in texts.items():
        both = both.join(of_side, on=["instruction_id", side])
    alike = both.filter(pl.col("text_left") == pl.col("text_right"))
    return battles.join(alike, on=["instruction_id", "left", "right"], how="anti", maintain_order="left")


def counted(votes: pl.DataFrame, outcomes: pl.DataFrame, competitors: Sequence[str], how: str) -> Counted:
    """The votes on the battles of `outcomes` that were fought; both have instruction_id, left and right.

    `votes` has rows of VOTE_SCHEMA of all kinds; `how` is battles.votes. Raises ValueError for an unknown competitor.
    """
    of_verdict = pl.col("verdict").replace_strict({"left": 1.0, "tie": 0.5, "right": 0.0}, return_dtype=pl.Float64)
    battle = ["instruction_id", "left", "right"]
    readable = votes.filter(pl.col("status") != "failed").join(outcomes.drop_nulls("outcome"), on=battle, how="semi")
    label = pl.when(pl.col("evidence") == OPINION).then("judge").otherwise(pl.format("{} votes", "evidence"))
    share = (pl.col("p_left") if how == "soft" else of_verdict).mean()
    one_each = readable.sort("row_id").group_by(*battle, judge=label, maintain_order=True).agg(share=share)
    if unknown := {*one_each["left"], *one_each["right"]} - set(competitors):
        raise ValueError(f"votes name unknown competitors: {sorted(unknown)}")
    judges = one_each["judge"].unique().sort().to_list()
    cells = {
        (a, b, judge): None
        for a, b in combinations(range(len(competitors)), 2)
        for judge, name in enumerate(judges)
        if name not in (competitors[a], competitors[b])
    }
    numbers = {cell: number for number, cell in enumerate(cells)}
    place, of_judge = ({name: number for number, name in enumerate(names)} for names in (competitors, judges))
    rows = one_each.select("left", "right", "judge", "share").rows()
    ordered = [(place[a], place[b], of_judge[judge], share) for a, b, judge, share in rows]
    left, right, judge = (np.array([cell[i] for cell in cells], dtype=np.int64) for i in range(3))
    return Counted(
        judges, left, right, judge,
        np.array([numbers[min(a, b), max(a, b), j] for a, b, j, _ in ordered], dtype=np.int64),
        one_each["instruction_id"].rank("dense").cast(pl.Int64).to_numpy() - 1,
        np.array([share if a < b else 1.0 - share for a, b, _, share in ordered], dtype=np.float64),
        one_each["instruction_id"].n_unique(),
    )  # fmt: skip


def rate(data: Counted, competitors: int, *, initial: float) -> tuple[Vector, dict[str, float]]:
    """The rating of each competitor, with mean `initial`, and the discrimination of each judge, by name."""
    theta, gamma = fit(data, *data.sums(np.ones(data.instructions)), competitors)
    return points(theta, initial), {name: round(float(own), DECIMALS) for name, own in zip(data.judges, gamma, strict=True)}


def samples(data: Counted, competitors: int, *, initial: float, rounds: int, seed: int) -> Vector:
    """The ratings of `rounds` resamples of the instructions, with all votes on each: (rounds, competitors)."""
    drawn = np.random.default_rng(seed).integers(0, max(data.instructions, 1), (rounds, data.instructions))
    times = [np.bincount(own, minlength=data.instructions).astype(np.float64) for own in drawn]
    found = [points(fit(data, *data.sums(own), competitors)[0], initial) for own in times]
    return np.array(found).reshape(rounds, competitors)


def points(theta: Vector, initial: float) -> Vector:
    """Strengths on the scale of Elo, with mean `initial`."""
    found: Vector = np.round(initial + SCALE / log(10.0) * (theta - theta.mean()), DECIMALS)
    return found


def fit(data: Counted, number: Vector, wins: Vector, competitors: int) -> tuple[Vector, Vector]:
    """The likeliest strengths and discriminations of cells with so many votes and so many for their left side.

    Newton's method, or Fisher's scoring where the curvature is not positive; discriminations that would fall below 0 are 0.
    """
    judges, cells = len(data.judges), np.arange(len(number))
    values = np.concatenate([np.zeros(competitors), np.ones(judges)])
    of_judge = competitors + data.judge
    centre, prior = values.copy(), np.where(np.arange(len(values)) < competitors, FLAT, 1.0)
    lowest = np.concatenate([np.full(competitors, -np.inf), np.zeros(judges)])

    def loss(x: Vector) -> float:
        eta = x[of_judge] * (x[data.left] - x[data.right])
        likely = wins * np.logaddexp(0.0, -eta) + (number - wins) * np.logaddexp(0.0, eta)
        return float(likely.sum() + (prior * (x - centre) ** 2).sum() / 2.0)

    current = loss(values)
    for _ in range(STEPS):
        gamma, lead = values[of_judge], values[data.left] - values[data.right]
        expected = 1.0 / (1.0 + np.exp(-gamma * lead))
        surplus = number * expected - wins
        slope = np.zeros((len(cells), len(values)))
        slope[cells, data.left], slope[cells, data.right], slope[cells, of_judge] = gamma, -gamma, lead
        gradient = slope.T @ surplus + prior * (values - centre)
        scoring = slope.T @ (slope * (number * expected * (1.0 - expected))[:, None])
        scoring += np.diag(prior)
        free = (values > lowest) | (gradient < 0.0)
        step = np.zeros(len(values))
        step[free] = -np.linalg.solve(curvature(scoring, data, of_judge, surplus)[np.ix_(free, free)], gradient[free])
        size = 1.0
        while (new := loss(moved := np.maximum(values + size * step, lowest))) > current and size > SMALL:
            size /= 2.0
        if new > current or np.abs(moved - values).max() <= SMALL:
            break
        values, current = moved, new
    return values[:competitors], values[competitors:]


def curvature(scoring: Vector, data: Counted, of_judge: Index, surplus: Vector) -> Vector:
    """The second derivatives if they are positive definite, else those of `scoring`, which always are."""
    exact = scoring.copy()
    for side, sign in ((data.left, 1.0), (data.right, -1.0)):
        np.add.at(exact, (side, of_judge), sign * surplus)
        np.add.at(exact, (of_judge, side), sign * surplus)
    try:
        np.linalg.cholesky(exact)
    except np.linalg.LinAlgError:
        return scoring
    return exact
