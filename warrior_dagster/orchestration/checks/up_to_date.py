"""The check `up_to_date` of every asset, which can run alone: it lists missing and stale partitions, with reasons."""

import dagster as dg

from warrior_dagster.materialization.dagster_internals import Graph, graph_of_assets
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.staleness import stale_partitions
from warrior_dagster.warehouse.tables import Warehouse

UP_TO_DATE = "up_to_date"
SHOWN = 20
"""Partitions that the check names; it counts the others."""


def up_to_date_checks(scope: Scope, assets: list[dg.AssetsDefinition]) -> list[dg.AssetChecksDefinition]:
    """One check for each asset."""
    graph = graph_of_assets(assets)  # a run of a check alone contains no other asset
    return [up_to_date(scope, asset.key, graph) for asset in assets]


def up_to_date(scope: Scope, asset: dg.AssetKey, graph: Graph) -> dg.AssetChecksDefinition:
    """The check of one asset; a warning, since stale rows are not wrong."""
    resource = scope.name("warehouse")

    @dg.asset_check(
        asset=asset,
        name=UP_TO_DATE,
        description="Whether each partition exists and was made from the present settings, code and upstream rows. Dagster's"
        " own staleness does not see partitions.",
        required_resource_keys={resource},
    )
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        warehouse: Warehouse = getattr(context.resources, resource)
        stale = stale_partitions(scope, graph, asset, warehouse)
        return dg.AssetCheckResult(
            passed=not stale,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"out_of_date": len(stale), **dict(list(stale.items())[:SHOWN])},
        )

    return check
