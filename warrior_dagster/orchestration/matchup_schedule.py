"""The matchup schedule: at each tick a few matchups battle, those first of which a battle tells most.

Missing ones come before those that are out of date; within each, those whose two competitors' ratings are least certain (the
sum of the widths of their intervals; a competitor without one is the least certain), then in roster order. One that is up to
date is never run again: its votes are in the ledger, and a second look at them tells nothing.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.automation import Schedule
from warrior_dagster.config.matchups import sides
from warrior_dagster.materialization.partitions import RANGE_END_TAG, RANGE_START_TAG, Partitions
from warrior_dagster.materialization.staleness import MISSING, Hashes, basis, out_of_date
from warrior_dagster.warehouse.tables import NEVER_MATERIALIZED, WHOLE, Warehouse

JOB = "battle_matchups"


def choose(stale: Mapping[str, str], widths: Mapping[str, float], most: int) -> list[str]:
    """At most `most` of the matchups that are `stale` (with the reason, in roster order), the most telling first.

    `widths` are those of the competitors' rating intervals, in points.
    """

    def rank(matchup: str) -> tuple[bool, float]:
        return stale[matchup] != MISSING, -sum(widths.get(name, inf) for name in sides(matchup))

    return sorted(stale, key=rank)[:most]


def ranges(chosen: Sequence[str], keys: Sequence[str]) -> list[tuple[str, str]]:
    """The first and last of each run of neighbours among `keys`: a range is one run, and loads each engine once."""
    places = sorted(map(list(keys).index, chosen))
    starts = [p for p in places if p - 1 not in places]
    ends = [p for p in places if p + 1 not in places]
    return [(keys[first], keys[last]) for first, last in zip(starts, ends, strict=True)]


def interval_widths(warehouse: Warehouse) -> dict[str, float]:
    """Of each rated competitor; none where no ratings are there yet, or no intervals."""
    try:
        rated = warehouse.read("elo_ratings", [WHOLE]).drop_nulls("low")
    except LookupError as error:
        if NEVER_MATERIALIZED not in str(error):
            raise
        return {}
    return dict(rated.select("competitor", pl.col("high") - pl.col("low")).iter_rows())


def matchup_job(parts: Partitions) -> Any:
    """Votes and outcomes of matchups."""
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.groups("matchups"),
        partitions_def=parts.matchups,
        executor_def=dg.in_process_executor,  # in a project with another executor too: an engine serves both stages
        description="Votes and outcomes of some matchups.",
    )


def matchup_schedule(arena: Arena, parts: Partitions, settings: Schedule) -> dg.ScheduleDefinition:
    """The schedule of an arena that asks for one; stopped until somebody turns it on."""

    @dg.schedule(
        job_name=JOB,
        name="nightly_matchups",
        cron_schedule=settings.cron,
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"At most {settings.matchups} matchups a tick: missing ones, then out of date ones, of each those with the"
        " least certain ratings first.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        warehouse, graph = Warehouse(arena.warehouse), context.repository_def.asset_graph
        votes = [*["execution_votes"] * arena.runs_tests, "judge_votes"]
        stale = {
            m: why
            for name in ("battle_outcomes", *votes)  # the reason that counts is the votes'
            for m, why in out_of_date(graph, dg.AssetKey(name), warehouse).items()
        }
        keys, hashes = parts.matchups.get_partition_keys(), Hashes(warehouse)

        def ready(matchup: str) -> bool:
            return all("" not in basis(graph, dg.AssetKey(name), matchup, hashes).values() for name in votes)

        chosen = choose({m: stale[m] for m in keys if m in stale and ready(m)}, interval_widths(warehouse), settings.matchups)
        if not chosen:
            waiting = f"{len(stale)} matchups wait for instructions or answers that are not there"
            return dg.SkipReason(waiting if stale else "every matchup is up to date")
        # A key of its own each: Dagster refuses several requests without, and never runs a key twice, whichever tick it is of.
        return [
            dg.RunRequest(
                run_key=f"{context.scheduled_execution_time.isoformat()} {first}",
                tags={RANGE_START_TAG: first, RANGE_END_TAG: last},
            )
            for first, last in ranges(chosen, keys)
        ]

    return schedule
