"""The votes of all kinds of evidence: one schema, how many each battle gets, and whether they are on the present answers."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import BEHAVIOUR, EXECUTION, OPINION
from warrior_dagster.config.matchups import sides
from warrior_dagster.inference.prompting import REQUEST_COLUMNS

VOTE_SCHEMA = {
    **dict.fromkeys(("row_id", "instruction_id", "left", "right", "judge", "order", "evidence"), pl.String),
    **dict.fromkeys(("status", "reason", "verdict"), pl.String),
    **dict.fromkeys(("p_left", "p_right"), pl.Float64),
    **dict.fromkeys(("text", "reasoning"), pl.String),
    **REQUEST_COLUMNS,
    **dict.fromkeys(("key_left", "key_right"), pl.String),
}
"""A row is one vote. `status`: decided, tie, or failed (an abstention, with its `reason`). key_left and key_right are the
completion keys of the two answers.
"""

COUNTED_OF_VOTES = [name for name in VOTE_SCHEMA if name not in ("text", "reasoning", "reason", *REQUEST_COLUMNS)]
"""The columns that votes are counted by; the others are most of the table."""


def decision(p_left: float | None, p_right: float | None, reason: str) -> dict[str, Any]:
    """The columns of a vote that follow from its probabilities. Without them it failed for the `reason`."""
    if p_left is None or p_right is None:
        return {"status": "failed", "reason": reason, "verdict": None, "p_left": None, "p_right": None}
    verdict = "tie" if p_left == p_right else "left" if p_left > p_right else "right"
    status = "tie" if verdict == "tie" else "decided"
    return {"status": status, "reason": "", "verdict": verdict, "p_left": p_left, "p_right": p_right}


def vote_summary(votes: pl.DataFrame) -> dict[str, Any]:
    """How many votes decided, tied and failed, and the most frequent reasons of failures."""
    reasons = Counter(reason[:80] for reason in votes.filter(status="failed")["reason"])
    statuses = dict(votes["status"].value_counts().sort("status").iter_rows())
    return {"statuses": statuses, "reasons": dict(reasons.most_common(10))}


def shares_decided(votes: pl.DataFrame, decides: pl.Expr) -> tuple[dict[str, float], str]:
    """How many battles and instructions have a vote that `decides`, of how many, and the same in words."""
    metadata = dict[str, float]()
    for what, columns in (("battles", ["instruction_id", "left", "right"]), ("instructions", ["instruction_id"])):
        decided, total = (frame.n_unique(columns) if len(frame) else 0 for frame in (votes.filter(decides), votes))
        metadata |= {what: total, f"{what}_decided": decided, f"share_of_{what}": decided / total if total else 0.0}
    words = [f"{metadata[f'{what}_decided']} of {metadata[what]} {what}" for what in ("battles", "instructions")]
    return metadata, " and ".join(words)


def opinions_per_battle(arena: Arena, matchup: str) -> int:
    """The number of opinions on each battle of a matchup, abstentions included: one for each judge and order."""
    return len(arena.judges(*sides(matchup))) * (2 if arena.battles.orders == "both" else 1)


VOTES_PER_BATTLE: dict[str, Callable[[Arena, str], int]] = {
    OPINION: opinions_per_battle,
    EXECUTION: lambda arena, matchup: len(arena.judges(*sides(matchup))),
    BEHAVIOUR: lambda *_: 1,
}
"""The number of votes of each kind of evidence on each battle of a matchup, abstentions included."""


def check_votes(pairs: pl.DataFrame, votes: pl.DataFrame, expected: int, table: str, asked: pl.DataFrame | None = None) -> None:
    """Raise LookupError unless every battle has the `expected` number of votes of a table, abstentions included, on its present
    answers. Otherwise the votes are older than the answers, and a battle without votes would count as a tie.

    `asked` are the battles that get votes, if not all do; the others must have none.
    """
    on, battles = ["instruction_id", "key_left", "key_right"], pairs.drop_nulls()
    counts = battles.join(votes, on=on, how="left").group_by("instruction_id").agg(pl.col("judge").count())
    gets_votes = pl.col("instruction_id").is_in((battles if asked is None else asked)["instruction_id"].implode())
    if wrong := len(counts.filter(pl.col("judge") != pl.when(gets_votes).then(expected).otherwise(0))):
        lacking = f"{wrong} battles lack votes on their present answers" + (", or need none" if asked is not None else "")
        raise LookupError(f"{table}: {lacking}; materialize {table} first")
