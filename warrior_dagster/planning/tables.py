"""The table of the plan."""

import polars as pl

from warrior_dagster.materialization.table import Table

SCHEMA = {
    "row_id": pl.String,
    "stage": pl.String,
    "model": pl.String,
    "in_ledger": pl.Int64,
    "to_send": pl.Int64,
    "estimated": pl.Int64,
    "prompt_tokens": pl.Int64,
    "completion_tokens": pl.Int64,
    "gpu_hours": pl.Float64,
    "cost": pl.Float64,
    "basis": pl.String,
}
PLAN = Table("arena_plan", "nothing", tuple(SCHEMA), group="plan")
TABLES = [PLAN]
