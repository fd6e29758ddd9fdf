"""The last run's plan and what it took are read as they were written, and never in the way of anything."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.planning.test_sentence import line
from warrior_dagster.config.arena import Arena
from warrior_dagster.planning.last_run import LastRun, Use, path_of, read_last_run, run_begins, write_last_run

MakeArena = Callable[..., Arena]


def test_a_run_begins_with_its_plan_by_stage_and_keeps_measured_starts(make_arena: MakeArena) -> None:
    arena = make_arena()
    assert read_last_run(arena) is None
    first = run_begins(arena, [line("org/a"), line("org/b")])
    assert first.planned == {
        "answers": Use(completions=3000, prompt_tokens=1_200_000, completion_tokens=3_400_000, gpu_hours=2.1, seconds=7_560)
    }
    assert read_last_run(arena) == first
    first.actual = {"answers": Use(completions=10)}
    first.start_seconds = {"org/a": 66.0}
    write_last_run(arena, first)
    second = run_begins(arena, [])
    assert (second.planned, second.actual, second.start_seconds) == ({}, {}, {"org/a": 66.0})
    assert [file.name for file in Path(arena.warehouse).iterdir()] == [f"last_run.{arena.name}.json"]


def test_times_that_one_model_lacks_are_unknown_for_its_stage(make_arena: MakeArena) -> None:
    run = run_begins(make_arena(), [line("org/a"), line("org/b", None, None)])
    assert run.planned["answers"].gpu_hours is None
    assert run.planned["answers"].seconds is None
    assert run.planned["answers"].completions == 3000


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"planned": 7}', b"\xff"])
def test_a_record_that_cannot_be_read_is_none_and_is_replaced(make_arena: MakeArena, content: bytes) -> None:
    arena = make_arena()
    Path(arena.warehouse).mkdir()
    path_of(arena).write_bytes(content)
    assert read_last_run(arena) is None
    assert isinstance(run_begins(arena, []), LastRun)
    assert read_last_run(arena)
