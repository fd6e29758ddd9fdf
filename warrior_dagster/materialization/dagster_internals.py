"""The private interfaces of Dagster that this project uses, all of them here; tests/materialization holds a contract test of
each.

Dagster has no public way to ask for the graph of a run or of some assets, when a cron schedule is due, which backfills are
going on, or to start a backfill from a sensor or a job.
"""

import time
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.execution.backfill import (
    BULK_ACTION_TERMINAL_STATUSES,
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
)
from dagster._core.utils import make_new_backfill_id
from dagster._utils.schedules import get_latest_completed_cron_tick, get_next_cron_tick
from dagster.components.component_scaffolding import scaffold_component

__all__ = [
    "Graph",
    "graph_of_assets",
    "graph_of_repository",
    "graph_of_run",
    "last_cron_time",
    "next_cron_time",
    "running_backfills",
    "scaffold_component",
    "start_backfill",
]

Graph = BaseAssetGraph[Any]


def graph_of_assets(assets: Iterable[dg.AssetsDefinition]) -> Graph:
    """The graph of some assets."""
    return AssetGraph.from_assets(list(assets))


def graph_of_run(context: dg.AssetExecutionContext) -> Graph:
    """The graph that a run's asset belongs to."""
    return context.job_def.asset_layer.asset_graph


def graph_of_repository(context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext) -> Graph:
    """The graph of the code location that a sensor or schedule belongs to."""
    assert context.repository_def
    return context.repository_def.asset_graph


def start_backfill(
    instance: dg.DagsterInstance, assets: Sequence[dg.AssetsDefinition], partitions: Sequence[str], title: str
) -> str:
    """Start a backfill of assets, from some partitions of the first ones on; returns its id."""
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id=make_new_backfill_id(),
        asset_graph=graph_of_assets(assets),
        partition_names=partitions,
        asset_selection=[asset.key for asset in assets],
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=title,
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    return backfill.backfill_id


def running_backfills(instance: dg.DagsterInstance, assets: Collection[dg.AssetKey]) -> list[str]:
    """The ids of the backfills of some assets that are not finished."""
    going_on = [status for status in BulkActionStatus if status not in BULK_ACTION_TERMINAL_STATUSES]
    found = instance.get_backfills(filters=BulkActionsFilter(statuses=going_on))
    return [one.backfill_id for one in found if not set(assets).isdisjoint(one.asset_selection or ())]


def last_cron_time(cron: str, timezone: str, moment: datetime) -> datetime:
    """The last time of a cron schedule that is not after a moment."""
    return get_latest_completed_cron_tick(cron, moment, timezone)


def next_cron_time(cron: str, timezone: str, moment: datetime) -> datetime:
    """The first time of a cron schedule that is not before a moment."""
    return get_next_cron_tick(cron, moment, timezone)
