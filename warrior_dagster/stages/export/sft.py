"""The SFT data set: each instruction with its best answer (METHOD, section 6).

`records`, which all formats are made from, has one row for each instruction and usable answer: `instruction_id`, `instruction`,
`attacker`, `language`, `difficulty`, `competitor`, `answer`, `finished` (not cut off at the token limit), `score`, `rank`,
`gold`, `advantage` and `decided_by` (what put the gold answer of the instruction first).
"""

import polars as pl

OF_INSTRUCTION = ("attacker", "language", "difficulty")
"""The columns of every format that describe the instruction: who revealed it, for which programming language it was mined, and
the panel's score from 1 to 10.
"""


def messages(**columns: str) -> pl.Expr:
    """A list of chat messages, as trainers read them: each role, in the given order, with the column of its content."""
    turns = [pl.struct(pl.lit(role).alias("role"), pl.col(column).alias("content")) for role, column in columns.items()]
    # `concat_list` does not copy a single column, but for several columns an array is three times as fast.
    return pl.concat_list(turns) if len(turns) == 1 else pl.concat_arr(turns).arr.to_list()


def sft_rows(records: pl.DataFrame) -> pl.DataFrame:
    """One row per instruction with a finished gold answer: `messages`, OF_INSTRUCTION, its competitor and score, and
    `decided_by`.

    An unfinished answer would teach a model to stop in mid-sentence. If the gold answer is unfinished, the instruction is left
    out, because the other answers are worse.
    """
    return (
        records.filter(pl.col("gold") & pl.col("finished"))
        .sort("instruction_id")
        .select(
            "instruction_id",
            messages(user="instruction", assistant="answer").alias("messages"),
            *(*OF_INSTRUCTION, "competitor", "score", "decided_by"),
        )
    )
