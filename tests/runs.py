"""Materializes parts of the graph in a test, and finds what is out of date."""

from pathlib import Path

import dagster as dg

from tests.conftest import scripted_engines
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import load_arena
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.request import Request
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.staleness import stale_partitions
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.orchestration.catalog import arena_assets, tables_of
from warrior_dagster.orchestration.checks.row_checks import row_checks
from warrior_dagster.orchestration.definitions import arena_resources, build_definitions
from warrior_dagster.orchestration.running import QUIET, asking_tables, full_range

SCHEMES = {"competitors": "competitor", "matchups": "matchup", "others": "nothing"}
"""What the tables are partitioned by that a step names together."""
EVERYTHING = [(name, None) for name in SCHEMES]
"""The steps that materialize every partition of every asset."""


def materialize(
    arena: Arena,
    engines: Engines,
    *steps: tuple[str, str | None],
    instance: dg.DagsterInstance | None = None,
    succeeds: bool = True,
    checks: bool = False,
) -> list[dg.ExecuteInProcessResult]:
    """Materialize steps one after another, a run each: what `named` gives for a name, in one partition, or for None in all.

    Runs are recorded in memory without an `instance`. With `checks`, the checks of rows run too, a fifth of a run's
    time, and a blocking one that fails fails the run.
    """
    assets, results, instance = arena_assets(Scope(arena)), [], instance or dg.DagsterInstance.ephemeral()
    checked = row_checks(Scope(arena)) if checks else []
    for name, partition in steps:
        tables = named(arena, name)
        members = [asset for asset in assets if asset.key.to_user_string() in tables]
        assert members, f"no table, group or scheme of the arena is named {name}"
        result = dg.materialize(
            [*assets, *checked],
            selection=members,
            partition_key=partition,
            tags=full_range(members[0]) if partition is None else {},
            resources={**arena_resources(Scope(arena)), "engines": engines},
            run_config=QUIET,
            instance=instance,
            raise_on_error=succeeds,
        )
        assert result.success == succeeds
        results.append(result)
    return results


def named(arena: Arena, name: str) -> set[str]:
    """The table of a name, or else the tables of the group of that name, or of the scheme in SCHEMES."""
    tables = tables_of(arena)
    one = {table.name for table in tables if table.name == name}
    return one or {table.name for table in tables if name == table.group or SCHEMES.get(name) == table.partitioned_by}


def materialize_file(file: Path) -> int:
    """Materialize the arena of a file, with scripted engines; returns how many samples were sent. For another process."""
    arena, log = load_arena(file), list[Request]()
    with scripted_engines(arena, log, []) as engines:
        materialize(arena, engines, *EVERYTHING)
    return sum(len(request.samples) for request in log)


def asking_partitions(arena: Arena) -> dict[str, list[str]]:
    """The tables of an arena whose rows come from requests, each with its partitions."""
    return {table.name: table.partitions(arena) for table in asking_tables(arena)}


def stale(arena: Arena) -> dict[str, dict[str, str]]:
    """The stale partitions of each asset that has any, with the reasons."""
    graph, warehouse, scope = build_definitions(arena).resolve_asset_graph(), open_warehouse(arena), Scope(arena)
    found = {a.key.to_user_string(): stale_partitions(scope, graph, a.key, warehouse) for a in arena_assets(scope)}
    return {name: partitions for name, partitions in found.items() if partitions}
