"""`warrior show` without an id lists instructions."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.conftest import FinishedRun
from warrior_dagster.cli import app
from warrior_dagster.warehouse.tables import Warehouse


@pytest.fixture
def file(finished_run: FinishedRun, tmp_path: Path) -> str:
    """The file of the arena that ran; JSON is YAML."""
    path = tmp_path / "arena.yaml"
    path.write_text(finished_run.arena.model_dump_json(exclude_unset=True))
    return str(path)


def show(*words: str) -> Result:
    return CliRunner().invoke(app, ["show", *words])


def test_it_lists_what_competitors_battle_on_first_the_first_choice_of_each(file: str, finished_run: FinishedRun) -> None:
    arena = finished_run.arena
    selected = Warehouse(arena.warehouse).read("selected_instructions", arena.roster)
    listed = json.loads(show(file, "--json").stdout)
    assert {row["instruction_id"] for row in listed} == set(selected["instruction_id"])
    assert [row["competitor"] for row in listed[:3]] == arena.roster
    assert set(listed[0]) == {"instruction_id", "competitor", "instruction"}


def test_a_cut_list_and_an_empty_one_say_so(file: str, finished_run: FinishedRun) -> None:
    count = Warehouse(finished_run.arena.warehouse).count("selected_instructions", finished_run.arena.roster)
    cut = show(file, "--most", "1")
    assert cut.stderr == f"1 of the {count} instructions; --most N shows more\n"
    assert len(cut.stdout.splitlines()) > 2
    assert show(file, "--text", "zebra").stderr == "no instruction has these words\n"
