"""A new competitor with a real daemon, in each possible way: all of its work is done, and nothing is silently left out.

The fourth way, automation that was on before, is among its ticks in test_by_itself.
"""

import pytest

from tests.orchestration.growing import Arena
from tests.orchestration.served import Dagster, waited
from warrior_dagster.config.matchups import matchup_keys

pytestmark = pytest.mark.served


def test_all_work_of_a_new_competitor_is_done_by_one_backfill_by_the_sensor_or_in_steps(
    ui: tuple[Dagster, Arena],
) -> None:
    dagster, arena = ui
    waited(lambda: dagster.said("new_competitors") == "no competitor is new")
    brought_by_one_choice(dagster, arena, "dan")
    brought_by_the_sensor(dagster, arena, "eve")
    brought_in_steps(dagster, arena, "fay")


def brought_by_one_choice(dagster: Dagster, arena: Arena, newcomer: str) -> None:
    """The sensor reports the new competitor and its cost; one backfill from its partition does all of the work."""
    before = arena.starts()
    arena.append(newcomer)
    waited(lambda: dagster.said("new_competitors") == f"arena.yaml has changed: new are {newcomer}; reload the code location")
    dagster.reload()
    to_start = "to start, launch the job materialize_new_competitors; materializing everything will send "
    waited(lambda: dagster.said("new_competitors").startswith(f"new: {newcomer}; {to_start}"))
    assert "requests" in dagster.said("new_competitors")
    assert dagster.backfills() == {}
    assert dagster.finished(dagster.backfill(arena.assets(), [newcomer])) == "COMPLETED_SUCCESS"
    assert arena.complete()
    started = arena.starts() - before
    assert len(started) <= 3  # the competitors', the matchups', and at most one between
    assert set(started.values()) == {1}


def brought_by_the_sensor(dagster: Dagster, arena: Arena, newcomer: str) -> None:
    """If the arena's file says so, the sensor starts that backfill itself, once."""
    earlier = set(dagster.backfills())
    arena.append(newcomer, automation={"backfill_new_competitors": True})
    dagster.reload()
    (started,) = waited(lambda: set(dagster.backfills()) - earlier)
    assert dagster.finished(started) == "COMPLETED_SUCCESS"
    assert arena.complete()
    waited(lambda: dagster.said("new_competitors") == "no competitor is new")
    assert set(dagster.backfills()) - earlier == {started}


def brought_in_steps(dagster: Dagster, arena: Arena, newcomer: str) -> None:
    """Missing partitions only, group by group: what the earlier competitors must answer is out of date and not missing, so the
    matchups stop with an error, and nothing is silently left out. Everybody's answers, and what follows, is the rest.
    """
    arena.append(newcomer)
    dagster.reload()
    competitors, rest = arena.assets()[:5], arena.assets()[5:]
    assert competitors[-1] == "selected_instructions"
    assert dagster.finished(dagster.backfill(competitors, [newcomer])) == "COMPLETED_SUCCESS"
    new = [m for m in matchup_keys(arena.names) if newcomer in m]
    assert dagster.finished(dagster.backfill(["judge_votes"], new)) == "COMPLETED_FAILED"
    assert set(arena.stale()["answers"]) == set(arena.names)
    assert dagster.finished(dagster.backfill(rest, arena.names)) == "COMPLETED_SUCCESS"
    assert arena.complete()
