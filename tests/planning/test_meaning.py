"""What an arena's numbers come to is said in numbers that a run has too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import load_arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.planning.cost import plan
from warrior_dagster.planning.meaning import meaning

MakeArena = Callable[..., Arena]
ARENAS = Path(__file__).parents[2] / "arenas"


def test_the_paper_s_arena_in_numbers() -> None:
    lines = meaning(load_arena(ARENAS / "warriorcoder.yaml"))
    assert lines[:5] == [
        "mining: 9 settings x 1 language x 10,000 = 90,000 samples a competitor; 5 are mined: 450,000",
        "difficulty: 1 judge for each unique instruction",
        "selection: at most 1,400 instructions a competitor: 7,000",
        "answers: 7,000 instructions x 1 = 7,000 a competitor; 5 competitors: 35,000",
        "opinions: 3 judges x 2 orders = 6 opinions a battle; 10 matchups, 70,000 battles: 420,000",
    ]


def test_tests_and_exams_are_there_where_the_arena_has_them() -> None:
    lines = meaning(load_arena(ARENAS / "small_experts.yaml"))
    assert lines[3:7] == [
        "answers: 800 instructions x 4 = 3,200 a competitor; 4 competitors: 12,800",
        "tests: 800 instructions x 1 sample = 800 completions a competitor, each with at most 8 tests",
        "exam: 36 questions x 2 orders = at most 72 completions a judge; 4 judges",
        "opinions: 2 judges x 2 orders = 4 opinions a battle; 6 matchups, 4,800 battles: at most 19,200",
    ]


def test_a_service_that_only_chats_is_not_mined_but_answers_and_battles(make_arena: MakeArena, bundled_model: Path) -> None:
    chat: dict[str, Any] = {"name": "chat", "model": "gpt-x", "serve": {"kind": "chat", "urls": ["http://c"], "logprobs": True}}
    ours = [{"name": name, "model": str(bundled_model)} for name in ("ann", "bob")]
    battles = {"verdict": "direct", "instructions": "attackers", "orders": "alternate"}
    mining, _, selected, answers, opinions, *_ = meaning(make_arena(competitors=[*ours, chat], battles=battles))
    assert mining.endswith("; 2 are mined: 16")
    assert selected == "selection: at most 3 instructions a competitor: 6"
    assert answers == "answers: 6 instructions x 1 = 6 a competitor; 3 competitors: 18"
    # ann and bob battle on all six, each of them and the service on three.
    assert opinions == "opinions: 1 judge x 1 order = 1 opinion a battle; 3 matchups, 12 battles: 12"


def test_the_numbers_are_those_of_the_plan_of_a_new_arena(make_arena: MakeArena) -> None:
    arena = make_arena()
    planned = {line.stage: line.to_send for line in plan(arena, LedgerReader(arena.warehouse), open_warehouse(arena))}
    lines = meaning(arena)
    for stage, place in (("mined_instructions", 0), ("answers", 3), ("judge_votes", 4)):
        assert lines[place].endswith(f": {planned[stage]}")


def test_it_says_where_everything_is_written(make_arena: MakeArena, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arena = make_arena()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    assert meaning(arena)[-4:] == [
        f"tables: {arena.warehouse}",
        f"ledger, with every completion: {arena.warehouse}/ledger.lance",
        f"exports (sft, dpo, kto) and the report: {arena.export.folder}",
        f"Dagster's records of runs: {tmp_path}/home",
    ]
    monkeypatch.delenv("DAGSTER_HOME")
    monkeypatch.chdir(tmp_path)
    assert meaning(arena)[-1].endswith(f" {tmp_path}/dagster_home")


def test_an_arena_without_opinions_has_no_line_about_them(make_arena: Callable[..., Arena]) -> None:
    assert any(line.startswith("opinions: ") for line in meaning(make_arena()))
    assert not any(line.startswith("opinions: ") for line in meaning(make_arena(battles={"evidence": ["execution"]})))
