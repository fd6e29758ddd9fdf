"""The final score of every answer within its group, and the gold answer of every instruction (METHOD, section 5).

Computed one matchup at a time over all instructions, in roster order: every sum then has one fixed order of addition,
so that the same input gives the same bits on any number of threads (which a parallel group-by does not promise).
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import isfinite

import numpy as np
import polars as pl
from numpy.typing import NDArray

from warrior_dagster.stages.ratings.elo import expected

DECIMALS = 9
"""Scores are rounded to this: answers that are equal but for the rounding of a float sum must count as equal."""

Matrix = NDArray[np.float64]


def final_scores(
    outcomes: pl.DataFrame,
    ratings: Mapping[str, float],
    answers: pl.DataFrame,
    roster: Sequence[str],
    *,
    alpha: float,
) -> pl.DataFrame:
    """Score, rank and advantage of every usable answer: e_A = sum over B of alpha X(A>B) + (1 - alpha) x(A>B).

    - `outcomes`: `instruction_id`, `left`, `right`, `local_left` (x(left>right), 0 to 1), at most one row for each
      pair of an instruction. A pair that did not meet there counts with X in place of x.
    - `ratings`: the Elo or Bradley-Terry rating of each competitor of the roster, from which X comes.
    - `answers`: `instruction_id`, `competitor`, `usable` (it has an answer that can be the gold one), `length`
      (characters), at most one row for each competitor of an instruction.

    The group of an instruction is the competitors whose answer is usable; outcomes of others are left out.

    One row for each instruction and member of its group, sorted by instruction, then in roster order:
    `instruction_id`, `competitor`, `score` (e), `elo_part` (the sum of X), `local_part` (the sum of x), `rank`
    (1 is best; of equal scores the shorter answer, then the earlier in the roster), `gold` (rank 1, one for each
    instruction), `advantage` ((e - mean) / population standard deviation of the group; 0 where all scores are equal)
    and `opponents` (n - 1).

    Raises ValueError for alpha or x outside 0 to 1, a rating that is not finite, a repeated pair or answer, and a name that
    is not in the roster; KeyError where a competitor of the roster has no rating.
    """
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha must be from 0 to 1, not {alpha}")
    if not all(isfinite(ratings[name]) for name in roster):
        raise ValueError(f"ratings must be finite, not {dict(ratings)}")
    usable, ids = _numbered_answers(answers, roster)
    met = _numbered_outcomes(outcomes, ids, roster)
    # A row a competitor: one matchup's numbers then lie side by side.
    in_group = np.zeros((len(roster), len(ids)), dtype=bool)
    cells = usable["column"].to_numpy(), usable["row"].to_numpy()
    in_group[cells] = True
    if in_group.sum() < len(usable):
        raise ValueError("two answers of one competitor to one instruction")
    elo_part, local_part = np.zeros(in_group.shape), np.zeros(in_group.shape)
    for a, b in combinations(range(len(roster)), 2):
        overall = expected(ratings[roster[a]], ratings[roster[b]])
        local = np.full(len(ids), overall)
        if (matchup := met.get((a, b))) is not None:
            local[matchup["row"]] = matchup["x"]
        both = in_group[a] & in_group[b]
        elo_part[a] += np.where(both, overall, 0.0)
        elo_part[b] += np.where(both, 1.0 - overall, 0.0)
        local_part[a] += np.where(both, local, 0.0)
        local_part[b] += np.where(both, 1.0 - local, 0.0)
    score = (alpha * elo_part + (1.0 - alpha) * local_part).round(DECIMALS)
    length = np.zeros(in_group.shape, dtype=np.int64)
    length[cells] = usable["length"]
    rank = _ranks(score, length, in_group)[cells]
    return usable.select(
        "instruction_id",
        "competitor",
        score=score[cells],
        elo_part=elo_part[cells],
        local_part=local_part[cells],
        rank=rank,
        gold=rank == 1,
        advantage=_advantages(score, in_group)[cells],
        opponents=in_group.sum(axis=0)[cells[1]] - 1,
    )


def _advantages(score: Matrix, in_group: NDArray[np.bool_]) -> Matrix:
    """(e - mean) / std. A group's scores share out its pairs, so that their mean is (n - 1) / 2, and exactly so."""
    members = in_group.sum(axis=0)
    centred = np.where(in_group, score - (members - 1) / 2.0, 0.0)
    variance = (centred**2).sum(axis=0) / members
    advantages: Matrix = np.divide(centred, np.sqrt(variance), out=np.zeros_like(centred), where=variance > 0.0)
    return advantages


def _ranks(score: Matrix, length: NDArray[np.int64], in_group: NDArray[np.bool_]) -> NDArray[np.int64]:
    """1 for each answer, and one more for each of its group that goes before it."""
    ranks = np.ones(score.shape, dtype=np.int64)
    for a, b in combinations(range(len(score)), 2):
        a_first = (score[a] > score[b]) | ((score[a] == score[b]) & (length[a] <= length[b]))
        both = in_group[a] & in_group[b]
        ranks[a] += both & ~a_first
        ranks[b] += both & a_first
    return ranks


def _numbered_answers(answers: pl.DataFrame, roster: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The usable answers, sorted, with `row` (of their instruction) and `column` (of their competitor); the ids."""
    usable = answers.filter("usable").select("instruction_id", "competitor", "length")
    ids = usable.select(pl.col("instruction_id").unique().sort()).with_row_index("row")
    numbered = usable.join(ids, on="instruction_id").with_columns(column=_column("competitor", roster))
    if numbered["column"].has_nulls():
        raise ValueError("an answer of a competitor that is not in the roster")
    return numbered.sort("row", "column"), ids


def _numbered_outcomes(
    outcomes: pl.DataFrame, ids: pl.DataFrame, roster: Sequence[str]
) -> dict[tuple[object, ...], pl.DataFrame]:
    """For each matchup (two columns, in roster order) the `row` of every instruction where it met, and the `x`."""
    if not outcomes["local_left"].is_between(0.0, 1.0).all(ignore_nulls=False):
        raise ValueError("a local score (a share of the votes) that is not from 0 to 1")
    left, right, x = pl.col("left_column"), pl.col("right_column"), pl.col("local_left")
    numbered = outcomes.join(ids, on="instruction_id").select(
        "row", "local_left", left_column=_column("left", roster), right_column=_column("right", roster)
    )
    if numbered["left_column"].has_nulls() or numbered["right_column"].has_nulls():
        raise ValueError("an outcome of a competitor that is not in the roster")
    matchups = numbered.select(
        "row",
        a=pl.min_horizontal(left, right),
        b=pl.max_horizontal(left, right),
        x=pl.when(left < right).then(x).otherwise(1.0 - x),
    )
    size = len(roster)
    if matchups.select(((pl.col("row").cast(pl.Int64) * size + pl.col("a")) * size + pl.col("b")).n_unique()).item() < len(
        matchups
    ):
        raise ValueError("two outcomes of one pair of competitors on one instruction")
    return matchups.partition_by("a", "b", as_dict=True, include_key=False)


def _column(name: str, roster: Sequence[str]) -> pl.Expr:
    """The place in the roster of the competitor that the column `name` holds; null for a stranger."""
    return pl.col(name).cast(pl.Enum(list(roster)), strict=False).to_physical().cast(pl.Int64)
