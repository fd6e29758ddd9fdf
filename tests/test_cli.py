"""What the commands print, without a subprocess."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tests.broken_models import BREAKS, broken
from warrior_dagster.cli import app


def test_check_names_file_line_and_key_of_every_competitor_that_cannot_be_prompted(bundled_model: Path, tmp_path: Path) -> None:
    models = {fault: str(broken(bundled_model, tmp_path / str(i), fault)) for i, fault in enumerate(BREAKS)}
    competitors = [{"name": f"c{i}", "model": model} for i, model in enumerate([str(bundled_model), *models.values()])]
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"name": "mine", "embedding": {"model": "org/embedder"}, "competitors": competitors}))
    found = CliRunner().invoke(app, ["check", str(file)])
    assert found.exit_code == 1
    lines = found.stderr.splitlines()
    assert len(lines) == len(BREAKS)
    for place, (line, fault) in enumerate(zip(lines, BREAKS, strict=True), 1):
        number = 1 + file.read_text().splitlines().index(f"- model: {models[fault]}")
        assert line.startswith(f"{file}:{number}: competitors[{place}].model: c{place} cannot be prompted: ")
        assert BREAKS[fault][1] in line


@pytest.mark.parametrize("command", [["check"], ["plan", "-c"], ["run", "-c"], ["ledger", "show", "-c"]])
def test_a_ledger_that_cannot_be_read_is_one_line(command: list[str], bundled_model: Path, tmp_path: Path) -> None:
    competitors = [{"name": name, "model": str(bundled_model)} for name in ("ann", "bob", "cyd")]
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"name": "mine", "embedding": {"model": "org/embedder"}, "competitors": competitors}))
    versions = tmp_path / "data" / "mine" / "ledger.lance" / "_versions"
    versions.mkdir(parents=True)
    (versions / "1.manifest").write_bytes(b"torn")
    found = CliRunner().invoke(app, [*command, str(file)])
    assert (found.exit_code, type(found.exception)) == (1, SystemExit)
    assert "expected a ledger; no version of it can be read" in found.stderr.splitlines()[-1]
