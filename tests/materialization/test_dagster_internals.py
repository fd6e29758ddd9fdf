"""The private interfaces of Dagster that are used still work with the installed version."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus

import warrior_dagster
from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization import dagster_internals
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.orchestration.catalog import arena_assets
from warrior_dagster.orchestration.definitions import build_definitions

MakeArena = Callable[..., Arena]


def test_no_other_module_uses_a_private_interface() -> None:
    root = Path(warrior_dagster.__file__).parent
    private = re.compile(r"(?:from|import) dagster\.[\w.]*\b_\w+|from dagster\.(?:_|components)|import dagster\._")
    users = {str(file.relative_to(root)) for file in root.rglob("*.py") if private.search(file.read_text())}
    assert users == {"materialization/dagster_internals.py"}


def test_the_graph_of_assets_has_their_edges(make_arena: MakeArena) -> None:
    scope = Scope(make_arena())
    graph = dagster_internals.graph_of_assets(arena_assets(scope))
    assert graph.get(scope.key("judge_votes")).parent_keys == {scope.key("answers")}


def test_a_run_and_a_repository_have_the_graph_of_all_assets(make_arena: MakeArena) -> None:
    seen = []

    @dg.asset
    def upstream() -> None: ...

    @dg.asset(deps=[upstream])
    def downstream(context: dg.AssetExecutionContext) -> None:
        seen.append(dagster_internals.graph_of_run(context).get(dg.AssetKey("downstream")).parent_keys)

    dg.materialize([upstream, downstream])
    assert seen == [{dg.AssetKey("upstream")}]
    repository = build_definitions(make_arena()).get_repository_def()
    with dg.build_sensor_context(repository_def=repository) as context:
        keys = dagster_internals.graph_of_repository(context).get_all_asset_keys()
    assert dg.AssetKey("answers") in keys


def test_a_backfill_starts_with_its_partitions_and_title(make_arena: MakeArena) -> None:
    assets = arena_assets(Scope(make_arena()))
    with dg.DagsterInstance.ephemeral() as instance:
        started = dagster_internals.start_backfill(instance, assets, ["bob"], "new: bob")
        (backfill,) = instance.get_backfills()
        assert dagster_internals.running_backfills(instance, [dg.AssetKey("mined_instructions")]) == [started]
        assert dagster_internals.running_backfills(instance, [dg.AssetKey("another")]) == []
        instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))  # type: ignore[no-untyped-call]
        assert dagster_internals.running_backfills(instance, [dg.AssetKey("mined_instructions")]) == []
    assert (backfill.backfill_id, backfill.title) == (started, "new: bob")
    targeted = backfill.asset_backfill_data.target_subset  # type: ignore[union-attr]
    assert set(targeted.get_partitions_subset(dg.AssetKey("mined_instructions")).get_partition_keys()) == {"bob"}
    assert set(targeted.get_partitions_subset(dg.AssetKey("answers")).get_partition_keys()) == {"ann", "bob", "cyd"}


@pytest.mark.parametrize("cron", ["0 20 * * *", "@daily", "*/7 3-5 * * 1-5"])
def test_the_last_and_the_next_time_of_a_cron_schedule_enclose_a_moment_and_include_it(cron: str) -> None:
    moment = datetime(2026, 3, 29, 11, 30, tzinfo=UTC)  # the day on which Berlin's clocks go forward
    last = dagster_internals.last_cron_time(cron, "Europe/Berlin", moment)
    following = dagster_internals.next_cron_time(cron, "Europe/Berlin", moment)
    assert last < moment < following
    for exact in (last, following):
        assert dagster_internals.last_cron_time(cron, "Europe/Berlin", exact) == exact
        assert dagster_internals.next_cron_time(cron, "Europe/Berlin", exact) == exact


def test_cron_times_are_those_of_their_time_zone() -> None:
    moment = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert dagster_internals.last_cron_time("0 20 * * *", "Europe/Berlin", moment) == datetime(2026, 6, 30, 18, tzinfo=UTC)
    assert dagster_internals.next_cron_time("0 20 * * *", "Europe/Berlin", moment) == datetime(2026, 7, 1, 18, tzinfo=UTC)
