"""The tables of curation."""

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Competitor
from warrior_dagster.materialization.table import Requests, Table, tokens_of
from warrior_dagster.stages.curation.columns import INSTRUCTION, RATED


def rating_tokens(arena: Arena, _: Competitor) -> tuple[int, int]:
    """The most tokens of a judge's prompt about one instruction, and of its verdict."""
    verdict = arena.difficulty.sampling.max_tokens if arena.difficulty.verdict == "reasoned" else 1
    return arena.mining.max_tokens + tokens_of(arena.difficulty.prompt), verdict


UNIQUE = Table(
    "unique_instructions",
    "competitor",
    (*INSTRUCTION, "completion_key", "kept", "similarity", "duplicate_of"),
    usable=pl.col("kept"),
    usable_row="kept",
    on_card=True,
)
DIFFICULTY = Table(
    "instruction_difficulty",
    "competitor",
    (*INSTRUCTION, "score", "scored_by", "abstained", "ratings", "band", "kept"),
    usable=pl.col("kept"),
    usable_row="kept: none is scored difficulty.keep or above",
    on_card=True,
    requests=Requests(rating_tokens, error=pl.col("ratings").explode().struct.field("error")),
)
EMBEDDINGS = Table("instruction_embeddings", "competitor", (*RATED, "embedder", "vector"))
SELECTED = Table("selected_instructions", "competitor", (*RATED, "rank", "radius"), on_card=True)
TABLES = [UNIQUE, DIFFICULTY, EMBEDDINGS, SELECTED]
