"""Every command names its arena in the same ways."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.config.test_arena import GOOD, written
from warrior_dagster.cli import app
from warrior_dagster.cli.arguments import file_first

COMMANDS = ["check", "doctor", "plan", "report", "retry", "run", "show", "ledger show", "ledger verify", "ledger drop"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["a.yaml"], ["a.yaml"]),
        (["a.yaml", "3fa2"], ["a.yaml", "3fa2"]),
        (["-c", "a.yaml"], ["a.yaml"]),
        (["-c", "a.yaml", "3fa2"], ["a.yaml", "3fa2"]),
        (["3fa2", "-c", "a.yaml"], ["a.yaml", "3fa2"]),
        (["--text", "a word", "--config", "a.yaml", "--json"], ["a.yaml", "--text", "a word", "--json"]),
        (["--json", "--config=a.yaml"], ["a.yaml", "--json"]),
        (["-ca.yaml", "3fa2"], ["a.yaml", "3fa2"]),
        (["a.yaml", "--", "-c", "b"], ["a.yaml", "--", "-c", "b"]),
        (["-c"], ["-c"]),
        ([], []),
    ],
)
def test_an_option_with_the_file_is_the_first_argument(given: list[str], expected: list[str]) -> None:
    assert file_first(given) == expected


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_the_file_as_argument_and_as_option(command: str, tmp_path: Path) -> None:
    words, absent = command.split(), str(tmp_path / "absent.yaml")
    for form in ([absent], ["-c", absent], ["--config", absent]):
        found = CliRunner().invoke(app, [*words, *form])
        assert (found.exit_code, type(found.exception)) == (1, SystemExit)
        assert found.stderr.replace("\n", "") == f"{absent}: expected an arena's YAML file; there is no such file"


def test_show_takes_the_id_after_the_file_or_beside_the_option(tmp_path: Path) -> None:
    file = str(written(tmp_path, GOOD))
    for form in ([file, "3fa2"], ["-c", file, "3fa2"], ["3fa2", "-c", file]):
        assert CliRunner().invoke(app, ["show", *form]).stderr == "mined_instructions was never materialized\n"
    assert CliRunner().invoke(app, ["show", file]).stderr == "selected_instructions was never materialized\n"
    found = CliRunner().invoke(app, ["show", file, "3fa2", "--text", "tree"])
    assert found.stderr.startswith("expected at most one of: the beginning of an")


def test_a_second_file_is_refused(tmp_path: Path) -> None:
    file = str(written(tmp_path, GOOD))
    found = CliRunner().invoke(app, ["plan", file, "-c", file])
    assert (found.exit_code, "unexpected extra argument" in found.stderr) == (2, True)
