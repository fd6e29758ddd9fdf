"""The crash sensor fails a killed run and leaves a running one alone."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from warrior_dagster.config.arena import Arena
from warrior_dagster.orchestration.crash_sensor import alive, fail_crashed, runs_folder

RUN = """
import sys, time
import dagster as dg
from warrior_dagster.orchestration.crash_sensor import alive

@dg.resource
def warehouse(context):
    with alive(context.run_id, sys.argv[2]):
        yield

@dg.asset(required_resource_keys={"warehouse"})
def endless():
    time.sleep(600)

with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    dg.materialize([endless], resources={"warehouse": warehouse}, instance=instance)
"""


def test_a_killed_run_is_failed_and_a_running_one_is_not(tmp_path: Path) -> None:
    home, warehouse = tmp_path / "home", str(tmp_path / "warehouse")
    home.mkdir()
    (home / "dagster.yaml").touch()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs(limit=1)  # makes the tables
        process = subprocess.Popen([sys.executable, "-c", RUN, str(home), warehouse])
        try:
            while not runs_folder(warehouse).exists():
                assert process.poll() is None
                time.sleep(0.2)
            time.sleep(1)  # the lock follows the file
            assert fail_crashed(instance, warehouse, settled=0) == []
        finally:
            process.kill()
            process.wait()
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.STARTED
        assert fail_crashed(instance, warehouse, settled=600) == []
        assert fail_crashed(instance, warehouse, settled=0) == [run.run_id]
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.FAILURE
        assert fail_crashed(instance, warehouse, settled=0) == []


def test_a_finished_run_leaves_no_lock_file(tmp_path: Path) -> None:
    try:
        with alive("one", str(tmp_path)):
            assert [file.stem for file in runs_folder(str(tmp_path)).iterdir()] == ["one"]
            raise ValueError
    except ValueError:
        pass
    assert list(runs_folder(str(tmp_path)).iterdir()) == []


def test_the_arena_s_own_runs_hold_the_lock(make_arena: Callable[..., Arena]) -> None:
    from warrior_dagster.materialization.partitions import Scope
    from warrior_dagster.orchestration.definitions import arena_resources

    arena = make_arena()
    seen: list[str] = []

    @dg.asset(required_resource_keys={"warehouse"})
    def looks(context: dg.AssetExecutionContext) -> None:
        seen.extend(file.stem for file in runs_folder(arena.warehouse).iterdir())

    result = dg.materialize([looks], resources={"warehouse": arena_resources(Scope(arena))["warehouse"]})
    assert seen == [result.run_id]
