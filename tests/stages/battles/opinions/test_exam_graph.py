"""The judges' exam in the graph: its requests are planned and asked once, and a newcomer changes no earlier row."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import small_settings
from tests.stages.battles.unit_tests.scripts import code_writers
from tests.test_graph import materialize as requested
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.planning.cost import plan
from warrior_dagster.stages.battles.opinions.exam import BROKEN, CUT_OFF, MISPLACED, REAL
from warrior_dagster.warehouse.tables import Warehouse

MakeArena = Callable[..., Arena]
EXAM = 12
BATTLES = {"verdict": "direct", "votes": "soft", "evidence": ["execution", "opinion"], "exam": EXAM}


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory, bundled_model: Path, bundled_embedder: Path) -> Arena:
    """An arena of three competitors whose judges sat an exam. Tests must not change it."""
    settings = small_settings(tmp_path_factory.mktemp("examined"), bundled_model, bundled_embedder, ("ann", "bob", "cyd"))
    arena = Arena.model_validate(settings | {"battles": BATTLES, "selection": {"centres": 6}})
    with pytest.MonkeyPatch.context() as patch:
        code_writers(patch)
        requested(arena, ("competitors", None), ("matchups", None))
    return arena


def rows(arena: Arena, table: str) -> pl.DataFrame:
    return Warehouse(arena.warehouse).read(table)


def to_send(arena: Arena) -> dict[str, int]:
    return {line.stage: line.to_send for line in plan(arena, LedgerReader(arena.warehouse), Warehouse(arena.warehouse))}


def test_every_judge_sits_an_exam_of_several_kinds_in_both_orders_without_its_own_answers(examined: Arena) -> None:
    exams = rows(examined, "judge_exams")
    assert set(exams["judge"]) == set(examined.roster)
    for judge in examined.roster:
        own = exams.filter(judge=judge)
        assert 0 < own["question"].n_unique() <= EXAM
        assert own.group_by("question").agg(pl.col("order").n_unique())["order"].to_list() == [2] * own["question"].n_unique()
        assert judge not in {*own["author_better"], *own["author_worse"]}
    assert {MISPLACED, CUT_OFF, BROKEN, REAL} >= set(exams["kind"])
    assert {MISPLACED, BROKEN} <= set(exams["kind"])
    changed = rows(examined, "broken_answers")
    assert set(exams.filter(kind=BROKEN)["made"]) <= set(changed.filter(pl.col("outcome") != "passed")["broken"])
    assert to_send(examined)["judge_exams"] == 0
