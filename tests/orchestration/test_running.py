"""A run of a whole arena leaves what it planned and what it took, also where it fails."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import scripted_engines
from tests.orchestration.checks.test_row_checks import garbled
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.progress import Progress
from warrior_dagster.inference.request import Request
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.orchestration.catalog import arena_assets
from warrior_dagster.orchestration.running import RunFailed, is_up_to_date, planned, run_arena, state
from warrior_dagster.planning.cost import PlanLine
from warrior_dagster.planning.last_run import LastRun, read_last_run

MakeArena = Callable[..., Arena]


def asked(run: LastRun, which: str) -> dict[str, int]:
    """The completions of each stage that asked for any."""
    return {stage: use.completions for stage, use in getattr(run, which).items() if use.completions}


def test_a_run_records_its_plan_and_what_each_stage_took_and_a_second_one_makes_nothing(
    make_arena: MakeArena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    arena, log, reported, announced = make_arena(), list[Request](), list[Progress](), list[PlanLine]()
    with scripted_engines(arena, log, [], reported.append) as engines:
        result = run_arena(arena, engines, announced.extend)
    run = read_last_run(arena)
    assert run == LastRun.model_validate(result["planned_and_actual"])
    assert run
    assert run.finished
    assert (
        set(asked(run, "planned"))
        == set(asked(run, "actual"))
        == {"mined_instructions", "instruction_difficulty", "answers", "judge_votes"}
    )
    assert {line.stage: line.to_send for line in announced if line.to_send} == asked(run, "planned")
    assert run.planned["mined_instructions"].completions == run.actual["mined_instructions"].completions == 24
    assert sum(asked(run, "actual").values()) == sum(len(request.samples) for request in log)
    assert all(run.planned[stage].completions >= use.completions for stage, use in run.actual.items())
    (usage,) = engines.total.values()
    assert sum(use.completion_tokens for use in run.actual.values()) == usage.completion_tokens
    assert sum(use.gpu_hours or 0 for use in run.actual.values()) == pytest.approx(usage.seconds / 3600)
    assert run.start_seconds == {arena.competitors[0].model: usage.start_seconds}
    assert {one.stage for one in reported} == set(asked(run, "planned"))
    assert {one.stage: one.after > 0 for one in reported} == {stage: stage != "judge_votes" for stage in asked(run, "planned")}
    with scripted_engines(arena, [], []) as engines:
        second = run_arena(arena, engines, lambda plan: pytest.fail("a run that makes nothing shows no plan"))
    assert (second["up_to_date"], second["seconds"]) == (True, {})
    repeated = ("rows", "ratings", "failed_checks", "warnings")
    assert [second[name] for name in repeated] == [result[name] for name in repeated]
    assert read_last_run(arena) == run
    everything_that_would_change_a_row_is_noticed(arena, run)


def everything_that_would_change_a_row_is_noticed(arena: Arena, last: LastRun) -> None:
    """From an arena that is up to date on: a setting, an export, a request to send, a failed one, a partition that is gone."""
    assets, plan, warehouse = arena_assets(Scope(arena)), planned(arena), open_warehouse(arena)
    assert is_up_to_date(arena, assets, plan, last)
    stricter = arena.model_copy(update={"engine": arena.engine.model_copy(update={"max_abstention_rate": 0.01})})
    assert not is_up_to_date(stricter, assets, plan, last)
    assert not is_up_to_date(arena, assets, [replace(plan[0], to_send=1)], last)
    export = Path(arena.export.folder, "sft", "train.jsonl")
    export.rename(export.with_name("moved"))
    assert not is_up_to_date(arena, assets, plan, last)
    export.with_name("moved").rename(export)
    ann = arena.roster[0]
    answers = warehouse.read("answers", [ann])
    warehouse.write("answers", ann, answers.drop("partition").with_columns(error=pl.lit("HTTP 500")))
    assert not is_up_to_date(arena, assets, plan, last.model_copy(update={"state": state(arena)}))
    warehouse.invalidate("answers", {ann: warehouse.partitions("answers")[ann]})
    assert not is_up_to_date(arena, assets, plan, last)


@pytest.mark.usefixtures("memory_instance")
def test_a_run_that_fails_leaves_its_plan_and_what_it_took_until_then(make_arena: MakeArena) -> None:
    arena = make_arena()
    with garbled(arena, silent=True) as engines, pytest.raises(RunFailed):
        run_arena(arena, engines)
    run = read_last_run(arena)
    assert run
    assert run.finished is None
    assert asked(run, "planned")["judge_votes"] > 0
    assert asked(run, "actual") == {"mined_instructions": 24}
