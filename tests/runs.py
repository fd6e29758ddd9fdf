"""Materializes parts of the graph in a test, and finds what is out of date."""

import dagster as dg

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.engines import Engines
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.staleness import stale_partitions
from warrior_dagster.orchestration.catalog import GROUPS, arena_assets
from warrior_dagster.orchestration.checks.row_checks import row_checks
from warrior_dagster.orchestration.definitions import arena_resources, build_definitions
from warrior_dagster.orchestration.running import asking_tables, full_range
from warrior_dagster.warehouse.tables import Warehouse

EVERYTHING = [(group, None) for group in GROUPS]
"""The steps that materialize every partition of every asset."""


def materialize(
    arena: Arena,
    engines: Engines,
    *steps: tuple[str, str | None],
    instance: dg.DagsterInstance | None = None,
    succeeds: bool = True,
    checks: bool = True,
) -> list[dg.ExecuteInProcessResult]:
    """Materialize (asset or group, partition or None for all) one after another; recorded in memory without an `instance`."""
    assets, results, instance = arena_assets(Scope(arena)), [], instance or dg.DagsterInstance.ephemeral()
    checked = row_checks(Scope(arena)) if checks else []
    for name, partition in steps:
        members = [a for a in assets if name in (a.key.to_user_string(), *a.group_names_by_key.values())]
        result = dg.materialize(
            [*assets, *checked],
            selection=members,
            partition_key=partition,
            tags=full_range(members[0]) if partition is None else {},
            resources={**arena_resources(Scope(arena)), "engines": engines},
            instance=instance,
            raise_on_error=succeeds,
        )
        assert result.success == succeeds
        results.append(result)
    return results


def asking_partitions(arena: Arena) -> dict[str, list[str]]:
    """The tables of an arena whose rows come from requests, each with its partitions."""
    return {table.name: table.partitions(arena) for table in asking_tables(arena)}


def stale(arena: Arena) -> dict[str, dict[str, str]]:
    """The stale partitions of each asset that has any, with the reasons."""
    graph, warehouse = build_definitions(arena).resolve_asset_graph(), Warehouse(arena.warehouse)
    found = {a.key.to_user_string(): stale_partitions(graph, a.key, warehouse) for a in arena_assets(Scope(arena))}
    return {name: partitions for name, partitions in found.items() if partitions}
