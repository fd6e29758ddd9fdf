"""What each judge scored in its exam, beside the rest of the audit."""

from typing import Any

import polars as pl

from warrior_dagster.analysis.intervals import wilson
from warrior_dagster.stages.battles.opinions import weights

SHARES = {"exam": "exam", "exam_real": "real", "exam_consistent": "both_orders"}
"""The columns of the audit, with the scores' names of them."""


def with_exam(audited: pl.DataFrame, exams: pl.DataFrame, how: str) -> pl.DataFrame:
    """Add to the rows of `audit.audit` the shares of SHARES, each with its number of questions (`_of`) and interval (`_low`,
    `_high`), and `weight`: what one opinion of the judge counts. `exams` has rows of exam.SCHEMA.
    """
    scored = weights.scores(exams, how)
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
        return "it was asked nothing in its exam, so its opinions do not count"
    exam, exam_of, real, real_of = (row[name] for name in ("exam", "exam_of", "exam_real", "exam_real_of"))
    made_of = exam_of - real_of
    made = (exam * exam_of - (real or 0.0) * real_of) / made_of if made_of else None
    kind, share, number = weights.deciding(exam, exam_of, made, made_of, real, real_of)
    what = "real questions of its exam" if kind == "real" else "questions of its exam"
    return f"it may be guessing: {share:.0%} of {number} {what} right, so its opinions do not count"
