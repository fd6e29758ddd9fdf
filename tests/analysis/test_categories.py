"""Categories: the judge, the request, and abstentions."""

from collections.abc import Callable

import pytest

from tests.conftest import scripted_engines
from tests.runs import materialize
from warrior_dagster.analysis.categories import CATEGORIES, judge_of, read
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.request import Completion, Request, ServedModel
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.warehouse.tables import Warehouse

MakeArena = Callable[..., Arena]
MODEL = ServedModel("model", "model", None, None)  # type: ignore[arg-type]


def completion(text: str, probabilities: dict[str, float] | None) -> Completion:
    return Completion("key", 0, text, "stop", 1, 1, probabilities)


def test_the_likeliest_digit_is_the_category_with_its_probability() -> None:
    logprobs = dict.fromkeys(CATEGORIES, -9.0) | {"3": -0.1, "2": -2.0}
    row = read(Request(MODEL, "p", "{}", tag=("ann", "one")), completion("2", logprobs))
    assert (row["category"], row["judge"], row["instruction_id"], row["reason"]) == ("debugging", "ann", "one", "")
    assert row["probability"] == pytest.approx(0.869, abs=1e-3)


@pytest.mark.parametrize(("text", "logprobs"), [("code", None), ("1", None), ("1", {"1": -0.1})])
def test_an_answer_without_a_digit_is_an_abstention_with_a_reason(text: str, logprobs: dict[str, float] | None) -> None:
    row = read(Request(MODEL, "p", "{}", tag=("ann", "one")), completion(text, logprobs))
    assert row["category"] is None
    assert row["probability"] is None
    assert row["reason"]


def test_no_competitor_judges_its_own_instructions_and_a_new_one_changes_no_judge(make_arena: MakeArena) -> None:
    few, more = make_arena(), make_arena(("ann", "bob", "cyd", "dan"))
    for arena in (few, more):
        assert all(judge_of(arena, name) != name for name in arena.roster)
    assert [judge_of(few, name) for name in few.roster] == [judge_of(more, name) for name in few.roster]


@pytest.mark.pictures
def test_every_selected_instruction_gets_a_category_if_enabled(finished_copy: MakeArena) -> None:
    arena = finished_copy(analysis={"categories": True})
    with scripted_engines(arena, [], []) as engines:
        (result,) = materialize(arena, engines, ("task_categories", None))
    warehouse = Warehouse(arena.warehouse)
    rows = warehouse.read("task_categories", arena.roster)
    assert set(rows["instruction_id"]) == set(warehouse.read("selected_instructions", arena.roster)["instruction_id"])
    assert set(rows["category"]) <= set(CATEGORIES.values())
    events = result.asset_materializations_for_node("task_categories")
    assert all(len(str(event.metadata["picture"].value)) > 5_000 for event in events)


def test_the_asset_does_not_exist_if_disabled(make_arena: MakeArena) -> None:
    from warrior_dagster.orchestration.catalog import arena_assets

    names = {a.key.to_user_string() for a in arena_assets(Scope(make_arena()))}
    assert "task_categories" not in names
    assert "arena_report" in names
