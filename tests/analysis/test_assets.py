"""The analysis in the graph: each asset has a table and a picture, and a biased judge fails its check."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.conftest import ScriptedEngine, scripted_engines
from tests.runs import materialize
from warrior_dagster.analysis.pictures import MARKS, PICTURES
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

MakeArena = Callable[..., Arena]


class AlwaysFirst(ScriptedEngine):
    """As a judge it always chooses A."""

    async def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[tuple[Request, list[Completion]]]:
        async for request, completions in super().stream(requests):
            if '"choice": ["A", "B"]' in request.params or '"choice":["A","B"]' in request.params:
                certain = {"A": -0.01, "B": -5.0}
                completions = [Completion(c.key, c.sample, "A", "stop", 100, 1, certain) for c in completions]  # noqa: PLW2901
            yield request, completions


@contextmanager
def biased(arena: Arena) -> Iterator[Engines]:
    with (
        LedgerWriter(arena.warehouse) as ledger,
        Engines(arena.engine, ledger, Path(arena.warehouse), start=lambda *_: AlwaysFirst([])) as engines,
    ):
        yield engines


@pytest.mark.pictures
def test_each_table_of_the_analysis_has_a_picture(finished_copy: MakeArena) -> None:
    arena = finished_copy()
    with scripted_engines(arena, [], []) as engines:
        (result,) = materialize(arena, engines, ("analysis", None))
    warehouse = Warehouse(arena.warehouse)
    for name in ("funnel", "instruction_novelty", "difficulty_bands", "head_to_head", "rating_history", "judge_audit"):
        (event,) = result.asset_materializations_for_node(name)
        picture = str(event.metadata["picture"].value)
        assert picture.startswith(f"![{name.replace('_', ' ')}](data:image/png;base64,")
        assert len(picture) > 5_000
        assert event.metadata["dagster/row_count"].value == len(warehouse.read(name, [WHOLE])) > 0
        assert name in PICTURES
    funnel = warehouse.read("funnel", [WHOLE]).filter(competitor="").sort("step")
    assert funnel["rows"][0] == 3 * 8
    assert funnel["rows"].is_sorted(descending=True)
    assert funnel["rows"][-1] == len(warehouse.read("sft_dataset", [WHOLE]))
    kept = warehouse.read("unique_instructions", arena.roster).filter("kept")
    novelty = warehouse.read("instruction_novelty", [WHOLE])
    assert set(novelty["instruction_id"]) == set(kept["instruction_id"])
    assert novelty["rouge_l"].is_between(0, max(MARKS) + 0.4).all()
    ratings = warehouse.read("elo_ratings", [WHOLE])
    history = warehouse.read("rating_history", [WHOLE])
    last = history.filter(battles=history["battles"].max())
    assert dict(last.select("competitor", "rating").iter_rows()) == dict(ratings.select("competitor", "rating").iter_rows())


def test_judges_that_always_choose_a_fail_the_check_that_names_them(make_arena: MakeArena) -> None:
    arena = make_arena()
    with biased(arena) as engines:
        *_, result = materialize(arena, engines, ("competitors", None), ("matchups", None), ("judge_audit", None))
    (check,) = [c for c in result.get_asset_check_evaluations() if c.check_name == "judges_are_sound"]
    assert not check.passed
    assert set(check.metadata) == set(arena.roster)
    assert "100% of its votes are for the answer shown first" in str(check.metadata["ann"].value)
    assert Warehouse(arena.warehouse).read("judge_audit", [WHOLE])["first"].to_list() == [1.0, 1.0, 1.0]


def test_without_sft_the_funnel_ends_with_what_evidence_decided(finished_copy: MakeArena, tmp_path: Path) -> None:
    arena = finished_copy(export={"formats": ["kto"], "folder": str(tmp_path / "exports")})
    with scripted_engines(arena, [], []) as engines:
        materialize(arena, engines, ("funnel", None))
    funnel = Warehouse(arena.warehouse).read("funnel", [WHOLE])
    assert funnel.filter(pl.col("step") == funnel["step"].max())["stage"].unique().to_list() == ["decided"]


@pytest.mark.parametrize("sets", [[], [{"name": "own", "source": "humaneval"}, {"name": "twice", "source": "humaneval"}]])
def test_novelty_has_rows_for_each_reference_set(finished_copy: MakeArena, sets: list[dict[str, Any]]) -> None:
    arena = finished_copy(analysis={"references": sets})
    with scripted_engines(arena, [], []) as engines:
        materialize(arena, engines, ("instruction_novelty", None))
    rows = Warehouse(arena.warehouse).read("instruction_novelty", [WHOLE])
    assert rows["reference_set"].unique().sort().to_list() == [one["name"] for one in sets]
