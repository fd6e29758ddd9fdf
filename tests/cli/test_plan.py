"""`warrior plan` and `warrior check` of a new arena: numbers, what they mean, and nothing that only says `?`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from warrior_dagster.cli import app
from warrior_dagster.config.arena import Arena
from warrior_dagster.planning.cost import Amounts

MakeArena = Callable[..., Arena]


@pytest.fixture
def file(make_arena: MakeArena, tmp_path: Path) -> Path:
    """The file of an arena that never ran; JSON is YAML."""
    path = tmp_path / "mine.yaml"
    path.write_text(make_arena().model_dump_json(exclude_unset=True))
    return path


def test_a_first_plan_has_hours_their_basis_and_ends_with_one_sentence(file: Path) -> None:
    shown = CliRunner().invoke(app, ["plan", "-c", str(file)])
    assert shown.exit_code == 0, shown.output
    assert "speed: rule of thumb: 135 M parameters on " in shown.stdout
    assert "?" not in shown.stdout
    (*_, run, last) = shown.stdout.splitlines()
    assert run == f"warrior run {file} asks for this"
    assert last.startswith("1 model, 129 completions to ask for (105 of them estimated), ")
    assert last.endswith("on disk.")


def test_the_plan_as_json_has_everything(file: Path) -> None:
    shown = CliRunner().invoke(app, ["plan", "-c", str(file), "--json"])
    found = json.loads(shown.stdout)
    assert set(found) == {
        *("lines", "totals", "runs", "sentence", "last_run", "asked_again", "cannot_be_prompted"),
    }
    amounts = set(Amounts.__dataclass_fields__)
    assert set(found["totals"]) == {"in_ledger", "estimated", "low", "high", *amounts}
    for line in found["lines"]:
        assert set(line) == {"stage", "model", "in_ledger", "estimated", "low", "high", "basis", *amounts}
        assert set(line["low"]) == set(line["high"]) == amounts
    assert found["last_run"] is None
    assert "rule of thumb" in found["lines"][0]["basis"]


def test_check_says_what_the_numbers_come_to_and_where_everything_goes(file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    shown = CliRunner().invoke(app, ["check", str(file)])
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert "mining: 1 setting x 1 language x 8 = 8 samples a competitor; 3 are mined: 24" in lines
    assert f"Dagster's records of runs: {tmp_path}/home" in lines
