"""The sensor `scheduled_update` brings an arena up to date within a window and a budget: newcomers, ratings and data sets too.

A schedule of Dagster ticks once, when only the first stage can start. This sensor looks again after every run, so that each
stage starts when those before it are finished, the window is still open, and the plan, which by then knows more, still fits.
"""

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

import dagster as dg

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.automation import Schedule
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.materialization.dagster_internals import (
    graph_of_repository,
    last_cron_time,
    next_cron_time,
    running_backfills,
)
from warrior_dagster.materialization.partitions import RANGE_END_TAG, RANGE_START_TAG, Scope
from warrior_dagster.orchestration.budget import Plan, fitting, limits, planned, shares, too_much, total
from warrior_dagster.orchestration.upcoming_work import Upcoming, Work, ranges
from warrior_dagster.warehouse.tables import Warehouse

SENSOR = "scheduled_update"
SECONDS = 60
WINDOW, INPUTS, PLANNED = "warrior/window", "warrior/inputs", "warrior/planned"
"""Tags of the runs: the window, a hash of what the run's partitions are made from, and what the plan says that they take."""
ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


def now() -> datetime:
    return datetime.now(UTC)


def update_sensor(scope: Scope, schedule: Schedule, assets: Sequence[dg.AssetsDefinition]) -> dg.SensorDefinition:
    """The sensor of an arena, stopped until a user turns it on."""
    arena, keys, loaded = scope.arena, {asset.key for asset in assets}, time.time_ns()
    resources = {name: scope.name(name) for name in ("warehouse", "ledger")}

    @dg.sensor(
        name=scope.name(SENSOR),
        asset_selection=dg.AssetSelection.assets(*keys),  # a `target` is a job, whose assets have one partition scheme
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"Brings everything up to date in windows of {schedule.hours:g} hours (cron {schedule.cron},"
        f" {schedule.timezone}), within the budget of the arena's file. It costs GPU hours.",
        required_resource_keys=set(resources.values()),
    )
    def sensor(context: dg.SensorEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        warehouse: Warehouse = getattr(context.resources, resources["warehouse"])
        ledger: LedgerReader = getattr(context.resources, resources["ledger"])
        moment = now()
        opened = last_cron_time(schedule.cron, schedule.timezone, moment)
        if moment >= opened + timedelta(hours=schedule.hours):
            opens = next_cron_time(schedule.cron, schedule.timezone, moment)
            return dg.SkipReason(f"the window is closed until {opens:%Y-%m-%d %H:%M} {schedule.timezone}")
        if going_on := unfinished(context.instance, keys):
            return dg.SkipReason(f"waiting for {going_on}")
        window = f"{arena.name} {opened.isoformat()}"
        newest = context.instance.get_runs(limit=1)
        state = f"{loaded} {window} {newest[0].run_id if newest else ''}"
        seen = json.loads(context.cursor or "{}")
        if seen.get("state") == state:  # nothing has run since, so that another plan would say the same
            return dg.SkipReason(seen["reason"])
        earlier = context.instance.get_runs(dg.RunsFilter(tags={WINDOW: window}))
        upcoming = Upcoming(scope, graph_of_repository(context), warehouse)
        found = next_runs(upcoming, schedule, window, earlier, lambda: planned(arena, ledger, warehouse))
        if isinstance(found, str):
            context.update_cursor(json.dumps({"state": state, "reason": found}))
            return dg.SkipReason(found)
        return found

    return sensor


def unfinished(instance: dg.DagsterInstance, keys: set[dg.AssetKey]) -> str:
    """A run or backfill of some assets that is not finished, by anybody; empty if there is none."""
    going_on = instance.get_runs(dg.RunsFilter(statuses=[status for status in dg.DagsterRunStatus if status not in ENDED]))
    runs = [f"run {run.run_id}" for run in going_on if not keys.isdisjoint(run.asset_selection or ())]
    backfills = [f"backfill {one}" for one in running_backfills(instance, keys)]
    return next(iter([*runs, *backfills]), "")


def next_runs(
    upcoming: Upcoming, schedule: Schedule, window: str, earlier: Sequence[dg.DagsterRun], plan: Callable[[], Plan]
) -> list[dg.RunRequest] | str:
    """The runs to start now, all of one table and what follows from it; or why there is none.

    Args:
        upcoming: what is out of date.
        schedule: the budget.
        window: what the runs of this window have in common.
        earlier: the runs that were started in it.
        plan: gives the plan, which is only made if a table that asks models is to fit in a budget.
    """
    spent = [json.loads(run.tags[PLANNED]) for run in earlier]
    left = {unit: most - sum(one.get(unit, 0.0) for one in spent) for unit, most in limits(schedule).items()}
    tried = {run.tags[INPUTS]: run.run_id for run in earlier}
    known, reasons, waiting = cache(plan), list[str](), 0
    for work in upcoming.work():
        amounts = shares(upcoming.scope.arena, work, known, list(left))
        chosen = fitting(work.ready, amounts, left)
        if not work.ready:
            waiting += 1
        elif not chosen:
            first = work.ready[0]
            reasons.append(f"{work.table.name}: {too_much(first, amounts[first], left)}")
        elif (inputs := upcoming.inputs(work, chosen)) in tried:
            reasons.append(f"{work.table.name}: still out of date after run {tried[inputs]}, which this window does not repeat")
        else:
            return [
                dg.RunRequest(
                    asset_selection=[upcoming.scope.key(table.name) for table in upcoming.in_one_run(work, part)],
                    tags={**tags, WINDOW: window, INPUTS: inputs, PLANNED: json.dumps(total(part, amounts))},
                )
                for part, tags in parts(work, chosen, upcoming.scope.arena)
            ]
    if waiting:
        reasons.append(f"{waiting} tables wait for others")
    return "; ".join(reasons) or "everything is up to date"


def parts(work: Work, chosen: Sequence[str], arena: Arena) -> list[tuple[list[str], dict[str, str]]]:
    """The chosen partitions as contiguous ranges, each with the tags of its run."""
    if work.table.partitioned_by == "nothing":
        return [(list(chosen), {})]
    keys = work.table.partitions(arena)
    return [
        (keys[keys.index(first) : keys.index(last) + 1], {RANGE_START_TAG: first, RANGE_END_TAG: last})
        for first, last in ranges(chosen, keys)
    ]
