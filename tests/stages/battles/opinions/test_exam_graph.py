"""The judges' exam in the graph: its requests are planned and asked once, and a newcomer changes no earlier row."""

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import small_settings
from tests.runs import stale
from tests.stages.battles.unit_tests.scripts import code_writers
from tests.test_graph import materialize as requested
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.planning.cost import plan
from warrior_dagster.stages.battles.opinions.assets import judge_exams
from warrior_dagster.stages.battles.opinions.exam import BROKEN, CUT_OFF, MISPLACED, REAL
from warrior_dagster.stages.ratings.assets import read_votes
from warrior_dagster.warehouse.tables import Warehouse

MakeArena = Callable[..., Arena]
EXAM = 12
ROSTER = ("ann", "bob", "cyd", "dan")
BATTLES = {"verdict": "direct", "votes": "soft", "evidence": ["execution", "opinion"], "exam": EXAM}


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory, bundled_model: Path, bundled_embedder: Path) -> Arena:
    """An arena of four competitors whose judges sat an exam. Tests must not change it."""
    settings = small_settings(tmp_path_factory.mktemp("examined"), bundled_model, bundled_embedder, ROSTER)
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


def test_a_competitor_that_judges_only_by_other_settings_now_has_to_sit_its_exam(make_arena: MakeArena) -> None:
    one, two = (judge_exams.of_competitors(make_arena(ROSTER, battles=BATTLES | {"judges": number})) for number in (1, 2))
    assert {name for name in ROSTER if one[name] != two[name]} == {"dan"}


def test_a_fifth_competitor_changes_no_exam_and_sits_its_own_as_planned(
    examined: Arena, make_arena: MakeArena, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_writers(monkeypatch)
    shutil.copytree(examined.warehouse, make_arena().warehouse)
    grown = make_arena((*examined.roster, "eve"), battles=BATTLES, selection={"centres": 6})
    planned = to_send(grown)["judge_exams"]
    before = rows(grown, "judge_exams")
    requested(grown, ("competitors", None), ("matchups", None), ("elo_ratings", None))
    after = rows(grown, "judge_exams")
    assert after.filter(pl.col("judge") != "eve").sort("judge", "row_id").equals(before.sort("judge", "row_id"))
    own = after.filter(judge="eve")
    assert 0 < len(own) == planned
    assert {*own["author_better"], *own["author_worse"]} <= set(examined.roster)
    assert rows(grown, "broken_answers").filter(competitor="eve").is_empty()
    assert not {"judge_exams", "battle_outcomes"} & set(stale(grown))
    assert set(to_send(grown).values()) == {0}


def test_outcomes_have_no_opinions_of_judges_without_weight_and_the_audit_names_them(
    examined: Arena, make_arena: MakeArena, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_writers(monkeypatch)
    shutil.copytree(examined.warehouse, make_arena().warehouse)
    arena = make_arena(
        ROSTER, battles=BATTLES, selection={"centres": 6}, ratings={"method": "judge_aware", "bootstrap_rounds": 3}
    )
    requested(arena, ("elo_ratings", None), ("answer_scores", None), ("rating_history", None), ("judge_audit", None))
    audited = rows(arena, "judge_audit")
    silent = audited.filter(weight=0)["judge"].to_list()
    assert silent  # scripted judges guess
    outcomes = rows(arena, "battle_outcomes").drop_nulls("outcome")
    for matchup in matchup_keys(arena.roster):
        own, all_silent = outcomes.filter(partition=matchup), set(arena.judges(*sides(matchup))) <= set(silent)
        assert len(own)
        assert (own["opinions"].sum() == 0) == (all_silent or (own["from_opinion"].sum() == 0))
        if all_silent:
            assert own["from_opinion"].sum() == 0
            assert "opinion" not in own["decided_by"].to_list()
    assert rows(arena, "elo_ratings")["rating"].sum() == pytest.approx(4000)
    rated_by = read_votes(arena, Warehouse(arena.warehouse), outcomes)
    assert rated_by
    assert not set(silent) & set(rated_by.judges)
    assert rows(arena, "elo_ratings")["low"].is_not_null().all()
