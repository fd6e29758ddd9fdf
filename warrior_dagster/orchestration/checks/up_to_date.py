"""A check `up_to_date` on every asset, which can be run alone: what is missing or was made from other rows, and why."""

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from warrior_dagster.materialization.staleness import out_of_date
from warrior_dagster.warehouse.tables import Warehouse

UP_TO_DATE = "up_to_date"
SHOWN = 20
"""Partitions that the check names; it counts the others."""


def up_to_date_checks(assets: list[dg.AssetsDefinition]) -> list[dg.AssetChecksDefinition]:
    """One check for each asset."""
    graph = AssetGraph.from_assets(assets)  # a run of a check alone knows of no other asset
    return [up_to_date(asset.key, graph) for asset in assets]


def up_to_date(asset: dg.AssetKey, graph: AssetGraph) -> dg.AssetChecksDefinition:
    """The check of one asset; a warning, since it says that there is work to do, not that rows are wrong."""

    @dg.asset_check(
        asset=asset,
        name=UP_TO_DATE,
        description="Whether each partition is there and was made from what is there now: its settings and code, and the rows"
        " that it reads. Dagster's own staleness does not see partitions.",
    )
    def check(warehouse: dg.ResourceParam[Warehouse]) -> dg.AssetCheckResult:
        stale = out_of_date(graph, asset, warehouse)
        return dg.AssetCheckResult(
            passed=not stale,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"out_of_date": len(stale), **dict(list(stale.items())[:SHOWN])},
        )

    return check
