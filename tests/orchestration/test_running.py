"""A run of a whole arena leaves what it planned and what it took, also where it fails."""

from collections.abc import Callable

import pytest

from tests.conftest import scripted_engines
from tests.orchestration.checks.test_row_checks import garbled
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.progress import Progress
from warrior_dagster.inference.request import Request
from warrior_dagster.orchestration.running import RunFailed, run_arena
from warrior_dagster.planning.last_run import LastRun, read_last_run

MakeArena = Callable[..., Arena]


def asked(run: LastRun, which: str) -> dict[str, int]:
    """The completions of each stage that asked for any."""
    return {stage: use.completions for stage, use in getattr(run, which).items() if use.completions}


@pytest.mark.usefixtures("memory_instance")
def test_a_run_records_its_plan_and_what_each_stage_took(make_arena: MakeArena) -> None:
    arena, log, reported = make_arena(), list[Request](), list[Progress]()
    with scripted_engines(arena, log, [], reported.append) as engines:
        result = run_arena(arena, engines)
    run = read_last_run(arena)
    assert run == LastRun.model_validate(result["planned_and_actual"])
    assert run
    assert run.finished
    assert (
        set(asked(run, "planned"))
        == set(asked(run, "actual"))
        == {"mined_instructions", "instruction_difficulty", "answers", "judge_votes"}
    )
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
        again = LastRun.model_validate(run_arena(arena, engines)["planned_and_actual"])
    assert (asked(again, "planned"), asked(again, "actual")) == ({}, {})
    assert again.start_seconds == run.start_seconds


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
