"""The description of every asset, and the metadata of every materialization: rows, columns, lineage, cost."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import polars as pl
import pytest

from tests.conftest import scripted_engines
from tests.runs import EVERYTHING, asking_partitions, materialize
from tests.stages.battles.unit_tests.scripts import code_writers
from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.column_lineage import column_lineage, origins
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.table import in_arena
from warrior_dagster.orchestration.catalog import arena_assets, tables_of
from warrior_dagster.planning.assets import arena_plan
from warrior_dagster.warehouse.tables import Warehouse

MakeArena = Callable[..., Arena]


@pytest.fixture(params=[pytest.param(["opinion"], marks=pytest.mark.long), ["opinion", "execution"]])
def arena(make_arena: MakeArena, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Arena:
    code_writers(monkeypatch)
    battles = {"verdict": "direct", "votes": "soft", "evidence": request.param, "combine": "sum"}
    return make_arena(engine={"price_per_gpu_hour": 2.5}, analysis={"categories": True}, battles=battles)


def test_every_asset_has_a_description_owners_and_a_group(arena: Arena) -> None:
    for asset in [*arena_assets(Scope(arena)), arena_plan.make(Scope(arena))]:
        (spec,) = asset.specs
        assert spec.description, spec.key
        assert len(spec.description.split()) >= 8
        assert spec.description.strip().endswith("."), spec.key
        assert spec.owners == ["team:warrior"]
        assert spec.kinds
        assert spec.group_name


def test_every_materialization_reports_rows_columns_lineage_and_cost(arena: Arena) -> None:
    reported: dict[str, list[dict[str, Any]]] = {}
    with scripted_engines(arena, [], []) as engines:
        for result in materialize(arena, engines, *EVERYTHING):
            for event in result.get_asset_materialization_events():
                own = dict(event.step_materialization_data.materialization.metadata)
                reported.setdefault(event.asset_key.to_user_string(), []).append(own)  # type: ignore[union-attr]
        (again,) = materialize(arena, engines, ("answers", None))
    assert set(reported) == {a.key.to_user_string() for a in arena_assets(Scope(arena))}
    tables = {name: Warehouse(arena.warehouse).read(name) for name in reported}
    upstream = {one.name: set(in_arena(one.reads, arena)) for one in tables_of(arena)}
    for name, materializations in reported.items():
        rows = [own["dagster/row_count"].value for own in materializations]
        assert sum(rows) == len(tables[name]), name
        for own in materializations:
            assert {"dagster/row_count", "dagster/column_schema", "preview", "rows_sha256", "seconds"} <= set(own), name
            assert float(str(own["seconds"].value)) > 0, name
        for column, sources in columns_of(materializations, tables[name]).items():
            for table, source in sources:
                assert table in upstream[name], (name, column)
                assert source in tables[table].columns, (name, column)
    passed = sum(
        equal_where_ids_are(tables[name], tables[sources[0][0]], column, name)
        for name, materializations in reported.items()
        for column, sources in columns_of(materializations, tables[name]).items()
        if [source for _, source in sources] == [column]
    )
    assert passed > 20
    for name in asking_partitions(arena):
        hours, seconds = (reported[name][0][of].value for of in ("gpu_hours", "seconds_asking"))
        assert hours == pytest.approx(seconds / 3600, abs=1e-6)  # on one GPU
        assert reported[name][0]["cost"].value == pytest.approx(2.5 * hours)
        assert reported[name][0]["completion_tokens"].value > 0
        assert {"requests_sent", "completions_sent", "engine_starts"} <= set(reported[name][0]), name
    assert "statuses" in reported["judge_votes"][0]
    assert "cost" not in reported["elo_ratings"][0]
    (first, *_) = again.asset_materializations_for_node("answers")  # all are in the ledger now
    assert (first.metadata["gpu_hours"].value, first.metadata["cost"].value) == (0, 0)


def columns_of(materializations: list[dict[str, Any]], table: pl.DataFrame) -> dict[str, list[tuple[str, str]]]:
    """The lineage of an asset's columns; checks that it is complete, and the same for each partition."""
    found = [own["dagster/column_lineage"].value.deps_by_column for own in materializations]
    schema = [[column.name for column in own["dagster/column_schema"].value.columns] for own in materializations]
    assert all(set(one) == set(names) == set(table.columns) - {"partition"} for one, names in zip(found, schema, strict=True))
    assert all(one == found[0] for one in found)
    return {c: [(d.asset_key.to_user_string(), d.column_name) for d in deps] for c, deps in found[0].items()}


def equal_where_ids_are(table: pl.DataFrame, upstream: pl.DataFrame, column: str, name: str) -> bool:
    """Whether a column equals the upstream one in rows with the same id (and partition, if both have it); False without any."""
    on = ["row_id", "partition"] if set(table["partition"]) & set(upstream["partition"]) else ["row_id"]
    if column in on or upstream.select(on).is_duplicated().any():
        return False
    both = table.join(upstream.select(*on, pl.col(column).alias("theirs")), on=on)
    assert both[column].equals(both["theirs"].alias(column), null_equal=True), (name, column)
    return len(both) > 0


def test_without_a_price_only_hours_are_reported_and_more_gpus_are_more_hours(make_arena: MakeArena) -> None:
    arena = make_arena(engine={"serve": {"kind": "vllm", "tensor_parallel_size": 4}})
    with scripted_engines(arena, [], []) as engines:
        (result,) = materialize(arena, engines, ("mined_instructions", None))
    (first, *_) = result.asset_materializations_for_node("mined_instructions")
    assert "cost" not in first.metadata
    seconds = first.metadata["seconds_asking"].value
    assert first.metadata["gpu_hours"].value == pytest.approx(4 * seconds / 3600, abs=1e-6)  # type: ignore[operator]


def test_a_column_comes_from_its_declared_origin_or_from_the_column_of_the_same_name() -> None:
    declared = origins("up", b="up.a other.c", c="")
    found = column_lineage(
        declared, ["a", "b", "c", "d"], {"up": ["a", "b", "c"]}.__getitem__, dg.AssetKey, ["up", "other"]
    ).deps_by_column
    assert {c: [(d.asset_key.to_user_string(), d.column_name) for d in deps] for c, deps in found.items()} == {
        "a": [("up", "a")], "b": [("other", "c"), ("up", "a")], "c": [], "d": []
    }  # fmt: skip
    with pytest.raises(ValueError, match="origins of unknown columns: e; the table has a"):
        column_lineage({"e": "up.a"}, ["a"], lambda _: [], dg.AssetKey, ["up"])
