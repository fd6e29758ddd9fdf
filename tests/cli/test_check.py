"""What `check` and its relatives print, without a subprocess."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.broken_models import BREAKS, broken
from warrior_dagster.cli import app
from warrior_dagster.cli.commands import advice

MODEL = Path(__file__).parents[1] / "fixtures" / "warehouse_of_6c55b93" / "model"


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


@pytest.fixture
def lacking(tmp_path: Path) -> Path:
    """An arena without the weights of its models, the embedding model, the references, and the key of an endpoint."""
    served = {"kind": "endpoint", "urls": ["http://127.0.0.1:9"], "api_key_env": "NO_SUCH_KEY"}
    competitors: list[dict[str, Any]] = [{"name": name, "model": str(MODEL)} for name in ("ann", "bob", "cyd")]
    competitors[2] |= {"serve": served}
    values = {"name": "mine", "competitors": competitors, "embedding": {"model": "./embedder"}, "mining": {"samples": 3}}
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(values | {"analysis": {"references": [{"name": "x", "source": "./x.jsonl"}]}}))
    return file


def test_a_plan_needs_neither_keys_nor_weights_and_says_what_a_run_would_lack(lacking: Path) -> None:
    found = CliRunner().invoke(app, ["plan", str(lacking)])
    assert found.exit_code == 0, found.output
    assert f"warrior run {lacking} asks for this" in found.stdout.replace("\n", "")
    warnings = [line for line in found.stderr.splitlines() if line.startswith(f"warning: {lacking}:")]
    for words in (
        ".serve.api_key_env: expected the environment variable NO_SUCH_KEY; it is not set",
        "embedding.model: expected a model folder with config.json, or a hub id; there is no",
        "analysis.references[0].source: reference set x:",
        f"competitors[0].model: it cannot be loaded: {MODEL} has no weights",
    ):
        assert any(words in line for line in warnings), (words, warnings)


def test_a_plan_without_a_tokenizer_names_whom_it_leaves_out(lacking: Path, tmp_path: Path) -> None:
    lacking.write_text(lacking.read_text().replace(f"model: {MODEL}", "model: ./gone", 1))
    found = CliRunner().invoke(app, ["plan", str(lacking)])
    assert (found.exit_code, type(found.exception)) == (1, SystemExit)
    assert found.stderr.splitlines()[-1] == "the plan is incomplete, because these competitors cannot be prompted: ann"


def test_results_are_shown_without_keys_and_weights(lacking: Path) -> None:
    for command in (["show", "--text", "tree"], ["show", "3fa2"], ["show", "--like", "tree"]):
        found = CliRunner().invoke(app, [*command, "-c", str(lacking)])
        assert found.stderr.endswith(" was never materialized\n")
    assert "0 completions" in CliRunner().invoke(app, ["ledger", "show", str(lacking)]).stdout


def test_a_run_names_everything_that_is_missing_with_its_line(lacking: Path) -> None:
    found = CliRunner().invoke(app, ["run", str(lacking)])
    assert found.exit_code == 1
    keys = [line.removeprefix(f"{lacking}:").split(": ")[1] for line in found.stderr.splitlines()]
    assert keys == ["embedding.model", "analysis.references[0].source", "competitors[2].serve.api_key_env"]


def test_a_run_without_a_hub_is_over_before_anything_starts(tmp_path: Path) -> None:
    competitors = [{"name": name, "model": f"org/{name}"} for name in ("ann", "bob", "cyd")]
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"name": "mine", "embedding": {"model": str(MODEL)}, "competitors": competitors}))
    found = CliRunner().invoke(app, ["run", str(file)])
    assert (found.exit_code, found.stderr.splitlines()[-1]) == (1, "no competitor can be prompted")
    assert "its cache lacks org/ann, org/bob, org/cyd, and HF_HUB_OFFLINE=1 is set" in found.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("OSError: LanceError(IO): No space left on device (os error 28)", "the disk is full"),
        ("the server ended with status 137 (killed, as Linux does when memory is full)", "memory is full"),
        ("torch.OutOfMemoryError: CUDA out of memory", "memory is full"),
        ("mined_instructions: 3 of 3 partitions were not materialized.", ""),
    ],
)
def test_what_to_do_about_a_full_machine_is_said(error: str, words: str) -> None:
    assert advice(error).startswith(f"\n{words}" if words else "")
    assert bool(advice(error)) == bool(words)
