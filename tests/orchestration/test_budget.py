"""What fits in a budget, and what a partition takes of it."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.config.arena import Arena
from warrior_dagster.orchestration.budget import Plan, fitting, limits, shares, too_much, total
from warrior_dagster.orchestration.upcoming_work import Work
from warrior_dagster.stages.battles.opinions.assets import judge_votes
from warrior_dagster.stages.curation.assets import unique_instructions
from warrior_dagster.stages.mining.assets import mined_instructions

AMOUNT = st.none() | st.floats(0, 100)
AMOUNTS = st.lists(st.fixed_dictionaries({"completions": AMOUNT, "gpu_hours": AMOUNT}), max_size=6)


@given(AMOUNTS, st.floats(0, 200), st.floats(0, 200))
def test_what_is_chosen_fits_and_what_is_left_out_is_unknown_or_does_not_fit_after_those_before_it(
    given_: list[dict[str, float | None]], completions: float, hours: float
) -> None:
    amounts = {f"p{number}": one for number, one in enumerate(given_)}
    left = {"completions": completions, "gpu_hours": hours}
    chosen = fitting(list(amounts), amounts, left)
    assert all(sum(amounts[one][unit] or 0.0 for one in chosen) <= left[unit] + 1e-4 for unit in left)
    for number, one in enumerate(amounts):
        if one not in chosen:
            before = [other for other in list(amounts)[:number] if other in chosen]
            used = total(before, amounts) or dict.fromkeys(left, 0.0)
            assert any((own := amounts[one][unit]) is None or used[unit] + own > left[unit] - 1e-9 for unit in left), (
                "it would have fitted"
            )


@given(AMOUNTS)
def test_without_a_limit_everything_is_chosen(given_: list[dict[str, float | None]]) -> None:
    amounts = {f"p{number}": one for number, one in enumerate(given_)}
    assert fitting(list(amounts), amounts, {}) == list(amounts)


def arena_of_two_models(make_arena: Callable[..., Arena]) -> Arena:
    arena = make_arena(("ann", "bob", "cyd", "dan"))
    models = {"ann": "small", "bob": "large", "cyd": "small", "dan": "small"}
    competitors = tuple(one.model_copy(update={"model": models[one.name]}) for one in arena.competitors)
    return arena.model_copy(update={"competitors": competitors})


def test_a_partition_takes_its_share_of_each_model_that_it_asks(make_arena: Callable[..., Arena]) -> None:
    arena = arena_of_two_models(make_arena)
    units = ["completions", "gpu_hours", "matchups"]
    plan: Plan = {
        ("mined_instructions", "small"): {"completions": 300, "gpu_hours": 3.0},
        ("mined_instructions", "large"): {"completions": 100, "gpu_hours": None},
        ("judge_votes", "large"): {"completions": 60, "gpu_hours": 6.0},
    }
    mining = Work(mined_instructions, dict.fromkeys(["ann", "bob", "cyd", "dan"], ""), [])
    found = shares(arena, mining, lambda: plan, units)
    assert found["ann"] == found["cyd"] == {"completions": 100, "gpu_hours": 1.0, "matchups": 0}
    assert found["bob"] == {"completions": 100, "gpu_hours": None, "matchups": 0}
    voting = Work(judge_votes, dict.fromkeys(["ann__bob", "ann__cyd", "ann__dan"], ""), [])
    found = shares(arena, voting, lambda: plan, units)
    assert found["ann__bob"] == {"completions": 0, "gpu_hours": 0, "matchups": 1}  # bob, the large one, does not judge it
    assert found["ann__cyd"] == found["ann__dan"] == {"completions": 30, "gpu_hours": 3.0, "matchups": 1}
    free = Work(unique_instructions, {"ann": ""}, [])
    assert shares(arena, free, lambda: plan, units) == {"ann": {"completions": 0, "gpu_hours": 0, "matchups": 0}}


def test_three_thirds_of_a_budget_fit_in_it() -> None:
    amounts = {name: {"completions": 100 / 3} for name in "abc"}
    assert fitting("abc", amounts, {"completions": 100}) == ["a", "b", "c"]


def test_limits_are_those_that_the_file_names(make_arena: Callable[..., Arena]) -> None:
    schedule = make_arena(schedule={"budget": {"gpu_hours": 2.5}, "matchups": 4}).schedule
    assert schedule
    assert limits(schedule) == {"gpu_hours": 2.5, "matchups": 4}


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ({"completions": 1234.0, "cost": 1.0}, "ann needs 1,234 of the 100 completions that are left"),
        (
            {"completions": None, "cost": 7.25},
            "ann needs completions that the plan cannot state and 7.25 of the 5 cost that are left",
        ),
    ],
)
def test_a_partition_that_does_not_fit_says_why(amounts: dict[str, float | None], expected: str) -> None:
    assert too_much("ann", amounts, {"completions": 100.0, "cost": 5.0}) == expected
