"""Lineage: from a gold answer back to how its instruction was mined, with the request of every completion."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import scripted_engines
from tests.runs import materialize
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.request import Request
from warrior_dagster.report.lineage import by_meaning, by_text, lineages, whole_id
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

MakeArena = Callable[..., Arena]


def test_a_gold_answer_leads_back_to_every_prompt_and_to_the_mining_setting(finished: tuple[Arena, list[Request]]) -> None:
    arena, log = finished
    warehouse = Warehouse(arena.warehouse)
    sent = {key: request for request in log for key in request.keys()}
    exported = warehouse.read("sft_dataset", [WHOLE])
    ledger = LedgerReader(arena.warehouse)
    found = lineages(arena, warehouse, ledger, exported["instruction_id"].to_list())
    assert len(found) == len(exported) > 0
    for one, row in zip(found, exported.iter_rows(named=True), strict=True):
        gold = one["answers"][0]
        assert (gold["gold"], gold["competitor"]) == (True, row["competitor"])
        assert gold["answer"].strip() == row["messages"][1]["content"].strip()
        assert (one["attacker"], one["instruction"]) == (row["attacker"], row["messages"][0]["content"])
        mined = one["mined"]
        assert (mined["competitor"], mined["language"], mined["temperature"], mined["top_p"]) == (
            one["attacker"],
            "Python",
            1.0,
            0.99,
        )
        holders = [mined, *one["ratings"], *one["answers"], *one["votes"]]
        assert len(one["votes"]) == 3 * 2
        for holder in holders:
            request = sent[holder["completion_key"]]
            assert holder["asked"]["prompt"] == request.prompt
            assert holder["asked"]["model"] == request.model.identity
        for vote in one["votes"]:
            assert one["instruction"] in vote["asked"]["prompt"]
            given = {a["completion_key"] for a in one["answers"] if a["competitor"] in (vote["left"], vote["right"])}
            assert {vote["key_left"], vote["key_right"]} == given


def test_a_request_missing_in_the_ledger_is_null(finished: tuple[Arena, list[Request]], tmp_path: Path) -> None:
    arena, _ = finished
    warehouse = Warehouse(arena.warehouse)
    selected = warehouse.read("selected_instructions", arena.roster)["instruction_id"].to_list()
    ledger = LedgerReader(str(tmp_path / "empty"))
    (one,) = lineages(arena, warehouse, ledger, selected[:1])
    assert {holder["asked"] for holder in (one["mined"], *one["answers"], *one["votes"])} == {None}


def test_lineages_of_an_arena_that_only_mined_have_no_answers_and_votes(make_arena: MakeArena) -> None:
    arena = make_arena()
    with scripted_engines(arena, [], []) as engines:
        materialize(arena, engines, ("mined_instructions", None))
    warehouse = Warehouse(arena.warehouse)
    mined = warehouse.read("mined_instructions", arena.roster).filter(status="ok")["instruction_id"].to_list()
    ledger = LedgerReader(arena.warehouse)
    (one,) = lineages(arena, warehouse, ledger, mined[:1])
    assert (one["answers"], one["votes"], one["rank"], one["kept"]) == ([], [], None, None)
    assert one["mined"]["asked"]["prompt"]


def test_an_id_is_found_by_its_beginning_if_that_is_unique(finished: tuple[Arena, list[Request]]) -> None:
    arena, _ = finished
    warehouse = Warehouse(arena.warehouse)
    ids = warehouse.read("mined_instructions", arena.roster).filter(status="ok")["instruction_id"]
    assert whole_id(arena, warehouse, ids[0][:12]) == ids[0]
    for start in ("", "zzz"):
        with pytest.raises(LookupError, match="expected the beginning of one instruction's id"):
            whole_id(arena, warehouse, start)


def test_instructions_are_found_by_their_words_and_by_meaning(finished: tuple[Arena, list[Request]]) -> None:
    arena, _ = finished
    warehouse = Warehouse(arena.warehouse)
    rows: list[dict[str, Any]] = warehouse.read("unique_instructions", arena.roster).filter("kept").to_dicts()
    words = rows[0]["instruction"].split()
    found = by_text(arena, warehouse, f"{words[1].upper()} {words[-1]}")
    expected = {r["instruction_id"] for r in rows if words[1] in r["instruction"] and words[-1] in r["instruction"]}
    assert set(found["instruction_id"]) == expected
    assert rows[0]["instruction_id"] in expected
    embedded = warehouse.read("instruction_embeddings", arena.roster, ["instruction_id", "instruction"])
    near = by_meaning(arena, warehouse, embedded["instruction"][0], 10)
    assert near["instruction"][0] == embedded["instruction"][0]
    assert near["similarity"].is_sorted(descending=True)
    assert near["similarity"][0] == pytest.approx(1, abs=1e-3)


def test_a_search_in_an_arena_without_tables_names_the_missing_table(make_arena: MakeArena) -> None:
    arena = make_arena()
    for search in (by_text, partial(by_meaning, most=10)):
        with pytest.raises(LookupError, match="was never materialized"):
            search(arena, Warehouse(arena.warehouse), "anything")
