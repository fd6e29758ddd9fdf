"""The jobs that save a selection: what each makes, and that none of them sends a request."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg

from tests.conftest import scripted_engines
from tests.every_table import OF_EACH_KIND, arena_with
from tests.runs import stale
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.request import Request
from warrior_dagster.orchestration.catalog import TABLES
from warrior_dagster.orchestration.definitions import build_definitions
from warrior_dagster.orchestration.selection_jobs import JOBS
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

MakeArena = Callable[..., Arena]


def made_by(arena: Arena, job: str) -> set[str]:
    """The assets that a job of an arena makes."""
    layer = build_definitions(arena).get_repository_def().get_job(job).asset_layer
    return {key.to_user_string() for key in layer.executable_asset_keys}


def test_the_jobs_make_the_analysis_and_the_data_sets_of_the_arena() -> None:
    everything = arena_with(**OF_EACH_KIND["everything"])
    assert made_by(everything, "export_data_sets") == {"benchmark_overlap", "sft_dataset", "dpo_dataset", "kto_dataset"}
    assert made_by(everything, "update_analysis") == {
        *("funnel", "instruction_novelty", "difficulty_bands", "head_to_head", "rating_history", "judge_audit", "arena_report")
    }
    assert made_by(arena_with(export={"formats": ["dpo"]}), "export_data_sets") == {"benchmark_overlap", "dpo_dataset"}


def test_no_table_of_the_jobs_asks_a_model_runs_code_or_has_partitions() -> None:
    tables = {one for of_job, _ in JOBS.values() for one in of_job}
    assert tables < set(TABLES)
    assert not [one.name for one in tables if one.requests or one.runs or one.partitioned_by != "nothing"]


def test_a_job_makes_what_is_out_of_date_and_leaves_the_rest_as_it_was(finished_copy: MakeArena, tmp_path: Path) -> None:
    arena = finished_copy(export={"folder": str(tmp_path / "exports"), "undecided": "keep"})
    log: list[Request] = []
    with scripted_engines(arena, log, []) as engines:
        defs = build_definitions(arena, resources={"engines": engines})
        assert "sft_dataset" in stale(arena)
        ratings = Warehouse(arena.warehouse).partitions("elo_ratings")
        for job in ("export_data_sets", "update_analysis"):
            assert defs.resolve_job_def(job).execute_in_process(instance=dg.DagsterInstance.ephemeral()).success
    assert stale(arena) == {}
    assert Warehouse(arena.warehouse).partitions("elo_ratings") == ratings
    assert Warehouse(arena.warehouse).read("sft_dataset", [WHOLE]).height > 0
    assert log == []
