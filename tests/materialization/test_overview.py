"""What the UI says of each asset, and of each column."""

from typing import Any

import pytest

from tests.every_table import OF_EACH_KIND, arena_with
from warrior_dagster.materialization.columns import MEANINGS
from warrior_dagster.materialization.overview import PARTITIONS, cost, kinds_of
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.table import Table, in_arena
from warrior_dagster.orchestration.catalog import TABLES, arena_assets, tables_of
from warrior_dagster.planning.assets import arena_plan

EVERYTHING = arena_with(**OF_EACH_KIND["everything"])


def table(name: str) -> Table:
    (found,) = (one for one in tables_of(EVERYTHING) if one.name == name)
    return found


@pytest.mark.parametrize("settings", OF_EACH_KIND)
def test_each_overview_says_what_it_is_what_a_partition_is_and_what_materializing_costs(settings: str) -> None:
    scope = Scope(arena_with(**OF_EACH_KIND[settings]))
    for asset in [*arena_assets(scope), arena_plan.make(scope)]:
        (spec,) = asset.specs
        what, costs, *rest = str(spec.description).split("\n\n")
        assert what.endswith("."), spec.key
        assert costs.startswith(tuple(PARTITIONS.values())), spec.key
        assert ". Materializing " in costs, spec.key
        assert all(more.startswith("It also reads ") for more in rest)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mined_instructions", "sends requests to that competitor"),
        ("generated_tests", "sends requests to that competitor"),
        ("instruction_difficulty", "sends requests to its judges, which are other competitors"),
        ("judge_votes", "sends requests to its judges"),
        ("execution_results", "runs code of models in the sandbox"),
        ("sample_behaviours", "runs code of models in the sandbox"),
        ("instruction_embeddings", "computes on the GPU"),
        ("selected_instructions", "computes on the GPU"),
        ("elo_ratings", "takes only CPU time"),
        ("sft_dataset", "takes only CPU time"),
    ],
)
def test_the_cost_follows_from_what_the_table_declares(name: str, says: str) -> None:
    assert says in cost(table(name), EVERYTHING)


def test_an_asset_that_asks_models_has_a_tag_for_how_they_are_served() -> None:
    endpoint = {"kind": "endpoint", "urls": ["http://localhost:1"]}
    served = {
        "vllm": arena_with(),
        "llm": arena_with(engine={"serve": endpoint}),
    }
    for tag, arena in served.items():
        assert kinds_of(table("mined_instructions"), arena) == {tag, "lancedb"}
    competitors: list[dict[str, Any]] = [{"name": n, "model": n} for n in ("ann", "bob", "cyd")]
    competitors[2]["serve"] = endpoint
    mixed = arena_with().model_validate({"name": "small", "competitors": competitors})
    assert kinds_of(table("mined_instructions"), mixed) == {"vllm", "llm", "lancedb"}
    assert kinds_of(table("elo_ratings"), mixed) == {"python", "lancedb"}


def test_every_column_of_every_table_is_described_and_nothing_else_is() -> None:
    arenas = [arena_with(**values) for values in OF_EACH_KIND.values()]
    used, own_used = set[str](), set[tuple[str, str]]()
    for one in [*TABLES, arena_plan]:
        for arena in arenas:
            if not one.enabled(arena):
                continue
            columns = in_arena(one.columns, arena)
            described = {column.name: column.description or "" for column in one.column_schema(columns).columns}
            assert list(described) == list(columns)
            for name, text in described.items():
                assert text.endswith("."), (one.name, name)
                assert len(text.split()) >= 2, (one.name, name)
            used |= {name for name in columns if name not in one.meanings}
            own_used |= {(one.name, name) for name in columns if name in one.meanings}
    assert used == set(MEANINGS)
    datasets = {f"{kind}_dataset" for kind in ("sft", "dpo", "kto")}  # share one description
    declared = {(one.name, name) for one in [*TABLES, arena_plan] for name in one.meanings if one.name not in datasets}
    assert declared <= own_used


def test_a_column_that_nothing_describes_is_an_error() -> None:
    with pytest.raises(KeyError, match="unheard_of"):
        table("answers").column_schema(["unheard_of"])
