"""The rows of the KTO data set: each answer, desirable or not (METHOD, section 6)."""

import numpy as np
import polars as pl

from warrior_dagster.stages.export.sft import messages


def kto_rows(records: pl.DataFrame) -> pl.DataFrame:
    """One row an answer: `prompt` and `completion` as lists of messages, `label`, and where they come from.

    Desirable (`label`) is an answer with a score above the mean of its group. One at the mean says nothing and is left
    out; so is an unfinished one above it, which is not to be imitated. `records` as in `sft.py`.

    The order is a fixed shuffle in which the answers to one instruction stand far apart. It matters: KTO estimates its
    reference point from mismatched pairs, and TRL makes them of neighbours (each prompt with the answer before it),
    which it reads in the order of the file.
    """
    # Rounded as scores are, so that an answer at the mean is not above it by the error of a sum.
    above_mean = (pl.col("score") - pl.col("score").mean().over("instruction_id")).round(9)
    labelled = (
        records.with_row_index("row")
        .select("row", "instruction_id", "competitor", "finished", above_mean=above_mean)
        .filter((pl.col("above_mean") < 0) | ((pl.col("above_mean") > 0) & pl.col("finished")))
        .sort("instruction_id", "competitor")
    )
    # Shuffled, then dealt in turns: first one answer to each instruction, then a second one to each, and so on.
    shuffled = labelled[np.random.default_rng(0).permutation(len(labelled))]
    dealt = shuffled.with_columns(turn=pl.int_range(pl.len()).over("instruction_id")).sort("turn", maintain_order=True)
    return records[dealt["row"]].select(
        "instruction_id",
        messages(user="instruction").alias("prompt"),
        messages(assistant="answer").alias("completion"),
        (dealt["above_mean"] > 0).alias("label"),
        *("attacker", "competitor", "score"),
    )
