"""Running parts of the graph in a test: assets or groups, over all their partitions or one, with the checks of what is made."""

import dagster as dg

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.engines import Engines
from warrior_dagster.orchestration.checks.row_checks import checks
from warrior_dagster.orchestration.definitions import arena_assets
from warrior_dagster.orchestration.running import whole_range
from warrior_dagster.warehouse.tables import Warehouse


def materialize(
    arena: Arena,
    engines: Engines,
    *steps: tuple[str, str | None],
    instance: dg.DagsterInstance | None = None,
    succeeds: bool = True,
) -> list[dg.ExecuteInProcessResult]:
    """Materialize (asset or group, partition or None for all) one after another."""
    assets, results = arena_assets(arena), []
    for name, partition in steps:
        members = [a for a in assets if name in (a.key.to_user_string(), *a.group_names_by_key.values())]
        result = dg.materialize(
            [*assets, *checks(arena)],
            selection=members,
            partition_key=partition,
            tags=whole_range(members[0]) if partition is None else {},
            resources={"warehouse": Warehouse(arena.warehouse), "engines": engines},
            instance=instance,
            raise_on_error=succeeds,
        )
        assert result.success == succeeds
        results.append(result)
    return results
