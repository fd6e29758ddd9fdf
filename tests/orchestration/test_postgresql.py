"""Runs and events in PostgreSQL instead of SQLite, with several processes on one instance."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from tests.conftest import scripted_engines
from tests.orchestration.postgresql import postgresql
from tests.runs import materialize
from warrior_dagster.config.arena import Arena
from warrior_dagster.orchestration.run_pruning import newest_materializations

HOME = Path(__file__).parent.parent.parent / "dagster_home"
SHARED = HOME / "postgresql"
CLAIM = """
import dagster as dg, sys
with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    storage = instance.event_log_storage
    print(storage.claim_concurrency_slot("engine", "theirs", "step").is_claimed)
    storage.free_concurrency_slots_for_run("theirs")
"""


def test_the_two_instances_differ_only_in_storage() -> None:
    own, shared = (yaml.safe_load((folder / "dagster.yaml").read_text("utf-8")) for folder in (HOME, SHARED))
    assert shared.pop("storage").keys() == {"postgres"}
    assert shared == own


@pytest.fixture(scope="module")
def database() -> Iterator[None]:
    """A PostgreSQL in the environment variables that this variant of dagster.yaml reads."""
    with postgresql() as named, pytest.MonkeyPatch.context() as environment:
        for name, value in named.items():
            environment.setenv(name, value)
        yield


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A temporary DAGSTER_HOME with this variant of dagster.yaml."""
    shutil.copy(SHARED / "dagster.yaml", tmp_path)
    return tmp_path


@pytest.fixture
def instance(database: None, home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home)) as opened:
        yield opened


def test_runs_are_recorded_in_postgresql_with_events_and_partitions(
    instance: dg.DagsterInstance, make_arena: Callable[..., Arena]
) -> None:
    arena = make_arena()
    with scripted_engines(arena, [], []) as engines:
        steps = [("mined_instructions", None), ("unique_instructions", None), ("unique_instructions", "bob")]
        _, _, again = materialize(arena, engines, *steps, instance=instance)
    assert instance.get_materialized_partitions(dg.AssetKey("mined_instructions")) == set(arena.roster)
    event = instance.get_latest_data_version_record(dg.AssetKey("unique_instructions"), partition_key="bob")
    assert event
    assert event.run_id == again.run_id
    assert len(newest_materializations(instance)) == 3
    instance.delete_run(again.run_id)
    assert again.run_id not in newest_materializations(instance)


def test_a_pool_limit_holds_across_processes(instance: dg.DagsterInstance, home: Path) -> None:
    """A slot that one process holds is refused to another until it is released."""

    def another_process_gets_it() -> str:
        return subprocess.run([sys.executable, "-c", CLAIM, home], check=True, capture_output=True, text=True).stdout.strip()

    storage = instance.event_log_storage
    assert storage.initialize_concurrency_limit_to_default("engine")
    assert storage.get_concurrency_info("engine").slot_count == 1
    assert storage.claim_concurrency_slot("engine", "ours", "step").is_claimed
    assert another_process_gets_it() == "False"
    storage.free_concurrency_slots_for_run("ours")
    assert another_process_gets_it() == "True"
