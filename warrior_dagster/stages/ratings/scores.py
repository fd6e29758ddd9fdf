"""The final score of each answer within its group, and the gold answer of each instruction (METHOD, section 5).

Matchups are processed in roster order, over all instructions, so every sum has a fixed order of addition. A parallel group-by
would give other bits on another number of threads.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import isfinite

import numpy as np
import polars as pl
from numpy.typing import NDArray

from warrior_dagster.stages.ratings.elo import expected

DECIMALS = 9
"""Scores are rounded to this, so that answers whose scores differ only by floating-point error count as equal."""

Matrix = NDArray[np.float64]


def final_scores(
    outcomes: pl.DataFrame, ratings: Mapping[str, float], answers: pl.DataFrame, roster: Sequence[str], *, alpha: float
) -> pl.DataFrame:
    """Score, rank and advantage of each usable answer: e_A = sum over B of alpha X(A>B) + (1 - alpha) x(A>B).

    The group of an instruction is the competitors with a usable answer. Outcomes of others are ignored. Competitors that gave
    the same text share the mean of its parts: a text has one score.

    Args:
        outcomes: `instruction_id`, `left`, `right`, `local_left` (x(left>right), 0 to 1), at most one row for each pair of an
            instruction. For a pair without an outcome, X is used as x.
        ratings: the rating of each competitor of the roster, from which X is computed.
        answers: `instruction_id`, `competitor`, `usable` (it can be the gold answer), `answer` (its text) and
            `completion_key`, each at most once.
        alpha: weight of the ratings, 0 to 1.

    Returns one row for each instruction and member of its group, sorted by instruction, then by roster: `instruction_id`,
    `competitor`, `score` (e), `elo_part` (the sum of X), `local_part` (the sum of x), `rank` (1 is best; of equal scores the
    one with the higher `elo_part` is better, then the shorter answer, then the lower completion key, which is a hash), `gold`
    (rank 1, once per instruction), `advantage` ((e - mean) / population standard deviation of the group; 0 if all scores are
    equal) and `opponents` (n - 1).

    Raises ValueError if alpha or x is not from 0 to 1, a rating is not finite, a pair or answer is repeated, or a name is not
    in the roster; KeyError if a competitor of the roster has no rating.
    """
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha must be from 0 to 1, not {alpha}")
    if not all(isfinite(ratings[name]) for name in roster):
        raise ValueError(f"ratings must be finite, not {dict(ratings)}")
    usable, ids = _indexed_answers(answers, roster)
    matchups = _indexed_outcomes(outcomes, ids, roster)
    # One row per competitor, so that the numbers of a matchup are contiguous.
    in_group = np.zeros((len(roster), len(ids)), dtype=bool)
    positions = usable["column"].to_numpy(), usable["row"].to_numpy()
    in_group[positions] = True
    if in_group.sum() < len(usable):
        raise ValueError("two answers of one competitor to one instruction")
    elo_part, local_part = np.zeros(in_group.shape), np.zeros(in_group.shape)
    for a, b in combinations(range(len(roster)), 2):
        overall = expected(ratings[roster[a]], ratings[roster[b]])
        local = np.full(len(ids), overall)
        if (matchup := matchups.get((a, b))) is not None:
            local[matchup["row"]] = matchup["x"]
        both = in_group[a] & in_group[b]
        elo_part[a] += np.where(both, overall, 0.0)
        elo_part[b] += np.where(both, 1.0 - overall, 0.0)
        local_part[a] += np.where(both, local, 0.0)
        local_part[b] += np.where(both, 1.0 - local, 0.0)
    parts = {"elo_part": elo_part[positions], "local_part": local_part[positions]}
    of_text = pl.col(*parts).mean().over("instruction_id", "answer")
    usable = (
        usable.with_columns(**parts)
        .with_columns(of_text)
        .with_columns(score=(alpha * pl.col("elo_part") + (1.0 - alpha) * pl.col("local_part")).round(DECIMALS))
    )
    score, place = np.zeros(in_group.shape), np.zeros(in_group.shape, dtype=np.int64)
    score[positions], place[positions] = usable["score"], _places(usable)
    rank = _ranks(score, place, in_group)[positions]
    return usable.select(
        *("instruction_id", "competitor", "score", "elo_part", "local_part"),
        rank=rank,
        gold=rank == 1,
        advantage=_advantages(score, in_group)[positions],
        opponents=in_group.sum(axis=0)[positions[1]] - 1,
    )


def _places(usable: pl.DataFrame) -> pl.Series:
    """The place of each answer among those with the same score: by rating, then length, then completion key."""
    order = -pl.col("elo_part").round(DECIMALS), pl.col("answer").str.len_chars(), "completion_key", "column"
    return usable.sort(*order).with_row_index("place").sort("row", "column")["place"]


def _advantages(score: Matrix, in_group: NDArray[np.bool_]) -> Matrix:
    """(e - mean) / std. The scores of a pair add up to 1, so the mean of a group is exactly (n - 1) / 2."""
    members = in_group.sum(axis=0)
    centred = np.where(in_group, score - (members - 1) / 2.0, 0.0)
    variance = (centred**2).sum(axis=0) / members
    advantages: Matrix = np.divide(centred, np.sqrt(variance), out=np.zeros_like(centred), where=variance > 0.0)
    return advantages


def _ranks(score: Matrix, place: NDArray[np.int64], in_group: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The rank of each answer: 1 plus the number of better answers in its group. `place` orders those with equal scores."""
    ranks = np.ones(score.shape, dtype=np.int64)
    for a, b in combinations(range(len(score)), 2):
        a_first = (score[a] > score[b]) | ((score[a] == score[b]) & (place[a] < place[b]))
        both = in_group[a] & in_group[b]
        ranks[a] += both & ~a_first
        ranks[b] += both & a_first
    return ranks


def _indexed_answers(answers: pl.DataFrame, roster: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The usable answers, sorted, with `row` (instruction) and `column` (competitor); and the instruction ids with `row`."""
    usable = answers.filter("usable").select("instruction_id", "competitor", "answer", "completion_key")
    ids = usable.select(pl.col("instruction_id").unique().sort()).with_row_index("row")
    indexed = usable.join(ids, on="instruction_id").with_columns(column=_column("competitor", roster))
    if indexed["column"].has_nulls():
        raise ValueError("an answer of a competitor that is not in the roster")
    return indexed.sort("row", "column"), ids


def _indexed_outcomes(
    outcomes: pl.DataFrame, ids: pl.DataFrame, roster: Sequence[str]
) -> dict[tuple[object, ...], pl.DataFrame]:
    """For each matchup (two columns, in roster order) the `row` of each instruction with an outcome, and its `x`."""
    if not outcomes["local_left"].is_between(0.0, 1.0).all(ignore_nulls=False):
        raise ValueError("a local score (a share of the votes) that is not from 0 to 1")
    left, right, x = _column("left", roster), _column("right", roster), pl.col("local_left")
    ordered = pl.when(left < right).then(x).otherwise(1.0 - x)
    indexed = outcomes.join(ids, on="instruction_id")
    if indexed.select((left.is_null() | right.is_null()).any()).item():
        raise ValueError("an outcome of a competitor that is not in the roster")
    matchups = indexed.select("row", a=pl.min_horizontal(left, right), b=pl.max_horizontal(left, right), x=ordered)
    size = len(roster)
    pairs = (pl.col("row").cast(pl.Int64) * size + pl.col("a")) * size + pl.col("b")
    if matchups.select(pairs.n_unique()).item() < len(matchups):
        raise ValueError("two outcomes of one pair of competitors on one instruction")
    return matchups.partition_by("a", "b", as_dict=True, include_key=False)


def _column(name: str, roster: Sequence[str]) -> pl.Expr:
    """The roster index of the competitor in the column `name`; null if it is not in the roster."""
    return pl.col(name).cast(pl.Enum(list(roster)), strict=False).to_physical().cast(pl.Int64)
