"""The scheduled update: what each window starts, in which order, within which limits, and why it starts nothing more."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from tests.conftest import scripted_engines
from tests.runs import stale
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.inference.request import Request
from warrior_dagster.materialization.dagster_internals import start_backfill
from warrior_dagster.materialization.partitions import RANGE_END_TAG, RANGE_START_TAG, Scope
from warrior_dagster.orchestration import scheduled_update
from warrior_dagster.orchestration.catalog import arena_assets, tables_of
from warrior_dagster.orchestration.checks.row_checks import row_checks
from warrior_dagster.orchestration.definitions import arena_resources, build_definitions
from warrior_dagster.orchestration.scheduled_update import PLANNED, SENSOR, WINDOW

MakeArena = Callable[..., Arena]
OPEN = datetime(2026, 1, 1, 3, tzinfo=UTC)
"""An hour after the default window opens."""
DAY = timedelta(days=1)


class Server:
    """An arena with its Dagster instance, a scripted engine and a clock."""

    def __init__(self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        self.instance, self.time, self.sent = instance, OPEN, list[Request]()
        self.failing = ""
        """A table whose runs fail."""
        monkeypatch.setattr(scheduled_update, "now", lambda: self.time)

    def window(self, arena: Arena) -> tuple[list[dg.RunRequest], str]:
        """All runs that one window starts, each finished before the next tick, and the last tick's reason to start none."""
        repository, cursor, started = build_definitions(arena).get_repository_def(), None, list[dg.RunRequest]()
        while True:
            resources = dict(repository.get_top_level_resources())  # as the code server gives them
            with dg.build_sensor_context(
                instance=self.instance, cursor=cursor, repository_def=repository, resources=resources
            ) as context:
                result = repository.get_sensor_def(SENSOR).evaluate_tick(context)
            if not result.run_requests:
                return started, str(result.skip_message)
            cursor = result.cursor
            for request in result.run_requests:
                self.run(arena, request)
            started += result.run_requests

    def run(self, arena: Arena, request: dg.RunRequest) -> None:
        """Execute a run as the daemon would."""
        scope, wanted = Scope(arena), request.asset_selection or []
        assets = arena_assets(scope)
        with scripted_engines(arena, self.sent, []) as engines:
            broken: dict[str, Any] = {"warehouse": None} if any(key.path[-1] == self.failing for key in wanted) else {}
            dg.materialize(
                [*assets, *row_checks(scope)],
                selection=[asset for asset in assets if asset.key in wanted],
                tags=dict(request.tags),
                instance=self.instance,
                resources={**arena_resources(scope), "engines": engines, **broken},
                raise_on_error=not self.failing,
            )


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Server(instance, monkeypatch)


def tables(request: dg.RunRequest) -> list[str]:
    return [key.path[-1] for key in request.asset_selection or []]


def matchups(request: dg.RunRequest, arena: Arena) -> list[str]:
    """The partitions of a run over matchups."""
    keys = matchup_keys(arena.roster)
    return keys[keys.index(request.tags[RANGE_START_TAG]) : keys.index(request.tags[RANGE_END_TAG]) + 1]


def samples(requests: list[Request]) -> int:
    return sum(len(request.samples) for request in requests)


def test_one_window_makes_everything_from_nothing_and_a_later_one_what_a_newcomer_needs(
    server: Server, make_arena: MakeArena
) -> None:
    arena = make_arena(schedule={})
    asking = {table.name for table in tables_of(arena) if table.requests}
    started, reason = server.window(arena)
    assert reason == "everything is up to date"
    assert stale(arena) == {}
    assert tables(started[0]) == ["mined_instructions", "unique_instructions"]
    assert all(asking.isdisjoint(tables(run)[1:]) for run in started)
    assert {name for run in started for name in tables(run)} == {table.name for table in tables_of(arena)}
    assert {run.tags[WINDOW] for run in started} == {"small 2026-01-01T02:00:00+00:00"}
    assert len(started) < 8  # not one for each of the tables

    before = samples(server.sent)
    grown = make_arena(("ann", "bob", "cyd", "dan"), schedule={})
    server.time += DAY
    started, reason = server.window(grown)
    assert reason == "everything is up to date"
    assert stale(grown) == {}
    assert {run.tags[RANGE_START_TAG] for run in started if "mined_instructions" in tables(run)} == {"dan"}
    keys = [key for request in server.sent for key in request.keys()]
    assert len(keys) == len(set(keys))
    assert samples(server.sent) > before


def test_each_window_stays_within_its_budget_and_says_what_does_not_fit(server: Server, make_arena: MakeArena) -> None:
    most = 30
    arena = make_arena(schedule={"budget": {"completions": most}})
    reasons = list[str]()
    for _ in range(12):
        before = samples(server.sent)
        started, reason = server.window(arena)
        planned = [json.loads(run.tags[PLANNED]) for run in started]
        assert sum(one["completions"] for one in planned) <= most
        assert samples(server.sent) - before <= most
        reasons.append(reason)
        server.time += DAY
        if reason == "everything is up to date":
            break
    assert reasons[-1] == "everything is up to date"
    assert stale(arena) == {}
    assert len(reasons) > 2
    assert all("completions that are left" in reason and "tables wait for others" in reason for reason in reasons[:-1])


def test_each_window_starts_at_most_so_many_matchups(server: Server, make_arena: MakeArena) -> None:
    arena = make_arena(schedule={"matchups": 2})
    started, reason = server.window(arena)
    assert [key for run in started if "judge_votes" in tables(run) for key in matchups(run, arena)] == ["ann__bob", "ann__cyd"]
    assert reason.startswith("judge_votes: bob__cyd needs 1 of the 0 matchups that are left; ")
    server.time += DAY
    started, reason = server.window(arena)
    assert matchups(started[0], arena) == ["bob__cyd"]
    assert reason == "everything is up to date"


def test_work_whose_cost_is_unknown_is_not_started(server: Server, make_arena: MakeArena) -> None:
    started, reason = server.window(make_arena(schedule={"budget": {"cost": 5}}))
    assert started == []
    assert reason.startswith("mined_instructions: ann needs cost that the plan cannot state; ")


def test_a_run_that_failed_is_not_repeated_in_its_window_but_in_the_next(server: Server, make_arena: MakeArena) -> None:
    arena = make_arena(schedule={})
    server.failing = "mined_instructions"
    started, reason = server.window(arena)
    assert [tables(run)[0] for run in started] == ["mined_instructions"]
    (run,) = server.instance.get_runs()
    assert reason.startswith(
        f"mined_instructions: still out of date after run {run.run_id}, which this window does not repeat; "
    )
    server.time += DAY
    started, _ = server.window(arena)
    assert [tables(run)[0] for run in started] == ["mined_instructions"]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-01-01T00:59", "closed until 2025-12-31 20:00 America/New_York"),
        ("2026-01-01T01:00", ""),
        ("2026-01-01T01:53", ""),
        ("2026-01-01T01:54", "closed until 2026-01-01 20:00 America/New_York"),
    ],
)
def test_a_window_is_open_for_its_hours_in_its_time_zone(
    server: Server, make_arena: MakeArena, time: str, expected: str
) -> None:
    arena = make_arena(
        schedule={"cron": "0 20 * * *", "timezone": "America/New_York", "hours": 0.9, "budget": {"cost": 5}},
    )
    server.time = datetime.fromisoformat(time).replace(tzinfo=UTC)
    _, reason = server.window(arena)
    if expected:
        assert reason == f"the window is {expected}"
    else:
        assert "cost that the plan cannot state" in reason


def test_it_waits_for_runs_and_backfills_of_its_assets_whoever_started_them(server: Server, make_arena: MakeArena) -> None:
    arena = make_arena(schedule={})
    job = build_definitions(arena).get_implicit_global_asset_job_def()
    asset = frozenset({dg.AssetKey("answers")})
    run = server.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, asset_selection=asset)
    assert server.window(arena) == ([], f"waiting for run {run.run_id}")
    server.instance.report_run_canceled(run)
    assets = [one for one in arena_assets(Scope(arena)) if one.key in asset]
    backfill = start_backfill(server.instance, assets, ["ann"], "by hand")
    assert server.window(arena) == ([], f"waiting for backfill {backfill}")


@pytest.mark.parametrize(
    ("key", "value"),
    [("cron", "every day"), ("timezone", "Mars/Olympus"), ("matchups", 0), ("hours", 0), ("budget", {"completions": 0})],
)
def test_an_invalid_schedule_is_refused_with_its_key(key: str, value: object, make_arena: MakeArena) -> None:
    with pytest.raises(ValueError, match=key):
        make_arena(schedule={key: value})


def test_definitions_with_a_schedule_can_be_loaded(make_arena: MakeArena) -> None:
    dg.Definitions.validate_loadable(build_definitions(make_arena(schedule={})))


def test_an_arena_without_a_schedule_has_no_such_sensor_and_with_one_it_is_stopped(make_arena: MakeArena) -> None:
    assert not build_definitions(make_arena()).get_repository_def().has_sensor_def(SENSOR)
    sensor = build_definitions(make_arena(schedule={})).get_repository_def().get_sensor_def(SENSOR)
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
