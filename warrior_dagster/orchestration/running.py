"""Materializing a whole arena in one process: the assets of the UI, one run a partition scheme, engines kept between."""

import os
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import dagster as dg

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.inference.engines import Engines
from warrior_dagster.materialization.partitions import RANGE_END_TAG, RANGE_START_TAG
from warrior_dagster.orchestration.checks.row_checks import checks
from warrior_dagster.orchestration.definitions import arena_assets, arena_resources
from warrior_dagster.warehouse.tables import NEVER_MATERIALIZED, WHOLE, Warehouse

GROUPS = ("competitors", "matchups", "leaderboard", "analysis")
"""The asset groups, each of one partition scheme, in the order of their dependencies."""
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


@dataclass
class Told:
    """What the runs so far say of themselves."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    failed_checks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """Checks that failed as warnings, with what they say."""
    stopped: str = ""


class RunFailed(RuntimeError):
    """A run did not succeed; the message has the failed steps and their reasons."""


def run_arena(arena: Arena, engines: Engines) -> dict[str, Any]:
    """Materialize everything; returns the summary that `warrior run --json` prints. Raises RunFailed.

    The runs are recorded in the Dagster instance of DAGSTER_HOME, where the UI shows them.
    """
    assets = arena_assets(arena)
    told = Told()
    with dg.DagsterInstance.get() as instance:
        for group in GROUPS:
            members = [asset for asset in assets if group in asset.group_names_by_key.values()]
            run(instance, arena, engines, members, whole_range(members[0]), told)
    return summary(arena, assets, told, engines)


def retry_failed(arena: Arena, engines: Engines) -> dict[str, Any]:
    """Materialize again, from the first stage with failed requests on, all partitions that are there; else as run_arena.

    The ledger answers all but the failed requests, so that they are asked again, and what follows from their answers. Stops
    where an asset needs partitions that are not there yet; the summary's `stopped` says which.
    """
    assets = arena_assets(arena)
    warehouse, told = Warehouse(arena.warehouse), Told()
    names = [asset.key.to_user_string() for asset in assets]
    failed = failed_requests(arena)
    with dg.DagsterInstance.get() as instance:
        for asset in assets[min(map(names.index, failed), default=len(assets)) :]:
            try:
                for tags in ranges_there(asset, warehouse):
                    run(instance, arena, engines, [asset], tags, told)
            except RunFailed as error:
                if NEVER_MATERIALIZED not in str(error):
                    raise
                told.stopped = str(error)
                break
    return summary(arena, assets, told, engines)


def failed_requests(arena: Arena) -> dict[str, Counter[str]]:
    """The reasons of failed requests, with how many failed so, by asset; only assets that have any."""
    warehouse = Warehouse(arena.warehouse)
    found = {}
    for table, keys in engine_bound(arena).items():
        if there := warehouse.there(table, keys):
            rows = warehouse.read(table, there)
            rated = table == "instruction_difficulty"
            error = rows["ratings"].explode().struct.field("error") if rated else rows["error"]
            if reasons := error.drop_nulls().to_list():
                found[table] = Counter[str](reasons)
    return found


def engine_bound(arena: Arena) -> dict[str, list[str]]:
    """The assets whose rows come from models, and the partitions that the roster gives each."""
    of_competitors = ["mined_instructions", "instruction_difficulty", "answers"]
    of_competitors += ["task_categories"] * arena.analysis.categories + ["generated_tests"] * arena.runs_tests
    return dict.fromkeys(of_competitors, arena.roster) | {"judge_votes": matchup_keys(arena.roster)}


def partition_keys(asset: dg.AssetsDefinition) -> list[str]:
    """The partitions of an asset's table, in order."""
    return list(asset.partitions_def.get_partition_keys()) if asset.partitions_def else [WHOLE]


def ranges_there(asset: dg.AssetsDefinition, warehouse: Warehouse) -> list[dict[str, str]]:
    """The tags of the runs over the partitions of an asset that are materialized: one a contiguous range."""
    keys = partition_keys(asset)
    there = warehouse.there(asset.key.to_user_string(), keys)
    if asset.partitions_def is None:
        return [{}] if there else []
    runs = groupby(keys, key=set(there).__contains__)
    ranges = [list(keys) for is_there, keys in runs if is_there]
    return [{RANGE_START_TAG: keys[0], RANGE_END_TAG: keys[-1]} for keys in ranges]


def run(
    instance: dg.DagsterInstance,
    arena: Arena,
    engines: Engines,
    members: list[dg.AssetsDefinition],
    tags: dict[str, str],
    told: Told,
) -> None:
    """One run over some assets and partitions. Raises RunFailed."""
    result = dg.materialize(
        [*arena_assets(arena), *checks(arena)],
        selection=members,
        instance=instance,
        resources={**arena_resources(arena), "engines": engines},
        tags=tags,
        run_config=QUIET,
        raise_on_error=False,
    )
    if not result.success:
        raise RunFailed(reasons(result))
    made = {asset.key.to_user_string() for asset in members}
    for stats in instance.get_run_step_stats(result.run_id):
        if stats.start_time and stats.end_time and stats.step_key in made:  # the others are checks
            told.seconds[stats.step_key] += round(stats.end_time - stats.start_time, 3)
    for check in result.get_asset_check_evaluations():
        name = f"{check.asset_key.to_user_string()}: {check.check_name}"
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
            told.failed_checks.append(name)
        elif not check.passed and check.description:
            told.warnings += [f"{name}: {line}" for line in check.description.splitlines()]
        elif not check.passed:
            told.warnings += [f"{name}: {about}: {value.value}" for about, value in check.metadata.items()]


def whole_range(asset: dg.AssetsDefinition) -> dict[str, str]:
    """The tags of a run over all partitions of an asset; none if it has no partitions."""
    if asset.partitions_def is None:
        return {}
    keys = asset.partitions_def.get_partition_keys()
    return {RANGE_START_TAG: keys[0], RANGE_END_TAG: keys[-1]}


def reasons(result: dg.ExecuteInProcessResult) -> str:
    """One paragraph for each failed blocking check, and for each step that failed otherwise."""
    lines, checking = [], set[str]()
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:  # comes before its step's failure
            check = event.asset_check_evaluation_data
            if check.blocking and not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
                checking.add(event.step_key or "")
                lines.append(f"{check.asset_key.to_user_string()}: the check {check.check_name} failed\n{check.description}")
        if event.is_step_failure and event.step_key not in checking:
            failure = event.step_failure_data
            told = failure.user_failure_data.description if failure.user_failure_data else None
            cause = failure.error.cause if failure.error else None
            lines.append(f"{event.step_key}: {told or (cause or failure.error).to_string().strip()}")  # type: ignore[union-attr]
    return "\n\n".join(lines) or "the run failed before its first step"


def summary(arena: Arena, assets: list[dg.AssetsDefinition], told: Told, engines: Engines) -> dict[str, Any]:
    """Rows an asset, requests and tokens a model, seconds a stage, ratings, failed checks, and where the export is."""
    warehouse = Warehouse(arena.warehouse)
    rows: dict[str, int] = defaultdict(int)
    for asset in assets:
        name = asset.key.to_user_string()
        there = warehouse.there(name, partition_keys(asset))
        rows[name] = warehouse.count(name, there) if there else 0
    ratings = warehouse.read("elo_ratings", [WHOLE]).sort("rating", descending=True) if rows["elo_ratings"] else None
    return {
        "arena": arena.name,
        "warehouse": arena.warehouse,
        "rows": dict(rows),
        "models": {model: asdict(usage) for model, usage in engines.total.items()},
        "seconds": dict(told.seconds),
        "failed_checks": told.failed_checks,
        "warnings": told.warnings,
        "stopped": told.stopped,
        "ratings": [] if ratings is None else ratings.drop("row_id", "partition").to_dicts(),
        "exports": {kind: str(Path(arena.export.folder) / kind) for kind in arena.export.formats},
    }


def default_dagster_home() -> Path:
    """Where runs are recorded: DAGSTER_HOME, or `dagster_home` below the current folder, which is made and set."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(Path("dagster_home").resolve())))
    home.mkdir(parents=True, exist_ok=True)
    return home
