"""From arenas to Dagster's Definitions: assets, checks, jobs, schedules, sensors, and the resources that they use."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import dagster as dg

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import ArenaError, load_arena
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.ledger.earlier_folders import record_earlier_folders
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.progress import Report
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.orchestration.automation_sensor import automated, automation_sensor
from warrior_dagster.orchestration.catalog import arena_assets
from warrior_dagster.orchestration.checks.row_checks import row_checks
from warrior_dagster.orchestration.checks.up_to_date import up_to_date_checks
from warrior_dagster.orchestration.crash_sensor import alive, crash_sensor
from warrior_dagster.orchestration.failure_alerts import alert_sensors
from warrior_dagster.orchestration.new_competitors import new_competitors_job, new_competitors_sensor
from warrior_dagster.orchestration.run_pruning import prune_runs, pruning_schedules
from warrior_dagster.orchestration.scheduled_update import update_sensor
from warrior_dagster.orchestration.selection_jobs import selection_jobs
from warrior_dagster.planning.assets import arena_plan
from warrior_dagster.warehouse.state import local_folder
from warrior_dagster.warehouse.tables import Warehouse


def definitions_of_files(files: Sequence[Path]) -> dg.Definitions:
    """The definitions of a code location with the arenas of some files; several arenas get prefixes. Raises ArenaError."""
    arenas = [(load_arena(file), file) for file in files]
    if conflict := conflict_of([arena for arena, _ in arenas]):
        raise ArenaError(conflict)
    return code_location([(Scope(arena, arena.name if len(arenas) > 1 else ""), file) for arena, file in arenas])


def conflict_of(arenas: Sequence[Arena]) -> str:
    """Why some arenas cannot share a code location; empty if they can."""
    for what, values in (("name", [a.name for a in arenas]), ("export.folder", [a.export.folder for a in arenas])):
        if len(set(values)) < len(values):
            return f"expected arenas of one code location to differ in {what}; found {', '.join(sorted(values))}"
    return ""


def build_definitions(arena: Arena, file: Path | None = None, resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The definitions of a code location with one arena, read from `file`; `resources` replaces some of its own."""
    return code_location([(Scope(arena), file)], resources)


def code_location(scopes: Sequence[tuple[Scope, Path | None]], resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Some arenas, each with its file, and the definitions that they share."""
    # One process per run: a loaded engine stays loaded for the run's next stage.
    shared = dg.Definitions(
        jobs=[prune_runs],
        schedules=pruning_schedules([scope.arena for scope, _ in scopes]),
        sensors=[*(crash_sensor(scope) for scope, _ in scopes), *alert_sensors()],
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(*(arena_definitions(scope, file, resources) for scope, file in scopes), shared)


def arena_definitions(scope: Scope, file: Path | None = None, resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The definitions of one arena; `resources` replaces some of its own."""
    assets, arena = automated(scope, arena_assets(scope)), scope.arena
    return dg.Definitions(
        assets=[*assets, arena_plan.make(scope)],
        asset_checks=[*row_checks(scope), *up_to_date_checks(scope, assets)],
        jobs=[new_competitors_job(scope, assets), *selection_jobs(scope)],
        sensors=[
            new_competitors_sensor(scope, file, assets),
            automation_sensor(scope, assets),
            *([update_sensor(scope, arena.schedule, assets)] if arena.schedule else []),
        ],
        resources={**arena_resources(scope), **(resources or {})},
    )


def arena_resources(scope: Scope) -> dict[str, Any]:
    """Warehouse, ledger and engines, opened by the run, sensor or schedule that needs them and closed with it."""
    arena = scope.arena

    @dg.resource
    def warehouse(context: dg.InitResourceContext) -> Iterator[Warehouse]:
        with alive(context.run.run_id, arena.warehouse) if context.run else nullcontext():
            yield open_warehouse(arena)

    @dg.resource
    def ledger(_: dg.InitResourceContext) -> LedgerReader:
        return LedgerReader(arena.warehouse)

    @dg.resource
    def engines(_: dg.InitResourceContext) -> Iterator[Engines]:
        with open_engines(arena) as opened:
            yield opened

    return {scope.name(name): one for name, one in (("warehouse", warehouse), ("ledger", ledger), ("engines", engines))}


@contextmanager
def open_engines(arena: Arena, report: Report | None = None) -> Iterator[Engines]:
    """The arena's ledger and engines; progress goes to `report` instead of the run's log."""
    folder = local_folder(arena.warehouse)
    with LedgerWriter(arena.warehouse) as ledger, Engines(arena.engine, ledger, folder, report=report) as engines:
        record_earlier_folders(arena, ledger)
        yield engines
