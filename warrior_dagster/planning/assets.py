"""The plan as an asset: what the arena would cost now, to be materialized and read in the UI before anything is paid for."""

from dataclasses import asdict

import dagster as dg
import polars as pl

from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import SAME, Scope
from warrior_dagster.materialization.recording import markdown, record
from warrior_dagster.materialization.table_asset import table_asset
from warrior_dagster.planning import cost
from warrior_dagster.planning.tables import PLAN, SCHEMA
from warrior_dagster.warehouse.tables import WHOLE, Warehouse


def assets(scope: Scope) -> list[dg.AssetsDefinition]:
    """The plan."""

    @table_asset(scope, PLAN, reads={"instruction_embeddings": SAME}, origins=origins(), kinds={"lancedb"})
    def arena_plan(context: dg.AssetExecutionContext, warehouse: Warehouse, ledger: LedgerReader) -> dg.MaterializeResult:
        """What materializing everything would send now, a row for each stage and model: requests in the ledger and to be sent,
        tokens, GPU hours and their cost. No engine is started and nothing is sent; estimated numbers say how they are made.
        """
        lines = cost.plan(scope.arena, ledger, warehouse)
        rows = pl.DataFrame([{"row_id": f"{x.stage}:{x.model}", **asdict(x)} for x in lines], schema=SCHEMA)
        metadata = {**cost.totals(lines), "plan": dg.MetadataValue.md(markdown(rows))}
        return record(context, warehouse, {WHOLE: rows}, metadata=metadata)

    return [arena_plan]
