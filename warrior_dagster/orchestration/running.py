"""Materializing a whole arena in one process: a run each for competitors, matchups and the rest; engines stay loaded."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import dagster as dg

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.materialization.dagster_internals import graph_of_assets
from warrior_dagster.materialization.partitions import RANGE_END_TAG, RANGE_START_TAG, Scope
from warrior_dagster.materialization.staleness import stale_partitions, table_of
from warrior_dagster.materialization.table import Table, open_warehouse
from warrior_dagster.orchestration.catalog import SCHEMES, arena_assets, tables_of
from warrior_dagster.orchestration.checks.row_checks import row_checks
from warrior_dagster.orchestration.definitions import arena_resources
from warrior_dagster.orchestration.failures import BEFORE_ITS_FIRST_STEP, failed, failure_reasons, name_of
from warrior_dagster.orchestration.upcoming_work import ranges
from warrior_dagster.planning.cost import PlanLine, lines, measures_of
from warrior_dagster.planning.last_run import LastRun, Use, read_last_run, run_begins, write_last_run
from warrior_dagster.planning.plan import walk
from warrior_dagster.report.assets import FILE as REPORT
from warrior_dagster.stages.export.files import FILES
from warrior_dagster.stages.ratings.assets import elo_ratings
from warrior_dagster.warehouse.tables import NEVER_MATERIALIZED, WHOLE, Warehouse

COSTS = (
    "completions_sent",
    "completions_from_ledger",
    "prompt_tokens",
    "completion_tokens",
    "engine_starts",
    "gpu_hours",
    "seconds_asking",
)
"""The metadata of a materialization that a summary repeats."""
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class RunSummary:
    """The results of the runs so far."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the requests of each table that asks models cost: the values of COSTS."""
    ratings_before: dict[str, float] = field(default_factory=dict)
    failed_checks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """The findings of checks of severity WARN."""
    stopped: str = ""
    up_to_date: bool = False
    """Whether nothing was left to make; the findings are then those of the last run."""


class RunFailed(RuntimeError):
    """A run failed; the message has the failed steps and their reasons."""


def run_arena(arena: Arena, engines: Engines, announce: Callable[[list[PlanLine]], None] = lambda plan: None) -> dict[str, Any]:
    """Materialize everything, unless all of it is up to date; returns the summary that `warrior run --json` prints. Raises
    RunFailed.

    Before anything is made, `announce` gets the plan. Runs are recorded in the Dagster instance of DAGSTER_HOME, where the UI
    shows them; what they take is recorded beside what was planned, in the warehouse.
    """
    assets, plan, last = arena_assets(Scope(arena)), planned(arena), read_last_run(arena)
    summary = RunSummary(ratings_before=ratings_of(open_warehouse(arena)))
    if last and is_up_to_date(arena, assets, plan, last):
        summary.up_to_date, summary.failed_checks, summary.warnings = True, last.failed_checks, last.warnings
        return as_json(arena, summary, engines)
    announce(plan)
    record, engines.seconds_ahead = run_begins(arena, plan), seconds_by_stage(plan)
    with dg.DagsterInstance.get() as instance:
        run = runner(arena, engines, assets, instance, summary)
        for scheme in SCHEMES:
            names = {one.name for one in tables_of(arena) if one.partitioned_by == scheme}
            members = [asset for asset in assets if table_of(asset.key) in names]
            try:
                run(members, full_range(members[0]))
            finally:
                took(arena, record, summary, engines)
    record.finished, record.state = datetime.now(UTC), state(arena)
    record.failed_checks, record.warnings = summary.failed_checks, summary.warnings
    write_last_run(arena, record)
    return as_json(arena, summary, engines) | {"planned_and_actual": record.model_dump(mode="json")}


def is_up_to_date(arena: Arena, assets: list[dg.AssetsDefinition], plan: Iterable[PlanLine], last: LastRun) -> bool:
    """Whether a run would change nothing: arena and rows are as the last run left them, no request is left or failed, nothing
    is out of date, and each export exists.
    """
    scope, graph, warehouse, folder = Scope(arena), graph_of_assets(assets), open_warehouse(arena), Path(arena.export.folder)
    files = [folder / REPORT, *(folder / kind / name for kind in arena.export.formats for name in FILES.values())]
    return (
        last.state == state(arena)
        and not any(line.to_send for line in plan)
        and all(map(Path.exists, files))
        and not any(stale_partitions(scope, graph, asset.key, warehouse) for asset in assets)
        and not failed_requests(arena)
    )


def state(arena: Arena) -> str:
    """A hash over an arena's values and the rows of all its tables."""
    warehouse = open_warehouse(arena)
    rows = {table.name: warehouse.partitions(table.name) for table in tables_of(arena)}
    return sha256(f"{arena.model_dump_json()}{json.dumps(rows, sort_keys=True)}".encode()).hexdigest()[:32]


def planned(arena: Arena) -> list[PlanLine]:
    """The plan at the start of a run. Why completions are asked for again is left out: it takes a scan of all prompts."""
    ledger = LedgerReader(arena.warehouse)
    stages = walk(arena, ledger, open_warehouse(arena))
    return lines(arena, stages, measures_of(arena, ledger, stages), {})


def seconds_by_stage(plan: Iterable[PlanLine]) -> dict[str, float]:
    """The seconds that each stage is planned to take; empty if those of one are unknown."""
    seconds = defaultdict[str, float](float)
    for line in plan:
        if line.seconds is None:
            return {}
        seconds[line.stage] += line.seconds
    return seconds


def took(arena: Arena, record: LastRun, summary: RunSummary, engines: Engines) -> None:
    """Record what a run took so far."""
    record.actual = {
        table: Use(
            completions=own["completions_sent"],
            prompt_tokens=own["prompt_tokens"],
            completion_tokens=own["completion_tokens"],
            gpu_hours=own["gpu_hours"],
            seconds=own["seconds_asking"],
        )
        for table, own in summary.stages.items()
    }
    starts = {model: usage.start_seconds / usage.engine_starts for model, usage in engines.total.items() if usage.engine_starts}
    record.start_seconds |= starts
    write_last_run(arena, record)


def retry_failed(arena: Arena, engines: Engines) -> dict[str, Any]:
    """Materialize all existing partitions again, from the first table with failed requests on; otherwise as `run_arena`.

    Only failed requests are sent, and those that depend on their answers: the ledger has the others. Stops at an asset that
    needs partitions which do not exist; the summary's `stopped` names them.
    """
    assets, warehouse = arena_assets(Scope(arena)), open_warehouse(arena)
    summary = RunSummary(ratings_before=ratings_of(warehouse))
    names = [table_of(asset.key) for asset in assets]
    first = min(map(names.index, failed_requests(arena)), default=len(assets))
    with dg.DagsterInstance.get() as instance:
        run = runner(arena, engines, assets, instance, summary)
        for asset in assets[first:]:
            try:
                for tags in existing_ranges(asset, warehouse):
                    run([asset], tags)
            except RunFailed as error:
                if NEVER_MATERIALIZED not in str(error):
                    raise
                summary.stopped = str(error)
                break
    return as_json(arena, summary, engines)


def failed_requests(arena: Arena) -> dict[str, Counter[str]]:
    """The reasons of failed requests with their counts, by table; without tables that have none."""
    warehouse, found = open_warehouse(arena), {}
    for table in asking_tables(arena):
        assert table.requests
        rows = warehouse.read_existing(table.name, table.partitions(arena), table.requests.error.meta.root_names())
        if rows is not None and (reasons := rows.select(error=table.requests.error)["error"].drop_nulls().to_list()):
            found[table.name] = Counter[str](reasons)
    return found


def asking_tables(arena: Arena) -> list[Table]:
    """The tables of an arena whose rows come from requests."""
    return [table for table in tables_of(arena) if table.requests]


def existing_ranges(asset: dg.AssetsDefinition, warehouse: Warehouse) -> list[dict[str, str]]:
    """The tags of the runs over the existing partitions of an asset: one run for each contiguous range."""
    keys = list(asset.partitions_def.get_partition_keys()) if asset.partitions_def else [WHOLE]
    existing = warehouse.existing_partitions(table_of(asset.key), keys)
    if asset.partitions_def is None:
        return [{}] if existing else []
    return [{RANGE_START_TAG: first, RANGE_END_TAG: last} for first, last in ranges(existing, keys)]


def runner(
    arena: Arena, engines: Engines, assets: list[dg.AssetsDefinition], instance: dg.DagsterInstance, summary: RunSummary
) -> Callable[[list[dg.AssetsDefinition], dict[str, str]], None]:
    """A function that runs some of an arena's assets, over the partitions that the tags name, and adds to `summary`.

    It raises RunFailed.
    """
    scope = Scope(arena)
    definitions, resources = [*assets, *row_checks(scope)], {**arena_resources(scope), "engines": engines}

    def run(members: list[dg.AssetsDefinition], tags: dict[str, str]) -> None:
        result = dg.materialize(
            definitions,
            selection=members,
            instance=instance,
            resources=resources,
            tags=tags,
            run_config=QUIET,
            raise_on_error=False,
        )
        add_costs(summary, result)
        if not result.success:
            raise RunFailed(failure_reasons(result.all_events) or BEFORE_ITS_FIRST_STEP)
        made = {asset.key.to_user_string() for asset in members}
        for stats in instance.get_run_step_stats(result.run_id):
            if stats.start_time and stats.end_time and stats.step_key in made:  # the others are checks
                summary.seconds[stats.step_key] += round(stats.end_time - stats.start_time, 3)
        add_findings(summary, result)

    return run


def ratings_of(warehouse: Warehouse) -> dict[str, float]:
    """The present rating of each competitor."""
    rows = warehouse.read_existing(elo_ratings.name, [WHOLE], ["competitor", "rating"])
    return {} if rows is None else dict(rows.select("competitor", "rating").iter_rows())


def add_costs(summary: RunSummary, result: dg.ExecuteInProcessResult) -> None:
    """Add what a run's assets took to ask models; all partitions of an asset have the same sums."""
    for event in result.get_asset_materialization_events():
        values: dict[str, Any] = {name: found.value for name, found in event.materialization.metadata.items()}
        if "completions_sent" in values:
            summary.stages[table_of(event.materialization.asset_key)] = {name: values[name] for name in COSTS}


def add_findings(summary: RunSummary, result: dg.ExecuteInProcessResult) -> None:
    """Add the findings of a run's checks."""
    for check in result.get_asset_check_evaluations():
        name = name_of(check)
        if failed(check):
            summary.failed_checks.append(name)
        elif not check.passed and check.description:
            summary.warnings += [f"{name}: {line}" for line in check.description.splitlines()]
        elif not check.passed:
            summary.warnings += [f"{name}: {about}: {value.value}" for about, value in check.metadata.items()]


def full_range(asset: dg.AssetsDefinition) -> dict[str, str]:
    """The tags of a run over all partitions of an asset; empty if it has no partitions."""
    if asset.partitions_def is None:
        return {}
    keys = asset.partitions_def.get_partition_keys()
    return {RANGE_START_TAG: keys[0], RANGE_END_TAG: keys[-1]}


def as_json(arena: Arena, summary: RunSummary, engines: Engines) -> dict[str, Any]:
    """Rows per table, requests and tokens per model and per asset, seconds per asset, ratings and those before, failed checks,
    and paths of the exports.
    """
    warehouse, rows = open_warehouse(arena), dict[str, int]()
    for table in tables_of(arena):
        existing = warehouse.existing_partitions(table.name, table.partitions(arena))
        rows[table.name] = warehouse.count(table.name, existing) if existing else 0
    ratings = warehouse.read(elo_ratings.name, [WHOLE]).sort("rating", descending=True) if rows[elo_ratings.name] else None
    return {
        "arena": arena.name,
        "warehouse": arena.warehouse,
        "rows": rows,
        "models": {model: asdict(usage) for model, usage in engines.total.items()},
        "stages": summary.stages,
        "seconds": dict(summary.seconds),
        "failed_checks": summary.failed_checks,
        "warnings": summary.warnings,
        "stopped": summary.stopped,
        "up_to_date": summary.up_to_date,
        "ratings_before": summary.ratings_before,
        "ratings": [] if ratings is None else ratings.drop("row_id", "partition").to_dicts(),
        "exports": {kind: str(Path(arena.export.folder) / kind) for kind in arena.export.formats},
    }
