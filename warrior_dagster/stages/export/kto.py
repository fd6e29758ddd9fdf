"""The KTO data set: each answer, labelled desirable or not (METHOD, section 6)."""

import numpy as np
import polars as pl

from warrior_dagster.stages.export.sft import OF_INSTRUCTION, messages


def kto_rows(records: pl.DataFrame) -> pl.DataFrame:
    """One row per text of an answer: `prompt` and `completion` as lists of messages, `label`, OF_INSTRUCTION, competitor
    and score.

    `label` is true (desirable) if the score is above the mean of the group. Answers at the mean are left out, and so are
    unfinished answers above it, which should not be imitated. Of competitors that gave the same text, which has one score, the
    first by rank is named, and the text is finished if one of them was not cut off.

    The order is a fixed shuffle that keeps the answers to one instruction far apart: KTO estimates its reference point from
    mismatched pairs, which TRL makes from neighbours in the file.
    """
    # Rounded like the scores, so that floating-point error does not put an answer at the mean above it.
    above_mean = (pl.col("score") - pl.col("score").mean().over("instruction_id")).round(9)
    labelled = (
        records.with_row_index("row")
        .select("row", "instruction_id", "competitor", "answer", "finished", "rank", above_mean=above_mean)
        .sort("finished", "rank", descending=[True, False])
        .unique(["instruction_id", "answer"], keep="first", maintain_order=True)
        .filter((pl.col("above_mean") < 0) | ((pl.col("above_mean") > 0) & pl.col("finished")))
        .sort("instruction_id", "competitor")
    )
    # After a shuffle, first one answer to each instruction, then a second one to each, and so on.
    shuffled = labelled[np.random.default_rng(0).permutation(len(labelled))]
    dealt = shuffled.with_columns(turn=pl.int_range(pl.len()).over("instruction_id")).sort("turn", maintain_order=True)
    return records[dealt["row"]].select(
        "instruction_id",
        messages(user="instruction").alias("prompt"),
        messages(assistant="answer").alias("completion"),
        (dealt["above_mean"] > 0).alias("label"),
        *(*OF_INSTRUCTION, "competitor", "score"),
    )
