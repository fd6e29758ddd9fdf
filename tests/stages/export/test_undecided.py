"""Instructions that no evidence decided: in no data set and counted, or kept and marked."""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from tests.conftest import FinishedRun, scripted_engines
from tests.runs import materialize
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import UNDECIDED
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.warehouse.tables import WHOLE


def gold_of(arena: Arena) -> pl.DataFrame:
    return open_warehouse(arena).read("answer_scores", [WHOLE]).filter("gold", pl.col("opponents") > 0)


def test_undecided_instructions_are_in_no_data_set_and_counted_on_the_card_and_in_the_funnel(finished_run: FinishedRun) -> None:
    arena = finished_run.arena
    warehouse, gold = open_warehouse(arena), gold_of(arena)
    undecided = gold.filter(pl.col("decided_by").is_in(UNDECIDED))
    assert 0 < len(undecided) < len(gold)
    for kind in arena.export.formats:
        rows = warehouse.read(f"{kind}_dataset", [WHOLE])
        assert not set(rows["instruction_id"]) & set(undecided["instruction_id"])
        card = (Path(arena.export.folder) / kind / "README.md").read_text()
        assert f"| left out of {kind}: undecided | {len(undecided)} |" in card
    (stage,) = warehouse.read("funnel", [WHOLE]).filter(stage="decided", competitor="").to_dicts()
    assert (stage["rows"], stage["dropped"]) == (len(gold) - len(undecided), len(undecided))
    sft = warehouse.read("sft_dataset", [WHOLE])
    assert sft.join(gold, on=["instruction_id", "competitor", "decided_by"], how="anti").is_empty()


def test_an_arena_may_keep_them_marked(finished_copy: Callable[..., Arena], tmp_path: Path) -> None:
    arena = finished_copy(export={"folder": str(tmp_path / "kept"), "undecided": "keep"})
    with scripted_engines(arena, [], []) as engines:
        materialize(arena, engines, ("sft_dataset", None), ("funnel", None))
    warehouse, gold = open_warehouse(arena), gold_of(arena)
    sft = warehouse.read("sft_dataset", [WHOLE])
    assert set(sft["decided_by"]) & set(UNDECIDED)
    assert (
        sft.select("instruction_id", "decided_by")
        .sort("instruction_id")
        .equals(
            gold.select("instruction_id", "decided_by").filter(pl.col("instruction_id").is_in(sft["instruction_id"].implode()))
        )
    )
    assert "undecided" not in (tmp_path / "kept" / "sft" / "README.md").read_text()
    assert "decided" not in set(warehouse.read("funnel", [WHOLE])["stage"])
