"""The product as its users run it: the command line, Dagster, and the real vLLM with the bundled model.

The first run is a process of its own. Later commands are invoked in this process, which spares their imports.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click.testing
import lancedb
import polars as pl
import pytest
import yaml
from dagster._cli import cli as dagster_command
from typer.testing import CliRunner, Result

from warrior_dagster.cli import app
from warrior_dagster.config.serving import VllmServer
from warrior_dagster.inference.request import ServedModel
from warrior_dagster.inference.servers import vllm
from warrior_dagster.inference.servers.base import ServerFailed

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


def variables(arena: Path) -> dict[str, str]:
    """What a command finds in its environment; Dagster's home is beside the arena."""
    return {"DAGSTER_HOME": str(arena.parent / "home"), "WARRIOR_ARENA": str(arena), "HF_HUB_OFFLINE": "1"}


def started(*arguments: str, arena: Path) -> "subprocess.CompletedProcess[str]":
    """A command in a process of its own."""
    whole = {**os.environ, **variables(arena)}
    return subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, env=whole, check=False)


def warrior(*arguments: str, arena: Path) -> Result:
    """One of our commands in this process."""
    return CliRunner().invoke(app, arguments, env=variables(arena))


def dagster(*arguments: str, arena: Path) -> click.testing.Result:
    """One of Dagster's commands in this process; typer has a click of its own."""
    return click.testing.CliRunner().invoke(dagster_command, arguments, env=variables(arena))


def summary(status: int, stdout: str, stderr: str) -> dict[str, Any]:
    assert status == 0, stderr[-3000:]
    result: dict[str, Any] = json.loads(stdout.strip().splitlines()[-1])
    return result


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, bundled_model: Path, bundled_embedder: Path) -> Path:
    """A folder with the quick start's arena, on the smaller model and smaller itself, but with judges."""
    folder = tmp_path_factory.mktemp("arena")
    values = yaml.safe_load((ROOT / "arenas" / "quickstart.yaml").read_text())
    for competitor in values["competitors"]:
        competitor["model"] = str(bundled_model)
        competitor.pop("sampling", None)  # its own limit of tokens is that of the quick start
    values |= {
        "warehouse": "warehouse",
        "embedding": {"model": str(bundled_embedder)},
        "selection": {"centres": 1},
        "answers": {"sampling": {"temperature": 0.7, "max_tokens": 32}, "samples": 2},
    }
    values["battles"] |= {"evidence": ["execution", "behaviour", "opinion"], "opinions": "open", "exam": 2}
    values["battles"] |= {"verdict": "direct", "votes": "soft"}
    values["analysis"] = {"categories": True}
    values["export"] = {"undecided": "keep"}
    values["goals"] = {}
    values["execution"] |= {"sampling": {"temperature": 0.0, "max_tokens": 32}}
    values["mining"] |= {"samples": 8, "samples_per_request": 8, "max_tokens": 48}
    values["difficulty"] = {"panel": 1, "verdict": "direct", "keep": 1.0}
    (folder / "arena.yaml").write_text(yaml.safe_dump(values))
    (folder / "home").mkdir()
    return folder


@pytest.fixture(scope="module")
def first(workplace: Path) -> dict[str, Any]:
    arena = workplace / "arena.yaml"
    done = started(f"{BIN}/warrior", "run", "-c", str(arena), "--json", arena=arena)
    assert ("completions to ask for" in done.stderr, "completions to ask for" in done.stdout) == (True, False)
    return summary(done.returncode, done.stdout, done.stderr)


def test_an_arena_runs_through_on_the_real_engine(first: dict[str, Any]) -> None:
    rows = first["rows"]
    assert rows["mined_instructions"] == 3 * 8
    selected = rows["selected_instructions"]
    assert 1 <= selected <= 3
    assert rows["answers"] == 3 * selected
    assert rows["judge_votes"] == 3 * 2 * selected
    assert rows["execution_votes"] == 3 * selected
    assert rows["answer_scores"] == 3 * selected
    (model,) = first["models"].values()
    unique = rows["instruction_difficulty"]
    assert model["engine_starts"] == 1
    assert model["failed"] == 0
    assert rows["answer_samples"] == 3 * 2 * selected
    mined, sorted_, tested, judged = 24, selected, 3 * selected, rows["judge_exams"] + 3 * 2 * selected
    assert model["sent"] + model["from_ledger"] == mined + unique + sorted_ + rows["answer_samples"] + tested + judged
    planned, actual = (first["planned_and_actual"][name] for name in ("planned", "actual"))
    assert planned["mined_instructions"]["completions"] == actual["mined_instructions"]["completions"] == mined
    assert sum(use["completions"] for use in actual.values()) == model["sent"]
    assert sum(use["gpu_hours"] for use in actual.values()) == pytest.approx(model["seconds"] / 3600)
    assert sum(r["rating"] for r in first["ratings"]) == pytest.approx(3000)
    assert set(first["seconds"]) == set(rows)


def test_the_judges_probabilities_are_real(first: dict[str, Any]) -> None:
    from warrior_dagster.warehouse.tables import Warehouse

    votes = Warehouse(first["warehouse"]).read("judge_votes")
    assert votes.filter(status="failed").is_empty()
    assert votes.select((pl.col("p_left") + pl.col("p_right")).is_close(1.0).all()).item()
    assert votes["p_left"].n_unique() > 1


def test_every_vote_leads_back_to_its_prompt_its_answers_and_their_instruction(first: dict[str, Any]) -> None:
    from warrior_dagster.warehouse.tables import Warehouse

    warehouse = Warehouse(first["warehouse"])
    ledger = {row["key"]: row for row in lancedb.connect(first["warehouse"]).open_table("ledger").to_arrow().to_pylist()}
    answers = {(r["instruction_id"], r["competitor"]): r for r in warehouse.read("answers").to_dicts()}
    selected = {r["instruction_id"]: r for r in warehouse.read("selected_instructions").to_dicts()}
    mined = {r["instruction_id"]: r for r in warehouse.read("mined_instructions").to_dicts()}
    for vote in warehouse.read("judge_votes").to_dicts():
        asked = ledger[vote["completion_key"]]
        assert asked["text"] == vote["text"]
        for side in ("left", "right"):
            answer = answers[vote["instruction_id"], vote[side]]
            assert answer["answer"] in asked["prompt"]
            assert ledger[answer["completion_key"]]["text"].strip() == answer["answer"]
        assert selected[vote["instruction_id"]]["instruction"] in asked["prompt"]
        source = ledger[mined[vote["instruction_id"]]["completion_key"]]
        assert json.loads(source["params"])["temperature"] == mined[vote["instruction_id"]]["temperature"]
        assert source["model"].startswith("local@")


def test_the_export_is_at_the_path_in_the_summary(first: dict[str, Any]) -> None:
    for path in first["exports"].values():
        assert {p.name for p in Path(path).iterdir()} == {"train.parquet", "train.jsonl", "README.md"}
    card = Path(first["exports"]["sft"], "README.md").read_text()
    assert "SmolLM2-135M-Instruct" in card
    assert str(Path(first["warehouse"]).parent) not in card


def test_a_second_run_sends_no_request_and_starts_no_engine(first: dict[str, Any], workplace: Path) -> None:
    arena = workplace / "arena.yaml"
    done = warrior("run", "-c", str(arena), "--json", arena=arena)
    assert summary(done.exit_code, done.stdout, done.stderr)["up_to_date"]
    Path(first["exports"]["sft"]).with_name("report.html").unlink()  # so that everything is made again
    done = warrior("run", "-c", str(arena), "--json", arena=arena)
    assert "completions to ask for" not in done.stderr
    again = summary(done.exit_code, done.stdout, done.stderr)
    (model,) = again["models"].values()
    assert (model["sent"], model["engine_starts"], model["completion_tokens"]) == (0, 0, 0)
    assert again["rows"] == first["rows"]
    assert again["ratings"] == first["ratings"]


def test_a_finished_arena_s_plan_sends_nothing_and_a_retry_has_nothing_to_do(first: dict[str, Any], workplace: Path) -> None:
    arena = workplace / "arena.yaml"
    done = warrior("plan", "-c", str(arena), "--json", arena=arena)
    planned = summary(done.exit_code, done.stdout, done.stderr)
    nothing = dict.fromkeys(("to_send", "prompt_tokens", "completion_tokens", "engine_starts", "bytes"), 0)
    nothing |= dict.fromkeys(("seconds", "gpu_hours", "cost"), 0)
    paid = sum(m["sent"] + m["from_ledger"] for m in first["models"].values())
    assert planned["totals"] == {"in_ledger": paid, "estimated": 0, **nothing, "low": nothing, "high": nothing}
    assert planned["last_run"]["finished"]
    assert list(planned["last_run"]["start_seconds"]) == list(first["models"])
    retried = warrior("retry", "-c", str(arena), arena=arena)
    assert (retried.exit_code, "no request in the tables has failed" in retried.stderr) == (0, True)


@pytest.mark.parametrize(
    "selection",
    [
        ["mined_instructions", "--partition", "careful"],
        ["judge_votes", "--partition", "terse__careful"],
        ["elo_ratings"],
        ["arena_plan"],
    ],
)
@pytest.mark.usefixtures("first")
def test_a_single_asset_materializes_from_the_code_location(workplace: Path, selection: list[str]) -> None:
    words = ("asset", "materialize", "-f", str(ROOT / "definitions.py"), "--select", *selection)
    done = dagster(*words, arena=workplace / "arena.yaml")
    assert done.exit_code == 0, done.output[-3000:]
    assert f"Materialized value {selection[0]}" in done.stderr


def test_the_workspace_is_valid(workplace: Path) -> None:
    words = ("definitions", "validate", "-w", "workspace.yaml")
    done = started(f"{BIN}/dagster", *words, arena=workplace / "arena.yaml")
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_mistake_ends_the_command_before_anything_starts(workplace: Path) -> None:
    bad = workplace / "bad.yaml"
    bad.write_text((workplace / "arena.yaml").read_text().replace("centres: 1", "centres: none"))
    done = warrior("run", "-c", str(bad), arena=bad)
    assert done.exit_code == 1
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"{bad}:")
    assert "selection.centres: expected" in line


def test_a_missing_model_folder_ends_the_command_before_anything_starts(workplace: Path) -> None:
    bad = workplace / "absent.yaml"
    values = yaml.safe_load((workplace / "arena.yaml").read_text())
    values["competitors"][1]["model"] = "./absent"
    bad.write_text(yaml.safe_dump(values))
    done = warrior("check", str(bad), arena=bad)
    assert done.exit_code == 1
    assert "competitors[1].model: expected a model folder" in done.stderr


@pytest.mark.long
def test_a_vllm_that_does_not_start_says_what_failed_first(tmp_path: Path, bundled_model: Path) -> None:
    for file in bundled_model.glob("*.json"):
        shutil.copy(file, tmp_path)  # everything but the weights
    settings = VllmServer(max_model_len=256, kv_cache_gib=1, enforce_eager=True)
    model = ServedModel("local@x", str(tmp_path), None, settings)
    with (
        (tmp_path / "lock").open("w") as lock,
        pytest.raises(ServerFailed) as failed,
        vllm.connect(model, settings, tmp_path / "logs", lock.fileno()),
    ):
        pass
    first, last = str(failed.value).split("the end of its log:")
    assert "Cannot find any model weights" in first
    assert "root cause" in last
