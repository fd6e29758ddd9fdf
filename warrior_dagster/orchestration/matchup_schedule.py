"""The matchup schedule: each tick starts a few matchups, the most informative first.

Missing matchups come before stale ones, then those whose two ratings are least certain (the sum of the widths of their
intervals, infinite without one), then those first in the roster. A matchup that is up to date never runs again.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.config.automation import Schedule
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.materialization.dagster_internals import graph_of_repository
from warrior_dagster.materialization.partitions import RANGE_END_TAG, RANGE_START_TAG, Scope
from warrior_dagster.materialization.staleness import MISSING, Hashes, fingerprint, stale_partitions
from warrior_dagster.stages.battles.assets import battle_outcomes
from warrior_dagster.stages.battles.evidence import kinds_in
from warrior_dagster.stages.ratings.assets import elo_ratings
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

JOB, SCHEDULE = "battle_matchups", "battle_matchups_schedule"


def choose(stale: Mapping[str, str], widths: Mapping[str, float], most: int) -> list[str]:
    """At most `most` of the `stale` matchups (with reasons, in roster order), the most informative first.

    `widths` are those of the competitors' rating intervals, in rating points.
    """

    def rank(matchup: str) -> tuple[bool, float]:
        return stale[matchup] != MISSING, -sum(widths.get(name, inf) for name in sides(matchup))

    return sorted(stale, key=rank)[:most]


def ranges(chosen: Sequence[str], keys: Sequence[str]) -> list[tuple[str, str]]:
    """The first and last key of each contiguous range of `keys`: one run per range loads each engine only once."""
    places = sorted(map(list(keys).index, chosen))
    starts = [p for p in places if p - 1 not in places]
    ends = [p for p in places if p + 1 not in places]
    return [(keys[first], keys[last]) for first, last in zip(starts, ends, strict=True)]


def interval_widths(warehouse: Warehouse) -> dict[str, float]:
    """The width of each competitor's rating interval; empty without ratings or without intervals."""
    rated = warehouse.read_existing(elo_ratings.name, [WHOLE])
    if rated is None:
        return {}
    return dict(rated.drop_nulls("low").select("competitor", pl.col("high") - pl.col("low")).iter_rows())


def matchup_job(scope: Scope) -> Any:
    """The job that materializes votes and outcomes of matchups."""
    return dg.define_asset_job(
        scope.name(JOB),
        selection=dg.AssetSelection.groups(scope.group(battle_outcomes.group)),
        partitions_def=scope.matchups,
        executor_def=dg.in_process_executor,  # also in a project with another executor: one engine serves both stages
        description="Votes and outcomes of some matchups.",
    )


def matchup_schedule(scope: Scope, settings: Schedule) -> dg.ScheduleDefinition:
    """The schedule of an arena, stopped until a user turns it on."""
    arena, resource = scope.arena, scope.name("warehouse")
    votes = [scope.key(one.votes.name) for one in reversed(kinds_in(arena))]

    @dg.schedule(
        job_name=scope.name(JOB),
        name=scope.name(SCHEDULE),
        cron_schedule=settings.cron,
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"At most {settings.matchups} matchups a tick: missing ones, then stale ones, those with the least certain"
        " ratings first.",
        required_resource_keys={resource},
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        warehouse: Warehouse = getattr(context.resources, resource)
        graph, keys, hashes = graph_of_repository(context), matchup_keys(arena.roster), Hashes(warehouse)
        stale = {
            matchup: reason
            for asset in (scope.key(battle_outcomes.name), *votes)  # the reason of the votes replaces that of the outcomes
            for matchup, reason in stale_partitions(scope, graph, asset, warehouse).items()
        }

        def ready(matchup: str) -> bool:
            return all("" not in fingerprint(scope, graph, asset, matchup, hashes).values() for asset in votes)

        chosen = choose({m: stale[m] for m in keys if m in stale and ready(m)}, interval_widths(warehouse), settings.matchups)
        if not chosen:
            waiting = f"{len(stale)} matchups wait for instructions or answers that do not exist yet"
            return dg.SkipReason(waiting if stale else "every matchup is up to date")
        tick = context.scheduled_execution_time.isoformat()  # Dagster never runs the same key twice, even in another tick
        return [
            dg.RunRequest(run_key=f"{tick} {first}", tags={RANGE_START_TAG: first, RANGE_END_TAG: last})
            for first, last in ranges(chosen, keys)
        ]

    return schedule
