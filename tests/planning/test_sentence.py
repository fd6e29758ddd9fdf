"""The sentence says what is known, and plainly what is not and which key would say it."""

from collections.abc import Callable
from typing import Any

import pytest

from warrior_dagster.config.arena import Arena
from warrior_dagster.planning import sentence
from warrior_dagster.planning.cost import Amounts, PlanLine
from warrior_dagster.planning.hardware import Hardware
from warrior_dagster.planning.runs import RunsLine

MakeArena = Callable[..., Arena]
ENDPOINT = {"kind": "endpoint", "urls": ["http://a"]}


def amounts(share: float, hours: float | None, cost: float | None, starts: int = 1) -> dict[str, Any]:
    return {
        "to_send": round(1500 * share),
        "prompt_tokens": round(600_000 * share),
        "completion_tokens": round(1_700_000 * share),
        "engine_starts": starts,
        "seconds": None if hours is None else hours * 3600,
        "gpu_hours": hours,
        "cost": cost,
        "bytes": round(17_500_000 * share),
    }


def line(model: str, hours: float | None = 1.05, cost: float | None = 2.1, *reasons: str) -> PlanLine:
    """A line of 1,500 completions, 500 of them estimated, of bounds two thirds and twice as large."""
    low, high = (Amounts(**amounts(share, hours and hours * share, cost and cost * share)) for share in (2 / 3, 2.0))
    of_line: dict[str, Any] = {"in_ledger": 9, "estimated": 500, "low": low, "high": high, "reasons": reasons}
    return PlanLine(**amounts(1.0, hours, cost), **of_line, stage="answers", model=model)


def arena_of(make_arena: MakeArena, models: tuple[str, ...] = ("org/a", "org/b", "org/c"), **serves: Any) -> Arena:
    competitors = [{"name": m.partition("/")[2], "model": m, "serve": serves.get(m.partition("/")[2])} for m in models]
    return make_arena(competitors=competitors)


@pytest.fixture(autouse=True)
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence, "hardware_of", lambda server: Hardware("A100", 1))


def test_a_plan_without_any_competitor_that_can_be_prompted_says_that_it_is_unknown(make_arena: MakeArena) -> None:
    said = sentence.sentence(arena_of(make_arena), [])
    assert said == "How much is left to ask for is unknown: no competitor can be prompted."


def test_everything_that_is_known_is_one_sentence(make_arena: MakeArena) -> None:
    arena = arena_of(make_arena)
    code = [RunsLine("execution_results", 0, 9, 0, 120.0, ""), RunsLine("answer_behaviours", 0, 9, 0, None, "unknown")]
    said = sentence.sentence(arena, [line("org/a"), line("org/b")], code)
    assert said == (
        "2 models, 3,000 completions to ask for (1,000 of them estimated), 1.2 M tokens in and 3.4 M out: 2.1 GPU hours"
        " (1.4 to 4.2) on one A100, about 2 h 8 min with 2 engine starts, cost 4.20 (2.80 to 8.40), 35 MB on disk."
    )


def test_what_is_unknown_is_named_with_the_key_that_would_say_it(make_arena: MakeArena) -> None:
    arena = arena_of(make_arena, c={"kind": "chat", "urls": ["http://c"], "logprobs": True})
    said = sentence.sentence(arena, [line("org/a", 1.0, None), line("org/b", None, None), line("org/c", None, None)])
    assert "1 GPU hours (0.67 to 2) on one A100, about 1 h with 3 engine starts, 52.5 MB on disk." in said
    assert said.endswith(
        " Not in it: the time of b, c (set `speed` in its `serve`); the cost of c (set `price_per_million_tokens` in its"
        " `serve`); the cost of a (set `engine.price_per_gpu_hour`)."
    )
    assert "cost" not in said.partition(" Not in it")[0]


def test_gpus_that_a_rule_of_thumb_assumes_are_no_fact(make_arena: MakeArena, monkeypatch: pytest.MonkeyPatch) -> None:
    arena = arena_of(make_arena, a=ENDPOINT, b=ENDPOINT, c=ENDPOINT)
    monkeypatch.setattr(sentence, "hardware_of", lambda server: Hardware("A100", 2, assumed=True))
    rough = sentence.sentence(arena, [line("org/a", 1.0, 1.0, "speed: rule of thumb: 7 B parameters")])
    assert " on 2 GPUs like an A100, " in rough
    measured = sentence.sentence(arena, [line("org/a", 1.0, 1.0, "speed: as measured so far")])
    assert " on 2 GPUs, " in measured


def test_a_cpu_has_no_gpu_hours_and_no_price(make_arena: MakeArena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence, "hardware_of", lambda server: Hardware("CPU cores", 0))
    said = sentence.sentence(arena_of(make_arena), [line("org/a", 0.05, None)])
    assert said.endswith("about 3 min (120 s to 6 min) on this CPU with 1 engine start, 17.5 MB on disk.")


def test_an_arena_with_everything_paid_says_so(make_arena: MakeArena) -> None:
    done = PlanLine(
        **amounts(0.0, 0.0, 0.0, 0),
        stage="answers",
        model="org/a",
        in_ledger=1500,
        estimated=0,
        low=Amounts(**amounts(0.0, 0.0, 0.0, 0)),
        high=Amounts(**amounts(0.0, 0.0, 0.0, 0)),
    )
    assert sentence.sentence(arena_of(make_arena), [done]) == "Nothing is left to ask for: 1,500 completions are paid."
