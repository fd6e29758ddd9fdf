"""From an arena to Dagster's Definitions: the whole graph and what it runs on."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import dagster as dg

from warrior_dagster.analysis import assets as analysis
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.progress import Report
from warrior_dagster.materialization.partitions import partitions_of
from warrior_dagster.orchestration.automation_sensor import automated, automation_sensor
from warrior_dagster.orchestration.checks.row_checks import checks
from warrior_dagster.orchestration.checks.up_to_date import up_to_date_checks
from warrior_dagster.orchestration.crash_sensor import alive, crash_sensor
from warrior_dagster.orchestration.matchup_schedule import matchup_job, matchup_schedule
from warrior_dagster.orchestration.roster_sensor import roster_sensor
from warrior_dagster.orchestration.run_pruning import prune_runs
from warrior_dagster.planning import assets as planning
from warrior_dagster.report import assets as report_assets
from warrior_dagster.stages.battles import assets as battles
from warrior_dagster.stages.battles.unit_tests import assets as execution
from warrior_dagster.stages.curation import assets as curation
from warrior_dagster.stages.export import assets as export
from warrior_dagster.stages.mining import assets as mining
from warrior_dagster.stages.ratings import assets as ratings
from warrior_dagster.warehouse.locks import local_folder
from warrior_dagster.warehouse.tables import Warehouse


def build_definitions(arena: Arena, file: Path | None = None, resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The definitions of a code location that is one arena's, read from `file`; `resources` replaces some of its own."""
    # One process a run: an engine that is loaded stays loaded for the run's next stage.
    ours = dg.Definitions(jobs=[prune_runs], sensors=[crash_sensor(arena)], executor=dg.in_process_executor)
    return dg.Definitions.merge(arena_definitions(arena, file, resources), ours)


def arena_definitions(arena: Arena, file: Path | None = None, resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """What an arena brings wherever it is loaded; `resources` replaces some of warehouse and engines."""
    assets, parts = automated(arena_assets(arena)), partitions_of(arena)
    return dg.Definitions(
        assets=[*assets, *planning.assets(arena)],
        asset_checks=[*checks(arena), *up_to_date_checks(assets)],
        jobs=[matchup_job(parts)],
        schedules=[matchup_schedule(arena, parts, arena.schedule)] if arena.schedule else [],
        sensors=[roster_sensor(arena, file, assets), automation_sensor(assets)],
        resources={**arena_resources(arena), **(resources or {})},
    )


def arena_assets(arena: Arena) -> list[dg.AssetsDefinition]:
    """Every asset of the method, in its order."""
    parts = partitions_of(arena)
    return [
        *mining.assets(arena, parts),
        *curation.assets(arena, parts),
        *execution.assets(arena, parts),
        *battles.assets(arena, parts),
        *ratings.assets(arena),
        *export.assets(arena),
        *analysis.assets(arena, parts),
        *report_assets.assets(arena),
    ]


def arena_resources(arena: Arena) -> dict[str, dg.ResourceDefinition]:
    """Warehouse and engines, opened by the run that needs them and closed with it."""

    @dg.resource
    def warehouse(context: dg.InitResourceContext) -> Iterator[Warehouse]:
        with alive(context.run_id, arena.warehouse) if context.run_id else nullcontext():
            yield Warehouse(arena.warehouse)

    @dg.resource
    def engines(_: dg.InitResourceContext) -> Iterator[Engines]:
        with open_engines(arena) as opened:
            yield opened

    return {"warehouse": warehouse, "engines": engines}


@contextmanager
def open_engines(arena: Arena, report: Report | None = None) -> Iterator[Engines]:
    """The arena's ledger and engines; `report` is told of progress instead of the run's log."""
    folder = local_folder(arena.warehouse)
    with LedgerWriter(arena.warehouse) as ledger, Engines(arena.engine, ledger, folder, report=report) as engines:
        yield engines
