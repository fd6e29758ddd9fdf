"""New competitors: the sensor reports each, and starts its work once if the arena's file says so; the job starts it."""

import json
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from tests.conftest import scripted_engines
from tests.runs import materialize
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.table import LedgerError
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.orchestration import new_competitors
from warrior_dagster.orchestration.catalog import arena_assets
from warrior_dagster.orchestration.definitions import build_definitions

MakeArena = Callable[..., Arena]


def tick(arena: Arena, instance: dg.DagsterInstance, cursor: str | None = None) -> tuple[str, str | None]:
    """The sensor's message and its new cursor."""
    repository = build_definitions(arena).get_repository_def()
    resources = dict(repository.get_top_level_resources())  # as the code server gives them
    with dg.build_sensor_context(instance=instance, cursor=cursor, repository_def=repository, resources=resources) as context:
        found = repository.get_sensor_def(new_competitors.SENSOR).evaluate_tick(context)
    return str(found.skip_message), found.cursor


def started(instance: dg.DagsterInstance) -> list[set[str]]:
    """The new competitors of each backfill, the oldest first."""
    return [
        set(str(b.title).removeprefix("new: ").split(", "))
        for b in sorted(instance.get_backfills(), key=lambda b: b.backfill_timestamp)
    ]


def test_it_reports_new_competitors_with_their_cost_until_all_are_mined(make_arena: MakeArena, monkeypatch: Any) -> None:
    monkeypatch.setattr(new_competitors, "PLAN_SECONDS", 600)  # a busy machine needs longer than a tick may take
    arena = make_arena()
    with dg.DagsterInstance.ephemeral() as instance, scripted_engines(arena, [], []) as engines:
        message, cursor = tick(arena, instance)
        assert message.startswith("new: ann, bob, cyd; to start, launch the job materialize_new_competitors; ")
        assert "; materializing everything: 1 model, " in message
        assert " completions to ask for (" in message
        assert tick(arena, instance, cursor)[0] == message
        assert started(instance) == []
        materialize(arena, engines, ("mined_instructions", None))
        assert tick(arena, instance, cursor) == ("no competitor is new", "{}")


def test_the_work_of_each_new_competitor_is_started_once_even_if_others_are_appended(make_arena: MakeArena) -> None:
    automatic: dict[str, Any] = {"automation": {"backfill_new_competitors": True}}
    arena = make_arena()
    with dg.DagsterInstance.ephemeral() as instance:
        with scripted_engines(arena, [], []) as engines:
            materialize(arena, engines, ("mined_instructions", None))
        grown = make_arena(("ann", "bob", "cyd", "dan"), **automatic)
        _, cursor = tick(grown, instance)
        _, cursor = tick(grown, instance, cursor)
        assert started(instance) == [{"dan"}]
        more = make_arena(("ann", "bob", "cyd", "dan", "dan-large", "da"), **automatic)
        message, cursor = tick(more, instance, cursor)
        assert [line.split(";")[0] for line in message.splitlines()] == ["new: dan", "new: dan-large, da"]
        with scripted_engines(more, [], []) as engines:
            materialize(more, engines, ("mined_instructions", "dan-large"))
        message, _ = tick(more, instance, cursor)
        assert [line.split(";")[0] for line in message.splitlines()] == ["new: dan", "new: da"]  # what is mined is not named
        assert "dan-large" not in message
        assert started(instance) == [{"dan"}, {"dan-large", "da"}]


def test_new_competitors_are_reported_even_if_planning_takes_too_long(make_arena: MakeArena, monkeypatch: Any) -> None:
    monkeypatch.setattr(new_competitors, "PLAN_SECONDS", 0)
    with dg.DagsterInstance.ephemeral() as instance:
        message, cursor = tick(make_arena(), instance)
    assert message.endswith("materializing everything: see `arena_plan`, because planning takes longer than a sensor may")
    assert set(json.loads(str(cursor))) == {"ann", "bob", "cyd"}


def test_no_work_is_started_while_nobody_knows_what_it_costs(make_arena: MakeArena, monkeypatch: Any) -> None:
    def unreadable(*_: object) -> str:
        raise LedgerError("the ledger cannot be read")

    arena = make_arena(automation={"backfill_new_competitors": True})
    with dg.DagsterInstance.ephemeral() as instance:
        with monkeypatch.context() as patched:
            patched.setattr(new_competitors, "plan_summary", unreadable)
            with pytest.raises(LedgerError):
                tick(arena, instance)
        assert started(instance) == []
        tick(arena, instance)
        assert started(instance) == [{"ann", "bob", "cyd"}]


def launched(arena: Arena, instance: dg.DagsterInstance, *names: str) -> dg.ExecuteInProcessResult:
    """The run of the job, with the competitors that its configuration names."""
    config = dg.RunConfig(ops={"start_backfill": new_competitors.NewCompetitors(competitors=list(names))})
    job = build_definitions(arena).resolve_job_def(new_competitors.JOB)
    return job.execute_in_process(run_config=config, instance=instance, raise_on_error=False)


def test_the_job_starts_one_backfill_of_everything_for_those_that_were_never_mined(make_arena: MakeArena) -> None:
    arena = make_arena(("ann", "bob", "cyd", "dan", "eve"))
    with dg.DagsterInstance.ephemeral() as instance, scripted_engines(arena, [], []) as engines:
        for name in ("ann", "bob", "cyd"):
            materialize(arena, engines, ("mined_instructions", name))
        assert launched(arena, instance).success
        assert started(instance) == [{"dan", "eve"}]
        (backfill,) = instance.get_backfills()
        targeted = backfill.asset_backfill_data.target_subset  # type: ignore[union-attr]
        assert targeted.asset_keys == {asset.key for asset in arena_assets(Scope(arena))}
        materialize(arena, engines, ("mined_instructions", "dan"), ("mined_instructions", "eve"))
        assert launched(arena, instance).success
        assert len(instance.get_backfills()) == 1  # nobody is new


def test_the_job_takes_named_competitors_and_refuses_names_that_are_not_in_the_roster(make_arena: MakeArena) -> None:
    arena = make_arena()
    with dg.DagsterInstance.ephemeral() as instance:
        assert launched(arena, instance, "bob").success
        failed = launched(arena, instance, "bob", "zed")
        assert started(instance) == [{"bob"}]
    (event,) = (event for event in failed.all_events if event.is_step_failure)
    assert "expected names of the roster (ann, bob, cyd); found zed" in str(event.step_failure_data.user_failure_data)
