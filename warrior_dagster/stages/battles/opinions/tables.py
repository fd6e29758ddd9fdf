"""The table of opinions."""

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Competitor
from warrior_dagster.materialization.table import Requests, Table, tokens_of
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA


def verdict_tokens(arena: Arena, _: Competitor) -> tuple[int, int]:
    """The most tokens of a judge's prompt about two answers, and of its verdict."""
    answer = max((c.sampling or arena.answers.sampling).max_tokens for c in arena.competitors)
    verdict = arena.battles.sampling.max_tokens if arena.battles.verdict == "reasoned" else 1
    return arena.mining.max_tokens + 2 * answer + tokens_of(arena.battles.prompt), verdict


JUDGE_VOTES = Table(
    "judge_votes",
    "matchup",
    tuple(VOTE_SCHEMA),
    usable=pl.col("status") != "failed",
    usable_row="a vote that could be read",
    no_empty_partition=True,
    on_card=True,
    requests=Requests(verdict_tokens),
)
TABLES = [JUDGE_VOTES]
