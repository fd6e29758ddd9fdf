"""An arena that drops what is not about programming, from mining to its exports."""

from collections.abc import Callable

import polars as pl

from tests.conftest import scripted_engines
from tests.runs import EVERYTHING, materialize
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.request import Request
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.planning.cost import plan, totals
from warrior_dagster.warehouse.tables import WHOLE

QUESTION = "Is this request about programming?"


def test_what_is_off_topic_is_asked_about_once_counted_in_the_funnel_and_answered_by_nobody(
    make_arena: Callable[..., Arena],
) -> None:
    arena, log = make_arena(difficulty={"verdict": "direct", "keep": 1.0, "off_topic": "drop"}), list[Request]()
    with scripted_engines(arena, log, []) as engines:
        materialize(arena, engines, *EVERYTHING)
    warehouse = open_warehouse(arena)
    rated = warehouse.read("instruction_difficulty", arena.roster)
    off = rated.filter(pl.col("on_topic") < 0.5)
    assert 0 < len(off) < len(rated)
    assert sum(QUESTION in request.prompt for request in log) == len(rated)
    others = [request.prompt for request in log if QUESTION not in request.prompt]
    assert not any(text in prompt for text in off["instruction"] for prompt in others)
    embedded = warehouse.read("instruction_embeddings", arena.roster)["instruction_id"]
    assert not set(embedded) & set(off["instruction_id"])
    (stage,) = warehouse.read("funnel", [WHOLE]).filter(stage="on topic", competitor="").to_dicts()
    assert (stage["dropped"], stage["why"]) == (len(off), "not about programming, by the panel's verdict")
    total = totals(plan(arena, LedgerReader(arena.warehouse), warehouse))
    assert (total["to_send"], total["in_ledger"]) == (0, sum(len(request.samples) for request in log))
