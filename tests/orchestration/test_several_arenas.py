"""Several arenas in one code location: names have prefixes, and arenas with the same warehouse share its ledger."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from polars.testing import assert_frame_equal

from tests.conftest import scripted_engines, small_settings
from tests.runs import EVERYTHING, materialize, materialize_file, stale
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import ArenaError, load_arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.request import Request
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.orchestration import definitions
from warrior_dagster.orchestration.catalog import tables_of
from warrior_dagster.report.assets import arena_report
from warrior_dagster.warehouse.tables import Warehouse

ROSTER = ("ann", "bob", "cyd")


@pytest.fixture
def files(tmp_path: Path, bundled_model: Path, bundled_embedder: Path) -> list[Path]:
    """The files of two arenas that share a warehouse and differ in the size of their selection."""
    made = []
    for name, centres in (("first", 3), ("second", 2)):
        values = small_settings(tmp_path, bundled_model, bundled_embedder, ROSTER) | {
            "name": name, "selection": {"centres": centres}, "export": {"folder": str(tmp_path / name)}, "schedule": {}
        }  # fmt: skip
        made.append(tmp_path / f"{name}.yaml")
        made[-1].write_text(yaml.safe_dump(values))
    return made


def test_names_of_assets_jobs_sensors_and_schedules_start_with_the_arena_s_name(files: list[Path]) -> None:
    defs = definitions.definitions_of_files(files)
    dg.Definitions.validate_loadable(defs)
    repository, graph = defs.get_repository_def(), defs.resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert {key.split("/")[0] for key in keys} == {"first", "second"}
    sensors, schedules = repository.sensor_defs, repository.schedule_defs
    names = [*(one.name for one in sensors), *(one.name for one in schedules), *repository.job_names]
    shared = {"prune_runs", "failed_runs", "failed_checks"}
    own = [name for name in names if name not in shared and not name.startswith("__")]
    assert {name.split("__")[0] for name in own} == {"first", "second"}
    assert {graph.get(key).group_name.split("/")[0] for key in graph.get_all_asset_keys()} == {"first", "second"}
    parents = graph.get(dg.AssetKey(["second", "answers"])).parent_keys
    assert parents == {dg.AssetKey(["second", "selected_instructions"])}


def test_a_single_arena_has_no_prefix(files: list[Path]) -> None:
    defs = definitions.definitions_of_files(files[:1])
    assert dg.AssetKey("answers") in defs.resolve_asset_graph().get_all_asset_keys()
    assert defs.get_repository_def().has_sensor_def("new_competitors")


def test_arenas_with_the_same_name_are_refused(files: list[Path]) -> None:
    files[1].write_text(files[1].read_text().replace("name: second", "name: first"))
    with pytest.raises(ArenaError, match="to differ in name; found first, first"):
        definitions.definitions_of_files(files)


def test_arenas_that_would_overwrite_each_other_s_exports_are_refused(files: list[Path], tmp_path: Path) -> None:
    files[1].write_text(files[1].read_text().replace(str(tmp_path / "second"), str(tmp_path / "first")))
    with pytest.raises(ArenaError, match=r"to differ in export\.folder"):
        definitions.definitions_of_files(files)


def test_arenas_of_one_warehouse_share_completions_but_no_rows(files: list[Path]) -> None:
    first, second = (load_arena(file) for file in files)
    sent: dict[str, list[Request]] = {}
    for arena in (first, second):
        sent[arena.name] = []
        with scripted_engines(arena, sent[arena.name], []) as engines:
            materialize(arena, engines, *EVERYTHING, checks=True)
    mined = {key for request in sent["first"] for key in request.keys()}
    assert not mined & {key for request in sent["second"] for key in request.keys()}
    assert len(sent["second"]) < len(sent["first"]) / 2  # only what its own selection needs
    tables = [table.name for table in tables_of(second)]
    assert all(Warehouse(second.warehouse).columns(f"second.{table}") for table in tables)
    assert all(Warehouse(first.warehouse).columns(table) for table in tables)
    assert {arena.name: selected(arena) for arena in (first, second)} == {"first": 3, "second": 2}


@pytest.mark.long
def test_arenas_that_run_at_once_on_one_warehouse_make_the_rows_that_each_makes_alone(
    tmp_path: Path, bundled_model: Path, bundled_embedder: Path
) -> None:
    def written(folder: str, name: str, centres: int) -> Path:
        """The file of an arena that sets no folder for its exports, with a server that is locked for one stage at a time."""
        values = small_settings(tmp_path / folder, bundled_model, bundled_embedder, ROSTER) | {
            "name": name, "selection": {"centres": centres}, "export": {},
            "engine": {"serve": {"kind": "endpoint", "urls": ["http://localhost:1"]}},
        }  # fmt: skip
        file = tmp_path / f"{folder}_{name}.yaml"
        file.write_text(yaml.safe_dump(values))
        return file

    both = [written("shared", "first", 3), written("shared", "second", 2)]
    alone = written("alone", "second", 2)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        sent = list(processes.map(materialize_file, both))
    arenas = [load_arena(file) for file in both]
    assert materialize_file(alone) > 0
    lone = load_arena(alone)
    for table in (t for t in tables_of(lone) if t is not arena_report):
        own, expected = (open_warehouse(one).read(table.name, table.partitions(one)) for one in (arenas[1], lone))
        assert_frame_equal(own, expected)
    assert selected(arenas[0]) == 3
    assert [stale(arena) for arena in arenas] == [{}, {}]
    stored = LedgerReader(arenas[0].warehouse).newest(10_000, ["key"])
    assert len(stored) == stored["key"].n_unique() == sum(sent)  # one paid for what the other took from the ledger
    for arena in arenas:
        exported = Path(arena.export.folder) / "sft" / "train.jsonl"
        lines = [json.loads(line) for line in exported.read_text().splitlines()]
        assert {line["instruction_id"] for line in lines} == set(open_warehouse(arena).read("sft_dataset")["instruction_id"])
    assert len({arena.export.folder for arena in arenas}) == 2


def selected(arena: Arena) -> int:
    """The most instructions that a competitor of an arena contributes."""
    rows = open_warehouse(arena).read("selected_instructions", arena.roster)
    return int(rows.group_by("competitor").len()["len"].max())  # type: ignore[arg-type]


def test_each_arena_is_materialized_from_the_shared_code_location(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def scripted(arena: Arena, *_: Any) -> Any:
        return scripted_engines(arena, [], [])

    monkeypatch.setattr(definitions, "open_engines", scripted)
    defs = definitions.definitions_of_files(files)
    job = defs.resolve_implicit_global_asset_job_def()
    for name in ("second", "first"):
        result = job.execute_in_process(asset_selection=[dg.AssetKey([name, "mined_instructions"])], partition_key="bob")
        (event,) = result.get_asset_materialization_events()
        lineage = event.step_materialization_data.materialization.metadata["dagster/column_lineage"]
        assert event.asset_key == dg.AssetKey([name, "mined_instructions"])
        assert lineage is not None
    for file in files:
        assert open_warehouse(load_arena(file)).partitions("mined_instructions").keys() == {"bob"}
    assert Scope(load_arena(files[0])).key("answers") == dg.AssetKey("answers")
