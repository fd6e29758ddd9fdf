"""Deletes old runs, whose events would grow the database without limit.

The run with the newest materialization of each partition is kept, for the UI shows it.
"""

import time
from collections.abc import Sequence

import dagster as dg

from warrior_dagster.config.arena import Arena

BATCH = 1000
DAY = 86_400


class Pruning(dg.Config):
    """The configuration of the job."""

    keep_days: float = 30
    """Runs that ended within this many days are kept."""


@dg.op
def prune(context: dg.OpExecutionContext, config: Pruning) -> int:
    """Delete the old runs; returns their number."""
    runs = old_runs(context.instance, time.time() - config.keep_days * DAY)
    for run_id in runs:
        context.instance.delete_run(run_id)
    context.log.info(f"deleted {len(runs)} runs that ended more than {config.keep_days:g} days ago")
    return len(runs)


@dg.job(
    description="Deletes old runs and their events, but never a partition's newest materialization.",
    executor_def=dg.in_process_executor,
)
def prune_runs() -> None:
    prune()


def pruning_schedules(arenas: Sequence[Arena]) -> list[dg.ScheduleDefinition]:
    """The schedule of a code location, if all of its arenas say how long runs are kept; the longest time counts."""
    days = [arena.automation.keep_runs_days for arena in arenas]
    if not days or None in days:
        return []
    keep = max(one for one in days if one is not None)
    return [
        dg.ScheduleDefinition(
            name="prune_runs_daily",
            job=prune_runs,
            cron_schedule="@daily",
            run_config=dg.RunConfig(ops={"prune": Pruning(keep_days=keep)}),
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=f"Deletes runs that ended more than {keep:g} days ago (automation.keep_runs_days).",
        )
    ]


def old_runs(instance: dg.DagsterInstance, before: float) -> list[str]:
    """Runs that ended before a time (seconds since 1970) and hold no partition's newest materialization."""
    needed = newest_materializations(instance)
    finished = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    records = instance.get_run_records(dg.RunsFilter(statuses=finished))
    ended = [record.dagster_run.run_id for record in records if record.end_time and record.end_time < before]
    return [run_id for run_id in ended if run_id not in needed]


def newest_materializations(instance: dg.DagsterInstance) -> set[str]:
    """The runs that hold the newest materialization of any partition of any asset."""
    runs = set[str]()
    for asset in instance.all_asset_keys():
        seen, cursor = set[str | None](), None
        while True:
            found = instance.fetch_materializations(asset, limit=BATCH, cursor=cursor)
            for record in found.records:
                if record.partition_key not in seen:
                    seen.add(record.partition_key)
                    runs.add(record.run_id)
            if not found.has_more:
                break
            cursor = found.cursor
    return runs
