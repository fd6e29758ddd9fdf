"""The plan as an asset: what the arena would cost now, to be materialized and read in the UI before anything is paid for."""

from dataclasses import asdict
from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.writer import Ledger
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.recording import OWNERS, code_version, markdown, record
from warrior_dagster.planning import cost, forecast, plan
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

SCHEMA: dict[str, Any] = {
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


def assets(arena: Arena) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""

    @dg.asset(
        group_name="plan",
        kinds={"lancedb"},
        owners=OWNERS,
        code_version=code_version(modules=[plan, forecast, cost]),
        metadata=origins(),  # of the ledger
    )
    def arena_plan(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """What materializing everything would send now, a row for each stage and model: requests in the ledger and to be sent,
        tokens, GPU hours and their cost. No engine is started and nothing is asked; what can only be estimated says how.
        """
        with Ledger(arena.warehouse) as ledger:
            lines = cost.plan(arena, ledger, warehouse)
        rows = pl.DataFrame([{"row_id": f"{x.stage}:{x.model}", **asdict(x)} for x in lines], schema=SCHEMA)
        metadata = {**cost.totals(lines), "plan": dg.MetadataValue.md(markdown(rows))}
        return record(context, warehouse, {WHOLE: rows}, metadata=metadata)

    return [arena_plan]
