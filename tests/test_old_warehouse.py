"""A warehouse of an earlier version opens, sends no request and keeps its rows: identities and keys are stable."""

import shutil
import tarfile
from pathlib import Path

import polars as pl
import pytest
import yaml
from polars.testing import assert_frame_equal

from tests.runs import EVERYTHING, materialize
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import load_arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.orchestration.catalog import tables_of
from warrior_dagster.orchestration.definitions import open_engines
from warrior_dagster.planning.adoption import asked_again
from warrior_dagster.planning.cost import plan, totals
from warrior_dagster.report.assets import arena_report
from warrior_dagster.warehouse.tables import Warehouse

FIXTURE = Path(__file__).parent / "fixtures" / "warehouse_of_6c55b93"
COMPUTED_HERE = ("vector", "radius")
"""Columns whose last digits depend on the processor."""
REASONING = "reasoning"
"""The column that is new since then; no competitor of that time wrote any."""


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory, bundled_embedder: Path) -> Arena:
    folder = tmp_path_factory.mktemp("old")
    shutil.copytree(FIXTURE / "model", folder / "model")
    with tarfile.open(FIXTURE / "warehouse.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    values = yaml.safe_load((FIXTURE / "arena.yaml").read_text()) | {"embedding": {"model": str(bundled_embedder)}}
    (folder / "arena.yaml").write_text(yaml.safe_dump(values))
    return load_arena(folder / "arena.yaml")


def rows(arena: Arena) -> dict[str, pl.DataFrame]:
    """All rows of every table except the report, which contains the time of writing."""
    warehouse = Warehouse(arena.warehouse)
    tables = [table for table in tables_of(arena) if table is not arena_report]
    return {t.name: warehouse.read(t.name, t.partitions(arena)).drop(COMPUTED_HERE, strict=False) for t in tables}


def without_reasoning(table: pl.DataFrame) -> pl.DataFrame:
    """A table without its reasoning, all of which is null."""
    if "ratings" in table.columns:
        ratings = table["ratings"].explode()
        assert ratings.struct.field(REASONING).null_count() == len(ratings)
        kept = [field for field in ratings.struct.fields if field != REASONING]
        table = table.with_columns(pl.col("ratings").list.eval(pl.struct(pl.element().struct.field(name) for name in kept)))
    if REASONING in table.columns:
        assert table[REASONING].null_count() == len(table)
    return table.drop(REASONING, strict=False)


def test_an_old_warehouse_sends_no_request_and_every_row_stays_the_same(arena: Arena) -> None:
    before = rows(arena)
    assert len(before["answer_scores"].filter("gold")) == 6
    assert before["execution_results"]["outcome"].n_unique() > 1
    with open_engines(arena) as engines:  # its endpoint does not exist: a request would fail
        materialize(arena, engines, *EVERYTHING)
    assert {usage.sent for usage in engines.total.values()} == {0}
    after = rows(arena)
    assert set(after) == set(before)
    assert {name for name, table in after.items() if REASONING in table.columns} == {
        "answers",
        "judge_votes",
        "execution_votes",
    }
    for name, table in after.items():
        assert_frame_equal(without_reasoning(table).select(before[name].columns), before[name], check_exact=True)
        assert set(table.columns) - set(before[name].columns) <= {REASONING}, name


def test_the_plan_of_an_old_warehouse_has_nothing_to_send(arena: Arena) -> None:
    total = totals(plan(arena, LedgerReader(arena.warehouse), open_warehouse(arena)))
    assert (total["to_send"], total["in_ledger"]) == (0, 123)


def test_the_plan_of_an_old_arena_says_what_would_be_sent_again_and_why_and_how_to_use_it(arena: Arena) -> None:
    ledger, warehouse = LedgerReader(arena.warehouse), open_warehouse(arena)
    assert asked_again(arena, plan(arena, ledger, warehouse), ledger, warehouse) == []

    # That version stored the completions of every name at an endpoint under one identity.
    serve = {"kind": "endpoint", "urls": ["http://127.0.0.1:9"], "served_model": "qwen"}
    named = Arena.model_validate(arena.model_dump() | {"engine": {"serve": serve}})
    lines = plan(named, ledger, warehouse)
    assert totals(lines)["in_ledger"] == 0
    header, why, how = asked_again(named, lines, ledger, warehouse)
    assert header.startswith("123 of the requests to send were sent before")
    assert why.startswith(
        "teacher, engineer, plain: 122 completions are in the ledger as local@5f683e86e36bf2df4df441b63e577353;"
    )
    assert why.endswith("They are of the same model only if served_model was qwen when they were made")

    adopted = yaml.safe_load(how[how.index("adopted:") :])
    adopting = Arena.model_validate(named.model_dump() | adopted)
    total = totals(plan(adopting, ledger, warehouse))
    assert (total["to_send"], total["in_ledger"]) == (0, 123)
