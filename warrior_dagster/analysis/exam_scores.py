"""What each judge scored in its exam, beside the rest of the audit."""

from typing import Any

import polars as pl

from warrior_dagster import judge_weights
from warrior_dagster.analysis.intervals import wilson

SHARES = {"exam": "exam", "exam_real": "real", "exam_consistent": "both_orders"}
"""The columns of the audit, with the scores' names of them."""


def with_exam(audited: pl.DataFrame, exams: pl.DataFrame, how: str) -> pl.DataFrame:
    """Add to the rows of `audit.audit` the shares of SHARES, each with its number of questions (`_of`) and interval (`_low`,
    `_high`), and `weight`: what one opinion of the judge counts. `exams` has rows of exam.SCHEMA.
    """
    scored = judge_weights.scores(exams, how)
    for name, share in SHARES.items():
        low, high = wilson(pl.col(share), pl.col(f"{share}_of"))
        scored = scored.with_columns(
            pl.col(share).alias(name),
            pl.col(f"{share}_of").alias(f"{name}_of"),
            pl.when(pl.col(share).is_not_null()).then(low).alias(f"{name}_low"),
            pl.when(pl.col(share).is_not_null()).then(high).alias(f"{name}_high"),
        )
    columns = [f"{name}{end}" for name in SHARES for end in ("", "_of", "_low", "_high")]
    found = audited.join(scored.select("judge", *columns, "weight"), on="judge", how="left")
    return found.with_columns(pl.col("weight", "^exam.*_of$").fill_null(0)).sort("judge")


def without_vote(row: dict[str, Any]) -> str:
    """Why a judge's opinions do not count, from its row of the audit; "" if they do, or if there is no exam."""
    if row.get("weight", 1.0) > 0:
        return ""
    if not row["exam_of"]:
        return "it was asked nothing in its exam: its opinions do not count"
    name = "exam_real" if row["exam_real_of"] >= judge_weights.LEAST_REAL and row["exam_real"] < row["exam"] else "exam"
    what = "its exam" if name == "exam" else "the real battles of its exam"
    return f"it guesses in {what} ({row[name]:.0%} of {row[f'{name}_of']}): its opinions do not count"
