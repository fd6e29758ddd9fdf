"""The KTO data set: each answer, labelled desirable or not (METHOD, section 6)."""

import numpy as np
import polars as pl

from warrior_dagster.stages.export.sft import messages


def kto_rows(records: pl.DataFrame) -> pl.DataFrame:
    """One row per answer: `prompt` and `completion` as lists of messages, `label`, competitors and score.

    `label` is true (desirable) if the score is above the mean of the group. Answers at the mean are left out, and so are
    unfinished answers above it, which should not be imitated. The order is a fixed shuffle that keeps the answers to one
    instruction far apart: KTO estimates its reference point from mismatched pairs, which TRL makes from neighbours in the file.
    """
    # Rounded like the scores, so that floating-point error does not put an answer at the mean above it.
    above_mean = (pl.col("score") - pl.col("score").mean().over("instruction_id")).round(9)
    labelled = (
        records.with_row_index("row")
        .select("row", "instruction_id", "competitor", "finished", above_mean=above_mean)
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
        *("attacker", "competitor", "score"),
    )
