"""The table of mining."""

import polars as pl

from warrior_dagster.materialization.table import Requests, Table
from warrior_dagster.stages.mining import sampling

MINED = Table(
    "mined_instructions",
    "competitor",
    tuple(sampling.SCHEMA),
    usable=pl.col("status") == "ok",
    usable_row="usable",
    on_card=True,
    requests=Requests(lambda arena, _: (0, arena.mining.max_tokens)),
)
TABLES = [MINED]
