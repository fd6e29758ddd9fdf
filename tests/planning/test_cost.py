"""A plan counts completions, tokens, time, money and disk between bounds, and prompts take time too."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.config.arena import Arena
from warrior_dagster.planning.cost import Amounts, Measures, PlanLine, as_row, lines, totals
from warrior_dagster.planning.forecast import Forecast, MissingRequest
from warrior_dagster.planning.plan import Further, StagePlan
from warrior_dagster.planning.speeds import Measured
from warrior_dagster.planning.storage import Storage
from warrior_dagster.stages.battles.assets import answers
from warrior_dagster.stages.battles.opinions.assets import judge_votes
from warrior_dagster.stages.curation.assets import instruction_difficulty
from warrior_dagster.stages.mining.assets import mined_instructions

MakeArena = Callable[..., Arena]
TABLES = (mined_instructions, instruction_difficulty, answers, judge_votes)
OURS, THEIRS, CHAT = "org/m-1b", "org/m-7b", "gpt-x"
SPEED = {"prompt": 4000, "completion": 400}
PRICES = {"input": 1, "output": 4}
SERVES: dict[str, Any] = {
    "c0": {"kind": "vllm", "tensor_parallel_size": 2},
    "c1": {"kind": "endpoint", "urls": ["http://a", "http://b"], "gpus": 4, "speed": SPEED},
    "c2": {"kind": "chat", "urls": ["http://c"], "logprobs": True, "price_per_million_tokens": PRICES, "speed": SPEED},
}
VALUES: dict[str, Any] = {
    "name": "small",
    "competitors": [
        {"name": name, "model": model, "serve": serve}
        for (name, serve), model in zip(SERVES.items(), (OURS, THEIRS, CHAT), strict=True)
    ],
    "mining": {"max_tokens": 64},
    "answers": {"sampling": {"max_tokens": 128}},
    "engine": {"price_per_gpu_hour": 2.0},
}
NOTHING = Measures({}, {}, {}, Storage())
counts = st.integers(0, 50)


@st.composite
def forecasts(draw: st.DrawFn) -> Forecast:
    """What one model was asked in a stage, and is still to be asked: no completion is longer than its limit."""
    paid, limit = draw(counts), draw(st.integers(1, 64))
    prompts = draw(st.integers(0, paid))
    missing = [
        MissingRequest("", draw(st.integers(1, 8)), draw(st.integers(0, 400)), limit) for _ in range(draw(st.integers(0, 5)))
    ]
    return Forecast(
        params={("identity", "params")},
        in_ledger=paid,
        prompt_tokens=prompts * draw(st.integers(1, 5000)),
        completion_tokens=draw(st.integers(0, paid * limit)),
        prompts=prompts,
        estimated_prompt_tokens=prompts * draw(st.integers(0, 5000)),
        missing=missing,
    )


@st.composite
def stage_plans(draw: st.DrawFn) -> list[StagePlan]:
    plans = []
    for table in TABLES:
        stage = StagePlan(table, {m: draw(forecasts()) for m in (OURS, THEIRS, CHAT) if draw(st.booleans())}, how="a guess")
        for model in (OURS, THEIRS, CHAT):
            prompts, more, samples = draw(counts), draw(counts), draw(st.integers(1, 4))
            stage.further[model] = Further()
            stage.further[model].add(prompts, prompts + more, samples)
        plans.append(stage)
    return plans


@given(
    stage_plans(),
    st.builds(Measured, st.integers(0, 2000), st.floats(0, 100), st.integers(0, 9000), st.integers(0, 9000)),
    st.dictionaries(st.sampled_from([OURS, THEIRS]), st.floats(1, 500)),
    st.floats(0.1, 10),
)
def test_each_amount_lies_between_its_bounds(
    plans: list[StagePlan], measured: Measured, starts: dict[str, float], size: float
) -> None:
    arena = Arena.model_validate(VALUES)
    measures = Measures({OURS: {"identity"}}, {("identity", "params"): measured}, starts, Storage(size))
    planned = lines(arena, plans, measures, {})
    total = totals(planned)
    for line in [*map(as_row, planned), total]:
        for name in Amounts.__dataclass_fields__:
            assert line["low"][name] <= line[name] <= line["high"][name], name
    assert total["to_send"] - total["estimated"] == total["low"]["to_send"]
    assert total["low"]["to_send"] == sum(one.samples for plan in plans for one in plan.missing)


def planned(stage: StagePlan, measures: Measures = NOTHING, **values: Any) -> dict[str, PlanLine]:
    """The lines of a stage, by model."""
    return {line.model: line for line in lines(Arena.model_validate(VALUES | values), [stage], measures, {})}


def judging(prompts: int, tokens: int, model: str) -> StagePlan:
    """A stage of so many known verdicts of one token each."""
    return StagePlan(judge_votes, {model: Forecast(missing=[MissingRequest("", 1, tokens, 1)] * prompts)})


DIRECT: dict[str, Any] = {"battles": {"verdict": "direct", "votes": "soft"}}


def test_prompts_take_time_and_gpus_of_all_urls_count() -> None:
    line = planned(judging(1000, 5700, THEIRS), **DIRECT)[THEIRS]
    assert (line.prompt_tokens, line.completion_tokens) == (5_700_000, 1000)
    seconds = 5_700_000 / 8000 + 1000 / 800  # two URLs, of four GPUs each
    assert line.seconds == pytest.approx(seconds)
    assert line.gpu_hours == pytest.approx(seconds * 8 / 3600)
    assert line.cost == pytest.approx(2.0 * seconds * 8 / 3600)


def test_tokens_of_a_service_have_prices_and_take_none_of_our_gpus() -> None:
    line = planned(judging(1000, 5700, CHAT), **DIRECT)[CHAT]
    assert line.gpu_hours == 0
    assert line.cost == pytest.approx(5.7 * 1 + 0.001 * 4)
    assert line.seconds == pytest.approx(5_700_000 / 4000 + 1000 / 400)


def test_a_prompt_counts_once_for_all_of_its_samples() -> None:
    stage = StagePlan(answers, {OURS: Forecast(missing=[MissingRequest("", 10, 300, 128)])})
    line = planned(stage)[OURS]
    assert (line.to_send, line.prompt_tokens) == (10, 300)


def test_lengths_are_those_seen_so_far_and_half_of_the_limits_before() -> None:
    paid = Forecast(in_ledger=4, prompts=2, prompt_tokens=600, estimated_prompt_tokens=300, completion_tokens=40)
    missing = [MissingRequest("", 1, 100, 128)]
    own = planned(StagePlan(answers, {OURS: Forecast(**vars_of(paid), missing=missing)}))[OURS]
    assert (own.prompt_tokens, own.completion_tokens) == (200, 10)
    assert "tokens: as this model's so far" in own.reasons
    other = planned(StagePlan(answers, {THEIRS: paid, OURS: Forecast(missing=missing)}))[OURS]
    assert (other.prompt_tokens, other.completion_tokens) == (200, 10)
    assert "tokens: as the other models' so far" in other.reasons
    fresh = planned(StagePlan(answers, {OURS: Forecast(missing=missing)}))[OURS]
    assert (fresh.prompt_tokens, fresh.completion_tokens, fresh.high.completion_tokens) == (100, 64, 128)


def hours(of: Amounts) -> float:
    assert of.gpu_hours is not None
    return of.gpu_hours


def vars_of(forecast: Forecast) -> dict[str, Any]:
    return {name: getattr(forecast, name) for name in Forecast.__slots__ if name != "missing"}


def test_a_new_arena_has_hours_and_says_that_they_are_a_rule_of_thumb() -> None:
    line = planned(judging(10, 100, OURS))[OURS]
    assert any(reason.startswith("speed: rule of thumb: 1 B parameters on 2 ") for reason in line.reasons)
    assert 0 < hours(line.low) < hours(line) < hours(line.high)


def test_a_measured_start_takes_the_place_of_the_rule() -> None:
    stage = judging(10, 100, OURS)
    pace = {("identity", "params"): Measured(1000, 1.0, 0, 1000)}
    stage.forecasts[OURS].params = {("identity", "params")}
    slow, quick = (planned(stage, Measures({}, pace, {OURS: s}, Storage()))[OURS] for s in (500.0, 5.0))
    assert slow.engine_starts == quick.engine_starts == 1
    assert hours(slow) - hours(quick) == pytest.approx(495 * 2 / 3600)
    assert slow.low.seconds == slow.seconds  # nothing here is a rule of thumb


def test_what_is_unknown_is_null_and_never_counts_as_nothing() -> None:
    nameless = [one | ({"model": "org/nameless"} if one["model"] == OURS else {}) for one in VALUES["competitors"]]
    line = planned(judging(10, 100, "org/nameless"), competitors=nameless)["org/nameless"]
    assert (line.seconds, line.gpu_hours, line.cost) == (None, None, None)
    total = totals([line, *planned(judging(10, 100, CHAT)).values()])
    assert (total["gpu_hours"], total["to_send"]) == (None, 20)
