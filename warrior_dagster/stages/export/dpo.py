"""The DPO data set: each instruction with its best and its worst answer (METHOD, section 6)."""

import polars as pl

from warrior_dagster.stages.export.sft import OF_INSTRUCTION, messages


def dpo_rows(records: pl.DataFrame, *, margin: float) -> pl.DataFrame:
    """One row per instruction: `prompt`, `chosen` and `rejected` as lists of messages, OF_INSTRUCTION, their competitors and
    scores, and `decided_by`.

    Chosen is the gold answer and rejected the answer with the last rank. An instruction is left out if the scores differ by no
    more than `margin` (so equal scores never make a pair), if the texts are the same, or if the chosen answer is unfinished.
    """
    last = pl.col("rank") == pl.col("rank").max().over("instruction_id")
    names = {f"rejected_{column}": column for column in ("competitor", "answer", "score")}
    rejected = records.filter(last).select("instruction_id", **names)
    # Rounded like the scores, so that floating-point error does not put a difference of 0.3 above a margin of 0.3.
    difference = (pl.col("score") - pl.col("rejected_score")).round(9)
    chosen = records.filter(pl.col("gold") & pl.col("finished"))
    return paired(chosen.join(rejected, on="instruction_id", validate="1:1").filter(difference > margin))


def own_sample_rows(records: pl.DataFrame) -> pl.DataFrame:
    """As `dpo_rows`, with the `own_sample` of the chosen answer as the rejected one: both are of one competitor, so a pair
    differs in what its code returns and not in style. This sample never battled: rejected_score is null, and no margin applies.
    An instruction without such a sample is left out.
    """
    chosen = records.filter(pl.col("gold") & pl.col("finished")).drop_nulls("own_sample")
    rejected = {"rejected_competitor": pl.col("competitor"), "rejected_answer": pl.col("own_sample")}
    return paired(chosen.with_columns(**rejected, rejected_score=pl.lit(None, pl.Float64)))


def without_own_sample(records: pl.DataFrame) -> int:
    """How many instructions `own_sample_rows` leaves out although their gold answer is finished."""
    return records.filter(pl.col("gold") & pl.col("finished") & pl.col("own_sample").is_null()).height


def paired(chosen: pl.DataFrame) -> pl.DataFrame:
    """The rows of the data set from chosen answers with their rejected ones, where the texts differ."""
    return (
        chosen.filter(pl.col("answer").str.strip_chars() != pl.col("rejected_answer").str.strip_chars())
        .sort("instruction_id")
        .select(
            "instruction_id",
            messages(user="instruction").alias("prompt"),
            messages(assistant="answer").alias("chosen"),
            messages(assistant="rejected_answer").alias("rejected"),
            *(*OF_INSTRUCTION, pl.col("competitor").alias("chosen_competitor"), "rejected_competitor"),
            *(pl.col("score").alias("chosen_score"), "rejected_score", "decided_by"),
        )
    )
