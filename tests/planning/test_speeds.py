"""A model's speed is measured in its ledger where it can be, else as the YAML says, else a rule of thumb that is called so."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from warrior_dagster.config.arena import Arena
from warrior_dagster.planning import speeds
from warrior_dagster.planning.hardware import READING
from warrior_dagster.planning.speeds import BATCHES, Measured, Pace, measured, pace_of

MakeArena = Callable[..., Arena]
IN_FLIGHT = 25
LEAST = BATCHES * IN_FLIGHT
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


class Rows:
    """In place of a ledger: completions at some seconds, as (model, parameters, second, prompt tokens, completion tokens)."""

    def __init__(self, *rows: tuple[str, str, float, int, int]) -> None:
        self.rows = rows

    def newest(self, _: int, columns: list[str]) -> pl.DataFrame:
        rows = [(model, params, BEGIN + timedelta(seconds=at), *tokens) for model, params, at, *tokens in self.rows]
        return pl.DataFrame(rows, schema=columns, orient="row")


def found(*rows: tuple[str, str, float, int, int]) -> dict[speeds.Parameters, Measured]:
    ledger: Any = Rows(*rows)
    return measured(ledger)


def test_the_time_between_completions_counts_once_though_parameters_take_turns() -> None:
    rows = [("m", "ab"[second % 2], float(second), 40, 10) for second in range(2 * LEAST + 1)]
    spent = found(*rows)
    assert sum(one.seconds for one in spent.values()) == 2 * LEAST
    assert spent["m", "a"] == Measured(LEAST, LEAST, 40 * LEAST, 10 * LEAST)
    pace = spent["m", "a"].pace(IN_FLIGHT)
    assert pace
    assert pace == Pace(READING * (40 / READING + 10), 40 / READING + 10)
    assert pace.seconds(40 * LEAST, 10 * LEAST) == pytest.approx(LEAST)


def test_a_pause_is_no_work_and_other_models_do_not_count() -> None:
    spent = found(("m", "a", 0, 0, 10), ("m", "a", 1, 0, 10), ("other", "a", 2, 0, 10), ("m", "a", 500, 0, 10))
    assert spent == {("m", "a"): Measured(1, 1.0, 0, 10)}


def test_an_empty_ledger_and_few_completions_show_no_speed() -> None:
    assert found() == {}
    assert Measured(LEAST - 1, 10.0, 100, 100).pace(IN_FLIGHT) is None
    assert Measured(LEAST, 0.0, 100, 100).pace(IN_FLIGHT) is None
    assert Measured(LEAST, 1.0, 0, 0).pace(IN_FLIGHT) is None


def arena_of(make_arena: MakeArena, model: str, **serve: Any) -> Arena:
    competitors = [{"name": name, "model": model} for name in ("ann", "bob", "cyd")]
    return make_arena(competitors=competitors, engine={"max_in_flight": IN_FLIGHT, "serve": {"kind": "vllm", **serve}})


SPEED = {"prompt": 1000, "completion": 100}
LONG = Measured(LEAST, 10.0, 0, 2_000)


def test_what_is_measured_with_the_same_parameters_comes_first_then_what_the_model_did_otherwise(make_arena: MakeArena) -> None:
    arena = arena_of(make_arena, "org/m-1b", speed=SPEED)
    known = {("org/m-1b@main", "own"): LONG, ("org/m-1b@main", "other"): Measured(LEAST, 10.0, 0, 1_000)}
    ids = {"org/m-1b@main"}
    pace, why = pace_of(arena, "org/m-1b", {("org/m-1b@main", "own")}, ids, known)
    assert pace == Pace(800.0, 200.0)
    assert why == "speed: as measured so far, reading 800 and writing 200 tokens/s"
    assert pace_of(arena, "org/m-1b", {("org/m-1b@main", "new")}, ids, known)[0] == Pace(600.0, 150.0)
    assert pace_of(arena, "org/m-1b", {("x@main", "own")}, {"x@main"}, known)[0] == Pace(1000.0, 100.0)


def test_the_speed_in_the_yaml_is_that_of_one_url(make_arena: MakeArena) -> None:
    two = {"kind": "endpoint", "urls": ["http://a", "http://b"], "speed": SPEED}
    pace, why = pace_of(arena_of(make_arena, "org/m", **two), "org/m", (), (), {})
    assert pace == Pace(2000.0, 200.0)
    assert why == "speed: as the YAML says, reading 2,000 and writing 200 tokens/s"


def test_a_rule_of_thumb_is_called_so_and_needs_a_size(make_arena: MakeArena) -> None:
    arena = arena_of(make_arena, "org/m-7b", tensor_parallel_size=2)
    pace, why = pace_of(arena, "org/m-7b", (), (), {})
    assert pace
    assert pace.rough
    assert why.startswith("speed: rule of thumb: 7 B parameters on 2 A100")
    nameless, why = pace_of(arena_of(make_arena, "org/m"), "org/m", (), (), {})
    assert nameless is None
    assert why.endswith("set `speed` in its `serve`")
