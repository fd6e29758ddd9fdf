"""Pruning deletes old runs, but none that the UI shows for a partition."""

import time
from collections.abc import Callable

import dagster as dg
import pytest

from warrior_dagster.config.arena import Arena
from warrior_dagster.orchestration.run_pruning import DAY, Pruning, old_runs, prune_runs, pruning_schedules

PARTS = dg.StaticPartitionsDefinition(["ann", "bob"])


@dg.asset(partitions_def=PARTS)
def mined() -> int:
    return 1


def test_only_old_runs_without_a_newest_materialization_are_deleted() -> None:
    with dg.instance_for_test() as instance:
        first, second, other = (
            dg.materialize([mined], partition_key=key, instance=instance).run_id for key in ("ann", "ann", "bob")
        )
        assert old_runs(instance, time.time() - DAY) == []
        assert old_runs(instance, time.time() + 1) == [first]
        result = prune_runs.execute_in_process(run_config=dg.RunConfig(ops={"prune": Pruning(keep_days=-1)}), instance=instance)
        assert result.output_for_node("prune") == 1
        assert instance.get_run_by_id(first) is None
        assert instance.get_run_by_id(second)
        assert instance.get_run_by_id(other)
        assert instance.get_materialized_partitions(mined.key) == {"ann", "bob"}


@pytest.mark.parametrize(("days", "kept"), [([], None), ([None], None), ([30], 30), ([30, None], None), ([30, 90], 90)])
def test_runs_are_pruned_daily_if_all_arenas_say_how_long_they_are_kept(
    make_arena: Callable[..., Arena], days: list[float | None], kept: float | None
) -> None:
    schedules = pruning_schedules([make_arena(automation={"keep_runs_days": one}) for one in days])
    assert len(schedules) == (kept is not None)
    for schedule in schedules:
        assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
        with dg.build_schedule_context() as context:
            (request,) = schedule.evaluate_tick(context).run_requests or []
        assert request.run_config["ops"]["prune"]["config"] == {"keep_days": kept}
