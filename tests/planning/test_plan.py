"""The plan of an arena counts what would be sent, once, and names the competitors that cannot be prompted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.broken_models import broken
from tests.conftest import scripted_engines
from tests.runs import EVERYTHING, materialize
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.planning.cost import PlanLine, plan, totals

MakeArena = Callable[..., Arena]


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


def test_competitors_that_send_the_same_are_counted_once_before_a_run_and_in_it(make_arena: MakeArena, bundled_model: Path) -> None:
    twins = make_arena(competitors=[{"name": n, "model": str(bundled_model)} for n in ("ann", "bob", "cyd")])
    lines = {line.stage: line for line in planned(twins)}
    assert lines["mined_instructions"].to_send == 8
    # At most 3 of the 8 samples that ann mines are selected; bob and cyd repeat her instructions, and her answers.
    assert lines["answers"].to_send == 3
    log: list[Any] = []
    with scripted_engines(twins, log, []) as engines:
        materialize(twins, engines, *EVERYTHING[:2], succeeds=True)
    after = totals(planned(twins))
    assert after["in_ledger"] == sum(len(request.samples) for request in log)
