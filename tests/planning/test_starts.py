"""Engines start once for each model that a stage cannot find running."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import scripted_engines
from tests.runs import materialize
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.request import ServedModel
from warrior_dagster.planning import starts
from warrior_dagster.planning.plan import StagePlan
from warrior_dagster.planning.starts import engine_starts, seconds_of_a_start
from warrior_dagster.stages.battles.assets import answers
from warrior_dagster.stages.battles.opinions.assets import judge_votes
from warrior_dagster.stages.curation.assets import instruction_difficulty
from warrior_dagster.stages.mining.assets import mined_instructions

MakeArena = Callable[..., Arena]
STAGES = [StagePlan(table, {}) for table in (mined_instructions, instruction_difficulty, answers, judge_votes)]
ENDPOINT = {"kind": "endpoint", "urls": ["http://a"]}


def roster(**serves: Any) -> list[dict[str, Any]]:
    return [{"name": f"c{i}", "model": f"org/{m}", "serve": serve} for i, (m, serve) in enumerate(serves.items())]


def count(arena: Arena, *asked: str) -> list[int]:
    """The starts of each stage; `asked` has the models of each, as in `ab`."""
    wanted = {(s.table.name, f"org/{m}"): int(m in names) for s, names in zip(STAGES, asked, strict=True) for m in "abc"}
    found = engine_starts(arena, STAGES, wanted)
    return [sum(found[stage.table.name, f"org/{m}"] for m in "abc") for stage in STAGES]


@pytest.fixture
def arena(make_arena: MakeArena, monkeypatch: pytest.MonkeyPatch) -> Arena:
    """Three models on a CPU, where the embedder stops no engine."""
    monkeypatch.setattr(starts, "embedder_takes_the_gpu", lambda _: False)
    return make_arena(competitors=roster(a=None, b=None, c=None))


def test_each_later_stage_begins_with_the_model_that_runs(arena: Arena) -> None:
    assert count(arena, "abc", "abc", "abc", "abc") == [3, 2, 2, 2]
    assert count(arena, "a", "a", "", "a") == [1, 0, 0, 0]
    assert count(arena, "a", "b", "", "a") == [1, 1, 0, 1]
    assert count(arena, "", "", "", "") == [0, 0, 0, 0]


def test_the_embedder_stops_the_engine_where_it_takes_the_gpu(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "embedder_takes_the_gpu", lambda _: True)
    assert count(arena, "abc", "abc", "abc", "abc") == [3, 2, 3, 2]


def test_servers_elsewhere_are_not_started_but_stop_the_one_here(make_arena: MakeArena, arena: Arena) -> None:
    mixed = make_arena(competitors=roster(a=None, b=ENDPOINT, c=ENDPOINT))
    assert count(mixed, "abc", "abc", "bc", "abc") == [1, 1, 0, 1]
    assert seconds_of_a_start(mixed, "org/b") == 0
    assert seconds_of_a_start(mixed, "org/a") > 0


def test_asking_for_the_topic_first_is_another_pass(make_arena: MakeArena, arena: Arena) -> None:
    dropping = make_arena(competitors=roster(a=None, b=None, c=None), difficulty={"off_topic": "drop"})
    assert count(dropping, "abc", "abc", "", "") == [3, 4, 0, 0]


def test_a_run_starts_as_many_engines_as_planned(
    arena: Arena, make_arena: MakeArena, bundled_model: Any, tmp_path: Any
) -> None:
    models = {}
    for name in "abc":
        models[name] = tmp_path / name
        models[name].mkdir()
        for file in bundled_model.iterdir():
            (models[name] / file.name).symlink_to(file)
        (models[name] / "model.safetensors").unlink()
        (models[name] / "model.safetensors").write_text(name)  # other weights, and so another model
    real = make_arena(competitors=[{"name": name, "model": str(path)} for name, path in models.items()])
    made = list[ServedModel]()
    with scripted_engines(real, [], made) as engines:
        materialize(real, engines, ("competitors", None), ("matchups", None))
    asked = Counter({(stage.table.name, str(path)): 1 for stage in STAGES for path in models.values()})
    assert len(made) == engine_starts(real, STAGES, asked).total()
