"""A step reads exactly the tables that its asset declares, and writes exactly the columns that its table declares."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from tests.conftest import scripted_engines
from tests.runs import EVERYTHING, materialize
from tests.stages.battles.unit_tests.scripts import code_writers
from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.recording import Step, record
from warrior_dagster.materialization.table import in_arena, table
from warrior_dagster.orchestration.catalog import TABLES, arena_assets, tables_of
from warrior_dagster.orchestration.definitions import arena_resources
from warrior_dagster.planning.assets import arena_plan
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

MakeArena = Callable[..., Arena]

EVERY_KIND = ["opinion", "execution", "behaviour"]
SAMPLES: dict[str, Any] = {
    "answers": {"sampling": {"max_tokens": 64}, "samples": 2}, "export": {"dpo_rejected": "own_sample", "undecided": "keep"}
}  # fmt: skip


@pytest.mark.parametrize(
    ("evidence", "values"),
    [(["opinion"], {}), pytest.param(EVERY_KIND, {}, marks=pytest.mark.long), (EVERY_KIND, SAMPLES)],
)
def test_every_step_reads_all_that_its_asset_declares(
    make_arena: MakeArena,
    monkeypatch: pytest.MonkeyPatch,
    evidence: list[str],
    values: dict[str, Any],
    tmp_path: Path,
) -> None:
    steps: dict[str, tuple[set[str], Warehouse]] = {}
    for_step = Warehouse.for_step

    def watched(self: Warehouse, table: str, columns: Collection[str], reads: Collection[str]) -> Warehouse:
        step = for_step(self, table, columns, reads)
        steps[table] = set(reads), step
        return step

    monkeypatch.setattr(Warehouse, "for_step", watched)
    code_writers(monkeypatch)
    exam = 4 if "execution" in evidence else 0
    battles = {"verdict": "direct", "votes": "soft", "evidence": evidence, "combine": "sum", "exam": exam}
    export = values.get("export", {}) | {"folder": str(tmp_path / "exports")}
    arena = make_arena(analysis={"categories": True}, battles=battles, **(values | {"export": export}))
    with scripted_engines(arena, [], []) as engines:
        materialize(arena, engines, *EVERYTHING, checks=bool(values))
    plan = [arena_plan.make(Scope(arena))]
    dg.materialize([*arena_assets(Scope(arena)), *plan], selection=plan, resources=arena_resources(Scope(arena)))
    assert set(steps) == {one.name for one in tables_of(arena)} | {"arena_plan"}
    for name, (declared, step) in steps.items():
        assert {table for table, _ in step.read_hashes} - {name} == declared, name


def test_the_assets_of_an_arena_are_its_tables(make_arena: MakeArena) -> None:
    battles = {"evidence": EVERY_KIND, "combine": "sum", "exam": 4}
    arena = make_arena(analysis={"categories": True}, battles=battles, **SAMPLES)
    assets = {asset.key.to_user_string(): asset for asset in arena_assets(Scope(arena))}
    assert list(dict.fromkeys(assets)) == list(assets)
    assert set(assets) == {one.name for one in tables_of(arena)}
    assert {one.name for one in TABLES} == set(assets)  # this arena has all of them
    for one in tables_of(arena):
        partitions = assets[one.name].partitions_def
        assert one.partitions(arena) == (list(partitions.get_partition_keys()) if partitions else [WHOLE])
        assert set(in_arena(one.reads, arena)) <= set(assets)


def filled(arena: Arena, fill: Callable[[Step], dg.MaterializeResult[Any]], reads: dict[str, str]) -> dg.ExecuteInProcessResult:
    """A run that fills a table with a function."""
    described = table(
        "filled", group="tests", partitioned_by="nothing", columns=("row_id", "value"), reads=reads, origins=origins()
    )(fill)
    made = described.make(Scope(arena))
    return dg.materialize([made], resources=arena_resources(Scope(arena)), raise_on_error=False)


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    error = event.step_failure_data.error
    assert error
    assert error.cause
    return error.cause.message


def test_reading_an_undeclared_table_fails_the_step(make_arena: MakeArena) -> None:
    arena = make_arena()
    Warehouse(arena.warehouse).write("other", WHOLE, pl.DataFrame({"row_id": ["a"]}))

    def fill(step: Step) -> dg.MaterializeResult[Any]:
        """Reads."""
        rows = step.warehouse.read("other", [WHOLE])
        return record(step, {WHOLE: rows.select("row_id", value=pl.lit(1))})

    assert "filled does not declare that it reads other" in failure(filled(arena, fill, {}))
    assert filled(arena, fill, {"other": "same"}).success


def test_writing_other_columns_than_declared_fails_the_step(make_arena: MakeArena) -> None:
    arena = make_arena()

    def fill(step: Step) -> dg.MaterializeResult[Any]:
        """Writes."""
        return record(step, {WHOLE: pl.DataFrame({"row_id": ["a"], "values": [1]})})

    assert "filled: expected the declared columns; missing or undeclared are value, values" in failure(filled(arena, fill, {}))
