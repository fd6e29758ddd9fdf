"""An arena whose battles are decided by running code alone: no judge is asked about answers, and nothing else is missing."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import scripted_engines
from tests.runs import EVERYTHING, materialize
from tests.stages.battles.unit_tests.scripts import code_writers
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.planning.cost import plan
from warrior_dagster.report.lineage import lineages
from warrior_dagster.report.page import report
from warrior_dagster.warehouse.tables import WHOLE, Warehouse


@pytest.mark.parametrize("evidence", [pytest.param(["execution"], marks=pytest.mark.long), ["execution", "behaviour"]])
def test_an_arena_without_opinions_asks_no_judge_and_decides_by_running_code(
    make_arena: Callable[..., Arena], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, evidence: list[str]
) -> None:
    arena = make_arena(battles={"evidence": evidence})
    code_writers(monkeypatch)
    with scripted_engines(arena, [], []) as engines:
        results = materialize(arena, engines, *EVERYTHING, checks=True)
    failed = [c for r in results for c in r.get_asset_check_evaluations() if not c.passed and c.severity.value == "ERROR"]
    assert failed == []
    warehouse, ledger = Warehouse(arena.warehouse), LedgerReader(arena.warehouse)
    assert warehouse.read_existing("judge_votes", ["ann__bob"]) is None
    assert "judge_votes" not in {line.stage for line in plan(arena, ledger, warehouse)}
    decided = set(warehouse.read("battle_outcomes").drop_nulls("outcome")["decided_by"])
    assert "execution" in decided
    assert decided <= {"", *evidence}
    (first, *_) = warehouse.read("answer_scores", [WHOLE]).filter(pl.col("decided_by") == "execution")["instruction_id"]
    (made,) = lineages(arena, warehouse, ledger, [first])
    assert "decided by tests" in made["why"][0]
    assert "<html" in report(arena, warehouse, ledger, "today")
