"""Scores and exports of another selection than the present one are refused, and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from tests.conftest import scripted_engines
from tests.runs import materialize
from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.agreement import check_columns
from warrior_dagster.materialization.table import open_warehouse

MakeArena = Callable[..., Arena]
LAST = ("benchmark_overlap", "sft_dataset", "dpo_dataset", "kto_dataset")


def refusal(arena: Arena, *steps: str) -> str:
    """Why materializing an asset fails, which has to be the last of the steps."""
    with scripted_engines(arena, [], []) as engines:
        if steps[:-1]:
            materialize(arena, engines, *((name, None) for name in steps[:-1]))
        (result,) = materialize(arena, engines, (steps[-1], None), succeeds=False)
    (failure,) = [event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_FAILURE]
    assert failure.step_failure_data.error
    assert failure.step_failure_data.error.cause
    return str(failure.step_failure_data.error.cause.message)


def content(arena: Arena) -> dict[str, object]:
    """All rows of scores and exports, and the bytes of all exported files."""
    warehouse, folder = open_warehouse(arena), Path(arena.export.folder)
    files: dict[str, object] = {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
    return files | {name: warehouse.partitions(name) for name in ("answer_scores", *LAST)}


@pytest.mark.parametrize(("centres", "said"), [(5, "rows are missing"), (2, "are of instructions or answers that are gone")])
@pytest.mark.parametrize("asset", ["answer_scores", *LAST])
def test_what_reads_answers_of_another_selection_is_refused(
    finished_copy: MakeArena, centres: int, said: str, asset: str
) -> None:
    arena = finished_copy(selection={"centres": centres})
    before = content(arena)
    why = refusal(arena, "selected_instructions", asset)
    assert why.startswith("LookupError: answers: ")
    assert said in why
    assert "(ann, bob, cyd); materialize answers first" in why
    assert content(arena) == before


def test_each_asset_on_the_way_to_the_exports_is_named_in_its_turn(finished_copy: MakeArena) -> None:
    arena = finished_copy(selection={"centres": 2})
    before = content(arena)
    outdated = refusal(arena, "selected_instructions", "answers", "answer_scores")
    assert outdated.startswith("LookupError: battle_outcomes: ")
    assert outdated.strip().endswith("(ann__bob, ann__cyd, bob__cyd); materialize battle_outcomes first")
    assert "elo_ratings: the rows of battle_outcomes have changed" in refusal(arena, "matchups", "answer_scores")
    assert refusal(arena, "elo_ratings", "sft_dataset").strip().endswith("materialize answer_scores first")
    assert content(arena) == before
    assert "materialize benchmark_overlap first" in refusal(arena, "answer_scores", "sft_dataset")
    with scripted_engines(arena, [], []) as engines:
        materialize(arena, engines, *((name, None) for name in LAST))
    assert content(arena) != before


def test_a_table_of_an_earlier_version_is_named_with_the_column_that_it_lacks() -> None:
    rows = pl.DataFrame({"score": [1.0]})
    check_columns("answer_scores", rows, "score")
    with pytest.raises(LookupError, match="answer_scores: an earlier version made it, without decided_by; materialize"):
        check_columns("answer_scores", rows, "score", "decided_by")
