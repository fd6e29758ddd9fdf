"""The plan of an arena counts what would be sent, once, and names the competitors that cannot be prompted."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.broken_models import broken
from tests.conftest import scripted_engines
from tests.runs import materialize
from tests.stages.battles.unit_tests.scripts import code_writers
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.progress import Progress
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.orchestration.catalog import arena_assets
from warrior_dagster.orchestration.definitions import arena_resources
from warrior_dagster.planning.assets import arena_plan
from warrior_dagster.planning.cost import PlanLine, plan
from warrior_dagster.planning.forecast import DryRunBackend

MakeArena = Callable[..., Arena]
EVERY_FEATURE = {
    "answers": {"sampling": {"max_tokens": 64}, "samples": 2},
    "battles": {
        **{"verdict": "direct", "votes": "soft", "evidence": ["execution", "behaviour", "opinion"]},
        **{"opinions": "open", "exam": 4},
    },
}


def planned(arena: Arena) -> list[PlanLine]:
    return plan(arena, LedgerReader(arena.warehouse), open_warehouse(arena))


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_competitor_that_cannot_be_prompted_is_named_and_the_others_are_planned(
    make_arena: MakeArena, bundled_model: Path, tmp_path: Path, place: int
) -> None:
    bad = {"name": "bad", "model": str(broken(bundled_model, tmp_path / "bad", "template that needs tools"))}
    sound: list[dict[str, Any]] = [{"name": n, "model": str(bundled_model), "system_prompt": n} for n in ("ann", "bob", "cyd")]
    alone = {line.stage: line.to_send for line in planned(make_arena(competitors=sound))}
    lines = planned(make_arena(competitors=[*sound[:place], bad, *sound[place:]]))
    named = [line for line in lines if "bad cannot be prompted" in line.basis]
    assert [(line.stage, line.model, line.to_send) for line in named] == [("mined_instructions", bad["model"], 0)]
    of_others = {line.stage: line.to_send for line in lines if line.model == str(bundled_model)}
    assert (of_others["mined_instructions"], of_others["answers"]) == (alone["mined_instructions"], alone["answers"])
    assert {line.model for line in lines if line.to_send} == {str(bundled_model)}


@pytest.mark.parametrize("served_apart", [False, True])
def test_what_several_competitors_send_alike_is_counted_once(
    make_arena: MakeArena, bundled_model: Path, served_apart: bool
) -> None:
    serve = {"kind": "vllm", "max_model_len": 2048}
    twins = [{"name": n, "model": str(bundled_model)} for n in ("ann", "bob", "cyd")]
    arena = make_arena(competitors=[twins[0], twins[1] | ({"serve": serve} if served_apart else {}), twins[2]])
    to_send = {line.stage: line.to_send for line in planned(arena)}
    assert to_send["mined_instructions"] == 8
    assert to_send["answers"] == 3  # ann contributes at most three centres; bob and cyd repeat what she reveals, and answers
    log: list[Any] = []
    with scripted_engines(arena, log, []) as engines:
        materialize(arena, engines, ("mined_instructions", None))
    assert sum(len(request.samples) for request in log) == 8


def test_judges_that_send_alike_sit_papers_of_their_own(make_arena: MakeArena, bundled_model: Path) -> None:
    twins = [{"name": n, "model": str(bundled_model)} for n in ("ann", "bob", "cyd")]
    battles = {"verdict": "direct", "votes": "soft", "exam": 4}
    to_send = {line.stage: line.to_send for line in planned(make_arena(competitors=twins, battles=battles))}
    assert to_send["judge_exams"] == 3 * 2 * 4  # judges, orders, questions


def test_the_plan_is_an_asset_of_every_arena(make_arena: MakeArena, monkeypatch: pytest.MonkeyPatch) -> None:
    code_writers(monkeypatch)
    arena = make_arena(**EVERY_FEATURE)
    with scripted_engines(arena, [], []) as engines:
        materialize(arena, engines, ("competitors", None))
    for one in (arena, make_arena(warehouse=f"{arena.warehouse}-empty", **EVERY_FEATURE)):
        plan, resources = arena_plan.make(Scope(one)), arena_resources(Scope(one))
        (made,) = dg.materialize(
            [*arena_assets(Scope(one)), plan], selection=[plan], resources=resources
        ).asset_materializations_for_node("arena_plan")
        assert made.metadata["runs"].value


def test_the_progress_of_what_is_planned_has_the_names_of_the_plan_s_lines(
    finished_copy: MakeArena, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages, progress = set[str](), DryRunBackend.progress

    def noted(self: DryRunBackend, stage: str, total: int, log: logging.Logger) -> Progress:
        stages.add(stage)
        return progress(self, stage, total, log)

    monkeypatch.setattr(DryRunBackend, "progress", noted)
    arena = finished_copy(
        analysis={"categories": True}, difficulty={"verdict": "direct", "keep": 1.0, "off_topic": "drop"}, **EVERY_FEATURE
    )
    lines = {line.stage for line in planned(arena)}
    assert stages <= lines
    assert stages >= {"mined_instructions", "instruction_difficulty", "answer_samples", "generated_tests", "task_categories"}
