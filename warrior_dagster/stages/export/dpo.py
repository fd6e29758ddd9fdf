"""The DPO data set: each instruction with its best and its worst answer (METHOD, section 6)."""

import polars as pl

from warrior_dagster.stages.export.sft import messages


def dpo_rows(records: pl.DataFrame, *, margin: float) -> pl.DataFrame:
    """One row per instruction: `prompt`, `chosen` and `rejected` as lists of messages, their competitors and scores, and
    `decided_by`.

    Chosen is the gold answer and rejected the answer with the last rank. An instruction is left out if the scores differ by no
    more than `margin` (so equal scores never make a pair), if the texts are the same, or if the chosen answer is unfinished.
    """
    last = pl.col("rank") == pl.col("rank").max().over("instruction_id")
    names = {f"rejected_{column}": column for column in ("competitor", "answer", "score")}
    rejected = records.filter(last).select("instruction_id", **names)
    # Rounded like the scores, so that floating-point error does not put a difference of 0.3 above a margin of 0.3.
    difference = (pl.col("score") - pl.col("rejected_score")).round(9)
    return (
        records.filter(pl.col("gold") & pl.col("finished"))
        .join(rejected, on="instruction_id", validate="1:1")
        .filter(difference > margin, pl.col("answer").str.strip_chars() != pl.col("rejected_answer").str.strip_chars())
        .sort("instruction_id")
        .select(
            "instruction_id",
            messages(user="instruction").alias("prompt"),
            messages(assistant="answer").alias("chosen"),
            messages(assistant="rejected_answer").alias("rejected"),
            *("attacker", pl.col("competitor").alias("chosen_competitor"), "rejected_competitor"),
            *(pl.col("score").alias("chosen_score"), "rejected_score", "decided_by"),
        )
    )
