"""The screen at the end of a run."""

import io
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given

from tests.hostile_text import TEXTS, obeyed
from tests.report.test_terminal import MARKUP, console, lineage_of, printed
from warrior_dagster.cli import output
from warrior_dagster.config.arena import Arena
from warrior_dagster.report import lineage, result

COUNTS = {"battles": 2, "wins": 1, "ties": 0, "losses": 1}
COST = {"completions_sent": 3, "completions_from_ledger": 4, "prompt_tokens": 50, "completion_tokens": 60, "engine_starts": 1}


class Tables:
    """In place of a warehouse: a data set of one row and a funnel."""

    def __init__(self, text: str) -> None:
        text = text.encode("utf-8", "replace").decode()
        row = {"score": 1.0, "attacker": "a", "competitor": "b", "instruction_id": "1f" * 16}
        self.sft_dataset = pl.DataFrame([row | {"messages": [{"role": "user", "content": text}]}])
        self.funnel = pl.DataFrame(
            {"competitor": ["", "", "a"], "step": [1, 0, 0], "stage": ["unique", "mined", "mined"], "rows": [7, 9, 5]}
            | {"dropped": [2, 0, 0], "why": ["near duplicates", "", ""]}
        )

    def read_existing(self, table: str, *_: object) -> pl.DataFrame:
        return getattr(self, table)  # type: ignore[no-any-return]


def show(text: str, **changed: Any) -> str:
    """What is printed of a run whose best row and paths are `text`."""
    ratings = [{"competitor": name, "rating": 1000.0, "low": 900.0, "high": 1100.0, **COUNTS} for name in ("a", "b")]
    found: dict[str, Any] = {"ratings": ratings, "ratings_before": {"a": 990.0}, "exports": {"sft": text}, "warehouse": text}
    found |= {"planned_and_actual": {"planned": {"answers": {"completions": 9}}}, "up_to_date": False}
    found |= {"stages": {"answers": COST}, "seconds": {"answers": 12.4, "elo_ratings": 1.0}} | changed
    arena, tables = Arena.model_construct(name="small", competitors=()), Tables(text)
    on = console()
    with patch.object(lineage, "lineages", lambda *_: [lineage_of(text)]):
        result.show_result(on, arena, tables, None, found, "arena.yaml")  # type: ignore[arg-type]
    return printed(on)


@given(TEXTS)
def test_nothing_in_a_result_is_obeyed_by_the_terminal(text: str) -> None:
    assert not obeyed(show(text))


def test_markup_is_shown_as_it_is() -> None:
    assert show(MARKUP).count(MARKUP) >= 4


def test_commands_have_the_path_of_the_program_if_it_is_not_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "warrior").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert result.program() == "warrior"
    monkeypatch.setenv("PATH", "")
    assert result.program() == str(tmp_path / "bin" / "warrior")
    monkeypatch.chdir(tmp_path)
    assert result.program() == "bin/warrior"


def test_the_screen_says_what_came_out_what_it_cost_and_what_to_do_next() -> None:
    shown = show("Sort a list.")
    assert "9 mined → 7 unique\n2 not unique: near duplicates\n" in shown
    assert "+10" in shown
    assert "new" in shown
    assert "2 battles do not say whether a is better than b" in shown
    assert "why this answer won: Sort a list. Sort a list." in shown
    above, header, answers = (
        next(line for line in shown.splitlines() if line.split()[:2] == words)
        for words in (["asked", "asked"], ["cost", "plan"], ["answers", "9"])
    )
    assert above.split() == ["asked", "asked", "paid", "tokens", "tokens", "engine"]
    assert header.split() == ["cost", "plan", "actual", "before", "in", "out", "starts", "seconds"]
    assert answers.split() == ["answers", "9", "3", "4", "50", "60", "1", "12"]
    assert f"{result.program()} show arena.yaml 1f1f1f1f1f1f" in shown


def test_a_run_that_made_nothing_says_so_instead_of_a_table_of_costs() -> None:
    shown = show("Sort a list.", stages={}, seconds={}, up_to_date=True)
    assert "everything was up to date: nothing was materialized, and no request was sent" in shown
    assert "asked" not in shown


def test_large_costs_fit_eighty_columns() -> None:
    on = output.plain_console(file=io.StringIO(), width=80)
    large = dict.fromkeys(COST, 123_456_789)
    planned = {"completions": 123_456_789}
    stage = "instruction_difficulty"
    result.show_costs(on, {stage: large}, {stage: 123_456.0}, {stage: planned})
    assert "…" not in printed(on)
    assert stage in printed(on)
    assert printed(on).count("123M") == 2 * 6


def test_a_long_answer_is_cut() -> None:
    shown = show("\n".join(f"line {number}" for number in range(40)), exports={}, warehouse="")
    assert "line 15" in shown
    assert "[24 more lines]" in shown


@pytest.mark.parametrize(
    ("lows", "expected"),
    [([1050, 900], "a is the best"), ([950, 900], "do not say whether a is better than b"), ([None, None], "")],
)
def test_ratings_are_worth_what_their_intervals_say(lows: list[float | None], expected: str) -> None:
    ratings = [
        {"competitor": name, "rating": 1100.0 - 100 * place, "low": low, "high": None if low is None else low + 100, **COUNTS}
        for place, (name, low) in enumerate(zip("ab", lows, strict=True))
    ]
    said = result.worth(ratings)
    assert expected in said
    assert bool(said) == bool(expected)
