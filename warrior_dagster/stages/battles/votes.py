"""The votes of all kinds of evidence: one schema, how many each battle gets, and whether they are on the present answers."""

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import sides
from warrior_dagster.inference.prompting import REQUEST_COLUMNS

VOTE_SCHEMA = {
    "row_id": pl.String,
    "instruction_id": pl.String,
    "left": pl.String,
    "right": pl.String,
    "judge": pl.String,
    "order": pl.String,
    "evidence": pl.String,
    "status": pl.String,
    "reason": pl.String,
    "verdict": pl.String,
    "p_left": pl.Float64,
    "p_right": pl.Float64,
    "text": pl.String,
    **REQUEST_COLUMNS,
    "key_left": pl.String,
    "key_right": pl.String,
}
"""A row is one vote. `status`: decided, tie, or failed (an abstention, with its `reason`). key_left and key_right are the
completion keys of the two answers that the vote is on.
"""


def opinions_per_battle(arena: Arena, matchup: str) -> int:
    """How many opinions each battle of a matchup gets, abstentions included: one for each judge and order."""
    return len(arena.judges(*sides(matchup))) * (2 if arena.battles.orders == "both" else 1)


def check_votes(pairs: pl.DataFrame, votes: pl.DataFrame, expected: int, table: str) -> None:
    """Check that every battle has the `expected` number of votes of a table, abstentions included, on its present answers.

    Raises LookupError otherwise: the votes are older than the answers, and a battle without votes would pass for a tie.
    """
    on = ["instruction_id", "key_left", "key_right"]
    counts = pairs.drop_nulls().join(votes, on=on, how="left").group_by("instruction_id").agg(pl.col("judge").count())
    if wrong := len(counts.filter(pl.col("judge") != expected)):
        raise LookupError(f"{table}: {wrong} battles lack votes on their present answers; materialize {table} first")
