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
from warrior_dagster.report.lineage import Rows, by_meaning, by_text, lineage, lineages, opinions_for_left, whole_id
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
    assert (one["answers"], one["votes"], one["rank"], one["kept"], one["why"]) == ([], [], None, None, [])
    assert one["mined"]["asked"]["prompt"]


def test_a_finished_arena_says_why_each_best_answer_won(finished: tuple[Arena, list[Request]]) -> None:
    arena, _ = finished
    warehouse = Warehouse(arena.warehouse)
    selected = warehouse.read("selected_instructions", arena.roster)["instruction_id"].unique().to_list()
    for one in lineages(arena, warehouse, LedgerReader(arena.warehouse), selected):
        gold = one["answers"][0]
        assert gold["competitor"] in one["why"][0]
        for battle in one["outcomes"]:  # there is one judge, whose opinions are all of the evidence
            assert battle["opinions_for_left"] in (None, pytest.approx(battle["local_left"]))
        assert "judges preferred it in" in one["why"][0].lower()


def test_the_evidence_on_an_instruction_comes_from_all_tables_and_absent_ones_are_not_mentioned(make_arena: MakeArena) -> None:
    names = ("ann", "bob", "cyd")
    blank = {"status": "ok", "reasoning": "", "completion_key": "k", "answer": "x\ny"}
    score = {"score": 1.0, "opponents": 2, "decided_by": "behaviour"}
    settled = {"sample": 1, "settled_by": "agreement", "agreement": 0.5, "least_like": 0, "least_agreement": 0.25}
    agreements = {"ann": 0.25, "bob": 0.75, "cyd": 0.5}
    told = {"instruction_id": "1", "competitor": "ann", "instruction": "Do it.", "status": "ok", "rank": 0}
    rows: Rows = {
        "selected_instructions": [told],
        "answers": [blank | {"competitor": n} | settled for n in names],
        "answer_samples": [blank | {"competitor": "bob", "sample": i, "answer": t} for i, t in enumerate(["x\nz\nz", "x\ny"])],
        "answer_scores": [
            score | {"competitor": n, "rank": r, "gold": r == 1, "agreement": agreements[n]}
            for n, r in zip(names, (3, 1, 2), strict=True)
        ],
        "answer_behaviours": [
            {"competitor": n, "input": "f(1)", "outcome": "returned", "value": v, "reason": ""}
            for n, v in zip(names, ("7", "8", "8"), strict=True)
        ],
    }
    one = lineage(make_arena(), rows, {"cyd": 0.5}, "1")
    assert [answer["competitor"] for answer in one["answers"]] == ["bob", "cyd", "ann"]
    assert one["why"] == [
        "bob won: decided by what the answers return. It returns what another answer returns on 75% of 1 input on"
        " average (best other answer: cyd, 50%).",
        "Weights of the judges by their exams: cyd 0.50.",
        "bob settled on sample 1 of 2, which agrees with its others on 50% of the inputs (least with sample 0, 25%)."
        " Lines that differ from it: sample 0 +2 -1.",
    ]
    assert one["behaviours"]["competitors"] == ["bob", "cyd", "ann"]
    (only,) = one["behaviours"]["inputs"]
    assert {name: did["same"] for name, did in only["values"].items()} == {"bob": 0, "cyd": 0, "ann": 1}
    assert one["answers"][0]["samples"][1]["answer"] is None  # it is the answer
    without = lineage(make_arena(), {"selected_instructions": [told]}, {}, "1")
    assert (without["why"], without["behaviours"]["inputs"], without["outcomes"]) == ([], [], [])


def test_opinions_are_counted_with_the_weights_of_judges_and_not_on_equal_texts() -> None:
    battle: dict[str, Any] = {"left": "ann", "right": "bob"}
    texts = {"ann": "x", "bob": "y"}
    votes = [
        battle | {"evidence": "opinion", "judge": judge, "verdict": verdict, "p_left": p_left}
        for judge, verdict, p_left in (("cyd", "left", 0.75), ("dan", "right", 0.25), ("eve", None, None))
    ]
    votes.append(battle | {"evidence": "execution", "judge": "cyd", "verdict": "right", "p_left": 0.0})
    assert opinions_for_left(battle, votes, {}, "soft", texts) == 0.5
    assert opinions_for_left(battle, votes, {"cyd": 3.0, "dan": 1.0}, "soft", texts) == pytest.approx(0.625)
    assert opinions_for_left(battle, votes, {"cyd": 3.0, "dan": 1.0}, "hard", texts) == 0.75
    assert opinions_for_left(battle, votes, {"cyd": 0.0, "dan": 0.0}, "soft", texts) is None
    assert opinions_for_left(battle, votes, {}, "soft", {"ann": "x", "bob": "x"}) is None
    assert opinions_for_left({"left": "bob", "right": "cyd"}, votes, {}, "soft", texts) is None


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
