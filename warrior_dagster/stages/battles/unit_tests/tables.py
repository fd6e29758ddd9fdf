"""The tables of tests as evidence. An arena has them unless battles.evidence is `opinion`."""

from functools import partial

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Competitor
from warrior_dagster.materialization.table import Requests, Table, tokens_of
from warrior_dagster.stages.battles.unit_tests import execution, generation
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA


def tokens_for_tests(arena: Arena, _: Competitor) -> tuple[int, int]:
    """The most tokens of the prompt that asks for tests of one instruction, and of the completion."""
    return arena.mining.max_tokens + tokens_of(arena.execution.prompt), arena.execution.sampling.max_tokens


table = partial(Table, enabled=lambda arena: arena.runs_tests)
GENERATED = table(
    "generated_tests",
    "competitor",
    tuple(generation.SCHEMA),
    usable=pl.col("status") == "ok",
    usable_row="a test that can be run",
    if_empty="warn",  # no code can show everything, and not every judge can write tests; then opinions decide
    requests=Requests(tokens_for_tests),
)
RESULTS = table("execution_results", "competitor", tuple(execution.SCHEMA), if_empty="ignore")
EXECUTION_VOTES = table("execution_votes", "matchup", tuple(VOTE_SCHEMA), if_empty="ignore")
TABLES = [GENERATED, RESULTS, EXECUTION_VOTES]
