"""The rows of the SFT data set: each instruction with its best answer (METHOD, section 6).

What every export reads, `records`, has one row for each instruction and usable answer: `instruction_id`, `instruction`,
`attacker`, `language`, `difficulty`, `competitor`, `answer`, `finished` (the answer ended by itself, rather than at the
limit of tokens), `score`, `rank`, `gold` and `advantage`.
"""

import polars as pl


def messages(**columns: str) -> pl.Expr:
    """A list of chat messages, as trainers read them: for each role, in the order given, the column of its content."""
    turns = [pl.struct(pl.lit(role).alias("role"), pl.col(column).alias("content")) for role, column in columns.items()]
    # Polars wraps a single column as it is, but copies several: three times as fast by way of an array.
    return pl.concat_list(turns) if len(turns) == 1 else pl.concat_arr(turns).arr.to_list()


def sft_rows(records: pl.DataFrame) -> pl.DataFrame:
    """One row for each instruction whose gold answer is finished: `messages` and where they come from.

    An unfinished answer would teach a model to stop in mid-sentence. Where the gold one is unfinished, the instruction
    is left out rather than given a worse answer.
    """
    return (
        records.filter(pl.col("gold") & pl.col("finished"))
        .sort("instruction_id")
        .select(
            "instruction_id",
            messages(user="instruction", assistant="answer").alias("messages"),
            *("attacker", "competitor", "score"),
        )
    )
