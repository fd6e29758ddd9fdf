"""`warrior doctor`: each check says what is there, and what to do about what stops a run."""

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from warrior_dagster.cli import app, doctor
from warrior_dagster.cli.doctor import Finding
from warrior_dagster.config.arena import Arena
from warrior_dagster.sandbox.isolation import IsolationError

MODEL = Path(__file__).parents[1] / "fixtures" / "warehouse_of_6c55b93" / "model"


def arena_of(model: Path | str, folder: Path, **values: Any) -> Arena:
    competitors = [{"name": name, "model": str(model)} for name in ("ann", "bob", "cyd")]
    given = {"name": "mine", "competitors": competitors, "embedding": {"model": str(model)}, "warehouse": str(folder / "w")}
    return Arena.model_validate(given | {"export": {"folder": str(folder / "w" / "exports")}} | values)


@pytest.mark.parametrize(
    ("running", "cpu_build", "level", "words"),
    [
        ((3, 9), True, "problem", "too old"),
        ((3, 11), True, "ok", "3.11"),
        ((3, 12), False, "ok", "3.12"),
        ((3, 12), True, "note", "locked for 3.11"),
        ((3, 13), False, "note", "never tried"),
    ],
)
def test_a_version_of_python_is_what_the_locks_are_for(
    running: tuple[int, int], cpu_build: bool, level: str, words: str
) -> None:
    found = doctor.python(running, cpu_build)
    assert (found.level, words in found.text) == (level, True)


@pytest.mark.parametrize(
    ("name", "machine", "release", "level", "words"),
    [
        ("Linux", "x86_64", "6.1.0-amd64", "ok", "Linux on x86-64"),
        ("Linux", "aarch64", "6.1.0", "note", "Linux on aarch64: the locked packages are for x86-64"),
        ("Linux", "x86_64", "5.15.167.4-microsoft-standard-WSL2", "note", "WSL on x86-64: keep the warehouse"),
        ("Darwin", "arm64", "24.0", "problem", "macOS on arm64: "),
        ("Windows", "AMD64", "11", "problem", "on Windows use WSL 2"),
    ],
)
def test_a_system_that_was_never_tried_is_named(name: str, machine: str, release: str, level: str, words: str) -> None:
    found = doctor.system(name, machine, release)
    assert (found.level, words in found.text) == (level, True)


def test_memory_that_the_weights_and_the_cache_do_not_fit_in_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shutil.copytree(MODEL, tmp_path / "model")
    with (model / "model.safetensors").open("wb") as file:
        file.truncate(3 << 30)
    arena = arena_of(model, tmp_path, engine={"serve": {"kind": "vllm", "kv_cache_gib": 2, "dtype": "bfloat16"}})
    monkeypatch.setattr(doctor, "on_cpu", lambda: True)
    for free, level in ((4, "problem"), (6, "ok")):
        monkeypatch.setattr(doctor, "free_memory", lambda free=free: free << 30)
        assert doctor.memory(arena).level == level
    monkeypatch.setattr(doctor, "free_memory", lambda: 4 << 30)
    assert "ann needs at least 5.0" in doctor.memory(arena).text or "cyd needs at least 5.0" in doctor.memory(arena).text


def test_the_memory_that_is_left_is_what_linux_says() -> None:
    assert 0 < doctor.free_memory() < 1 << 50


def test_a_folder_of_dagster_is_absolute_and_has_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "relative")
    assert doctor.dagster_home() == Finding("Dagster", "DAGSTER_HOME=relative: expected an absolute path", "problem")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert doctor.dagster_home().level == "note"
    (tmp_path / "dagster.yaml").touch()
    assert doctor.dagster_home().level == "ok"
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster.yaml"))
    assert doctor.dagster_home().level == "problem"


def test_a_taken_port_of_the_ui_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(doctor, "UI_PORT", taken.getsockname()[1])
        assert doctor.ui_port().level == "note"
    assert doctor.ui_port().level == "ok"


def test_a_machine_without_isolation_is_a_problem_unless_the_arena_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_here(levels: tuple[str, ...]) -> str:
        if "limits" in levels:
            return "limits"
        raise IsolationError("install bubblewrap\nbubblewrap: not on the PATH")

    monkeypatch.setattr(doctor, "best_level", none_here)
    monkeypatch.setattr("warrior_dagster.planning.preflight.best_level", none_here)
    runs = {"evidence": ["execution", "opinion"]}
    assert doctor.sandbox(None) == Finding("sandbox", "install bubblewrap", "problem")
    assert doctor.sandbox(arena_of(MODEL, tmp_path, battles=runs)).level == "problem"
    assert doctor.sandbox(arena_of(MODEL, tmp_path, battles=runs, execution={"isolation": "limits"})).level == "note"
    assert doctor.sandbox(arena_of(MODEL, tmp_path)).level == "ok"


def test_a_hub_that_is_needed_and_cannot_be_used_is_a_problem(tmp_path: Path) -> None:
    assert {found.level for found in doctor.model_hub(arena_of("org/m", tmp_path))} == {"problem"}
    assert {found.level for found in doctor.model_hub(arena_of(MODEL, tmp_path))} == {"note"}


def test_the_command_fails_where_a_line_is_a_problem(tmp_path: Path) -> None:
    arena = arena_of(MODEL, tmp_path)
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(arena.model_dump(mode="json", exclude_unset=True)))
    found = CliRunner().invoke(app, ["doctor", str(file)])
    lines = found.stdout.splitlines()[1:]
    assert [line for line in lines if line.startswith("problem  arena: competitors.ann.model: it cannot be loaded")]
    assert all(line.startswith(("ok       ", "note     ", "problem  ")) for line in lines)
    assert found.exit_code == 1
