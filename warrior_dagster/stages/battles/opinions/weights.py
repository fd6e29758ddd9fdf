"""What a judge's opinions weigh, from its exam: the log-odds that it is right, and nothing for a judge that may be guessing.

The log-odds of being right are the best weights of independent votes. Of a judge only a few dozen questions are known, so its
accuracy is taken at the lower end of its interval. With this Z a judge that guesses gets a vote in about one exam of ten, which
weighs a hundredth of a good judge's on average, and one that is right in three of four cases in nine exams of ten; a wider
interval would silence such judges more often than it saves (docs/selection.md has the figures). Answers that were made worse
are easier to tell than real ones, so where enough real battles are known, the lower weight of both counts.
"""

from collections.abc import Iterable
from math import log

import polars as pl

from warrior_dagster.stages.battles.opinions.exam import REAL

Z = 1.2816
"""Standard errors below the accuracy: the lower end of an interval that nine of ten judges are above."""
LEAST_REAL = 10
"""Real battles from which on they count apart."""
CLOSE = 1e-9
"""Probabilities this near one half prefer no side."""
SCHEMA = {
    "judge": pl.String,
    **{
        name: kind
        for share in ("exam", "made", "real", "both_orders")
        for name, kind in ((share, pl.Float64), (f"{share}_of", pl.Int64))
    },
    "weight": pl.Float64,
}
"""One row per judge. `exam`, `made` and `real` are its accuracy on all questions, on those with an answer that was misplaced or
made worse, and on real battles; `both_orders` the share of questions with the same verdict in both orders, of those with two.
Each has its number of questions, and is null without any.
"""


def weights(exams: pl.DataFrame, judges: Iterable[str], how: str) -> dict[str, float]:
    """The weight of each judge's opinions, 0 for one that was asked nothing: it cannot be told from one that guesses."""
    found = dict(scores(exams, how).select("judge", "weight").iter_rows())
    return {judge: found.get(judge, 0.0) for judge in judges}


def scores(exams: pl.DataFrame, how: str) -> pl.DataFrame:
    """What each judge scored in its exam, from rows of exam.SCHEMA; rows of SCHEMA, by name.

    A question is right if the mean of both orders prefers the better side, and half right if it prefers none; a verdict that
    cannot be read prefers none. If `how` is `soft`, verdicts count by their probabilities.
    """
    hard = pl.col("verdict").replace_strict({"better": 1.0, "tie": 0.5, "worse": 0.0}, return_dtype=pl.Float64)
    preference = (pl.col("p_better") if how == "soft" else hard).fill_null(0.5)
    asked = exams.group_by("judge", "kind", "question").agg(
        preference=preference.mean(), verdicts=pl.col("verdict").n_unique(), read=pl.col("verdict").count()
    )
    lead = pl.col("preference") - 0.5
    right = pl.when(lead.abs() <= CLOSE).then(0.5).otherwise((lead > 0).cast(pl.Float64))
    is_real, in_both = pl.col("kind") == REAL, pl.col("read") == 2
    cases = {"exam": pl.lit(value=True), "made": ~is_real, "real": is_real}
    found = asked.group_by("judge").agg(
        *(right.filter(which).mean().alias(name) for name, which in cases.items()),
        *(right.filter(which).len().cast(pl.Int64).alias(f"{name}_of") for name, which in cases.items()),
        both_orders=(pl.col("verdicts") == 1).filter(in_both).mean(),
        both_orders_of=in_both.sum().cast(pl.Int64),
    )
    weight = pl.struct("exam", "exam_of", "made", "made_of", "real", "real_of").map_elements(
        lambda row: weight_of(**row), return_dtype=pl.Float64
    )
    return found.with_columns(weight=weight).select(list(SCHEMA)).cast(SCHEMA).sort("judge")  # type: ignore[arg-type]


def weight_of(exam: float, exam_of: int, made: float | None, made_of: int, real: float | None, real_of: int) -> float:
    """The weight of a judge with these accuracies: on made battles, or on real ones if these are enough and give less."""
    return log_odds(*deciding(exam, exam_of, made, made_of, real, real_of)[1:])


def deciding(
    exam: float, exam_of: int, made: float | None, made_of: int, real: float | None, real_of: int
) -> tuple[str, float, int]:
    """The questions that give a judge's weight, `exam`, `made` or `real`, with its accuracy on them and their number."""
    if made is None or not made_of:
        return "exam", exam, exam_of
    if real is not None and real_of >= LEAST_REAL and log_odds(real, real_of) < log_odds(made, made_of):
        return "real", real, real_of
    return "made", made, made_of


def log_odds(accuracy: float, number: int) -> float:
    """The log-odds of the lower end of the score interval (Wilson, 1927) of an accuracy on some questions, at least 0."""
    middle = accuracy + Z**2 / (2 * number)
    width = Z * (accuracy * (1 - accuracy) / number + Z**2 / (4 * number**2)) ** 0.5
    lowest = (middle - width) / (1 + Z**2 / number)
    return max(0.0, log(lowest / (1 - lowest))) if lowest > 0 else 0.0
