"""Materializing a whole arena in one process: the assets of the UI, one run a partition scheme, engines kept between."""

import os
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from warrior_dagster.arena import Arena
from warrior_dagster.build import arena_assets, open_engines
from warrior_dagster.inference.progress import Report
from warrior_dagster.partitions import RANGE_END_TAG, RANGE_START_TAG
from warrior_dagster.storage import WHOLE, Warehouse

GROUPS = ("competitors", "matchups", "leaderboard")
"""The asset groups, each of one partition scheme, in the order of their dependencies."""
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


class RunFailed(RuntimeError):
    """A run did not succeed; the message has the failed steps and their reasons."""


def run_arena(arena: Arena, report: Report | None = None) -> dict[str, Any]:
    """Materialize everything; returns the summary that `warrior run --json` prints. Raises RunFailed.

    The runs are recorded in the Dagster instance of DAGSTER_HOME, where the UI shows them.
    """
    assets = arena_assets(arena)
    seconds: dict[str, float] = {}
    failed_checks: list[str] = []
    with dg.DagsterInstance.get() as instance, open_engines(arena, report) as engines:
        for group in GROUPS:
            members = [asset for asset in assets if group in asset.group_names_by_key.values()]
            resources = {"warehouse": Warehouse(arena.warehouse), "engines": engines}
            result = dg.materialize(
                assets,
                selection=members,
                instance=instance,
                resources=resources,
                tags=whole_range(members[0]),
                run_config=QUIET,
                raise_on_error=False,
            )
            if not result.success:
                raise RunFailed(reasons(result))
            for stats in instance.get_run_step_stats(result.run_id):
                if stats.start_time and stats.end_time:
                    seconds[stats.step_key] = round(stats.end_time - stats.start_time, 3)
            failed_checks += [
                f"{check.asset_key.to_user_string()}: {check.check_name}"
                for check in result.get_asset_check_evaluations()
                if not check.passed
            ]
        models = {model: asdict(usage) for model, usage in engines.total.items()}
    return summary(arena, assets, seconds, models) | {"failed_checks": failed_checks}


def whole_range(asset: dg.AssetsDefinition) -> dict[str, str]:
    """The tags of a run over all partitions of an asset; none if it has no partitions."""
    if asset.partitions_def is None:
        return {}
    keys = asset.partitions_def.get_partition_keys()
    return {RANGE_START_TAG: keys[0], RANGE_END_TAG: keys[-1]}


def reasons(result: dg.ExecuteInProcessResult) -> str:
    """One paragraph for each failed step."""
    lines = []
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            told = failure.user_failure_data.description if failure.user_failure_data else None
            cause = failure.error.cause if failure.error else None
            lines.append(f"{event.step_key}: {told or (cause or failure.error).to_string().strip()}")  # type: ignore[union-attr]
    return "\n\n".join(lines) or "the run failed before its first step"


def summary(
    arena: Arena, assets: list[dg.AssetsDefinition], seconds: dict[str, float], models: dict[str, Any]
) -> dict[str, Any]:
    """Rows an asset, requests and tokens a model, seconds a stage, ratings, and where the export is."""
    warehouse = Warehouse(arena.warehouse)
    rows: dict[str, int] = defaultdict(int)
    for asset in assets:
        name = asset.key.to_user_string()
        keys = asset.partitions_def.get_partition_keys() if asset.partitions_def else [WHOLE]
        rows[name] = len(warehouse.read(name, keys))
    ratings = warehouse.read("elo_ratings", [WHOLE]).sort("rating", descending=True)
    return {
        "arena": arena.name,
        "warehouse": arena.warehouse,
        "rows": dict(rows),
        "models": models,
        "seconds": seconds,
        "ratings": ratings.drop("row_id", "partition").to_dicts(),
        "exports": {kind: str(Path(arena.export.folder) / kind) for kind in arena.export.formats},
    }


def default_dagster_home() -> Path:
    """Where runs are recorded: DAGSTER_HOME, or `dagster_home` below the current folder, which is made and set."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(Path("dagster_home").resolve())))
    home.mkdir(parents=True, exist_ok=True)
    return home
