"""Materializes parts of the graph in a test: assets or groups, all partitions or one, with their checks."""

import dagster as dg

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.engines import Engines
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.orchestration.catalog import arena_assets
from warrior_dagster.orchestration.checks.row_checks import row_checks
from warrior_dagster.orchestration.definitions import arena_resources
from warrior_dagster.orchestration.running import asking_tables, full_range


def materialize(
    arena: Arena,
    engines: Engines,
    *steps: tuple[str, str | None],
    instance: dg.DagsterInstance | None = None,
    succeeds: bool = True,
) -> list[dg.ExecuteInProcessResult]:
    """Materialize (asset or group, partition or None for all) one after another; recorded in memory without an `instance`."""
    assets, results, instance = arena_assets(Scope(arena)), [], instance or dg.DagsterInstance.ephemeral()
    for name, partition in steps:
        members = [a for a in assets if name in (a.key.to_user_string(), *a.group_names_by_key.values())]
        result = dg.materialize(
            [*assets, *row_checks(Scope(arena))],
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
