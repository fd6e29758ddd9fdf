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
Tables = dict[str, pl.DataFrame]
COMPUTED_HERE = ("vector", "radius")
"""Columns whose last digits depend on the processor."""
JUDGED_ANEW = ("run_key", "reason", "level")
"""The columns of execution_results that change once: the sandbox now judges outside of the code's process. No outcome does."""
REASONING = "reasoning"
"""A column that is new since then; no competitor of that time wrote any."""
DECIDED_BY = "decided_by"
"""A column that is new since then: what decided a battle or put an answer first."""
OF_INSTRUCTION = ("language", "difficulty")
"""The columns of data sets that are new since then."""
RENAMED = {"fought over": "battled on"}
"""A stage of the funnel that has another name since then."""

SAME_TEXT = "d533247e2105917d"
"""The instruction that two competitors answered with one text. The earlier version scored it as two answers: one gold and one
worst, one desirable and one undesirable. Its scores, and what reads them, change on purpose.
"""
RATED = {"elo_ratings", "answer_scores", "rating_history", "sft_dataset", "dpo_dataset", "kto_dataset"}
"""The tables that depend on ratings. The earlier version replayed the battles once."""


def unpacked(folder: Path, embedder: Path, **ratings: str) -> Arena:
    """The old arena in a folder of its own, with further keys of its ratings."""
    shutil.copytree(FIXTURE / "model", folder / "model")
    with tarfile.open(FIXTURE / "warehouse.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    values = yaml.safe_load((FIXTURE / "arena.yaml").read_text()) | {"embedding": {"model": str(embedder)}}
    values["ratings"] |= ratings
    values["export"] = values.get("export", {}) | {"undecided": "keep"}  # as that version did
    (folder / "arena.yaml").write_text(yaml.safe_dump(values))
    return load_arena(folder / "arena.yaml")


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory, bundled_embedder: Path) -> Arena:
    return unpacked(tmp_path_factory.mktemp("old"), bundled_embedder, orders="one")


def rows(arena: Arena) -> Tables:
    """All rows of every table except the report, which contains the time of writing."""
    warehouse = Warehouse(arena.warehouse)
    tables = [table for table in tables_of(arena) if table is not arena_report]
    found = {t.name: warehouse.read(t.name, t.partitions(arena)).drop(COMPUTED_HERE, strict=False) for t in tables}
    return found | {"execution_results": found["execution_results"].drop(JUDGED_ANEW)}


def rows_before(arena: Arena) -> Tables:
    """The rows of the earlier version, with the present names of stages."""
    found = rows(arena)
    return found | {"funnel": found["funnel"].with_columns(pl.col("stage").replace(RENAMED))}


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


def materialized(arena: Arena) -> Tables:
    """All rows after everything is materialized, for which no request is sent, without the new columns."""
    with open_engines(arena) as engines:  # its endpoint does not exist: a request would fail
        materialize(arena, engines, *EVERYTHING, checks=True)
    assert {usage.sent for usage in engines.total.values()} == {0}
    found = {name: without_reasoning(table).drop(DECIDED_BY, strict=False) for name, table in rows(arena).items()}
    return {name: table.drop(OF_INSTRUCTION if name.endswith("_dataset") else ()) for name, table in found.items()}


def without_same_text(table: pl.DataFrame) -> pl.DataFrame:
    """The rows of a table that are not about the instruction with one text of two competitors."""
    return table.filter(pl.col("instruction_id") != SAME_TEXT) if "instruction_id" in table.columns else table


@pytest.fixture(scope="module")
def again(arena: Arena) -> tuple[Tables, Tables]:
    """All rows before and after everything is materialized again, with one pass over the battles."""
    return rows_before(arena), materialized(arena)


def test_an_old_warehouse_sends_no_request_and_every_row_stays_the_same(again: tuple[Tables, Tables]) -> None:
    before, after = again
    assert len(before["answer_scores"].filter("gold")) == 6
    assert before["execution_results"]["outcome"].n_unique() > 1
    assert set(after) == set(before)
    for name, table in after.items():
        old = before[name]
        assert set(table.columns) == set(old.columns), name
        kept = without_same_text if name in RATED else pl.DataFrame.clone
        assert_frame_equal(kept(table).select(old.columns), kept(old), check_exact=True)


def test_two_competitors_with_one_text_now_have_one_score_and_one_label(again: tuple[Tables, Tables]) -> None:
    _, now = again
    of_text = now["answers"].filter(instruction_id=SAME_TEXT).select("competitor", "answer")
    scored = now["answer_scores"].filter(instruction_id=SAME_TEXT).join(of_text, on="competitor")
    assert len(scored) == 3
    assert scored["answer"].n_unique() == scored["score"].n_unique() == 2
    labels = now["kto_dataset"].filter(instruction_id=SAME_TEXT)
    assert sorted(labels["label"]) == [False, True]


@pytest.mark.long
def test_an_old_warehouse_sends_no_request_with_many_orders_nor_after_renaming_which_changes_no_rating_and_no_gold_answer(
    tmp_path: Path, bundled_embedder: Path
) -> None:
    arena = unpacked(tmp_path, bundled_embedder)
    before, after = rows_before(arena), materialized(arena)
    assert "order_deviation" in after["elo_ratings"].columns
    for name, table in after.items():
        if name not in RATED:
            assert_frame_equal(table, before[name].select(table.columns), check_exact=True)
    assert not after["elo_ratings"]["rating"].equals(before["elo_ratings"]["rating"])
    assert after["elo_ratings"]["wins"].equals(before["elo_ratings"]["wins"])

    new_name = {"teacher": "engineer", "engineer": "a", "plain": "zoe"}
    competitors = tuple(one.model_copy(update={"name": new_name[one.name]}) for one in arena.competitors)
    renamed = materialized(arena.model_copy(update={"competitors": competitors}))
    for name, columns in {
        "elo_ratings": ["competitor", "rating", "order_deviation", "low", "high"],
        "rating_history": ["competitor", "battles", "rating", "low", "high"],
        "answer_scores": ["competitor", "instruction_id", "score", "rank", "gold"],
        "sft_dataset": ["competitor", "instruction_id", "messages", "score"],
        "kto_dataset": ["competitor", "instruction_id", "completion", "label"],
    }.items():
        expected = after[name].select(columns).with_columns(pl.col("competitor").replace(new_name))
        assert_frame_equal(renamed[name].select(columns), expected, check_row_order=False, abs_tol=1e-9)


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
