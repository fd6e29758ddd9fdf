"""What an arena needs and this machine lacks is reported before a run."""

from pathlib import Path

import pytest

from tests.config.test_arena import GOOD, written
from warrior_dagster.config.arena_file import load_arena
from warrior_dagster.planning import preflight
from warrior_dagster.planning.preflight import missing_here, no_isolation, not_cached, tight_contexts
from warrior_dagster.sandbox.isolation import IsolationError


def test_things_missing_on_this_machine_are_named_before_a_run(tmp_path: Path) -> None:
    served = "engine: {serve: {kind: endpoint, urls: ['http://localhost:1'], api_key_env: NO_SUCH_KEY}}\n"
    folder, key = missing_here(load_arena(written(tmp_path, GOOD + served)))
    assert folder.startswith("competitors.b.model: expected a model folder")
    assert key.startswith("engine.serve.api_key_env: expected the environment variable NO_SUCH_KEY")


def test_reference_sets_are_read_before_a_run(tmp_path: Path) -> None:
    (tmp_path / "broken.jsonl").write_text('{"instruction": "a"}\n{"prompt": 1, "instruction": 7}\n')
    sets = "[{name: broken, source: ./broken.jsonl}, {name: gone, source: ./gone.json}]"
    arena = load_arena(written(tmp_path, GOOD + f"analysis: {{references: {sets}}}\nexport: {{benchmarks: {sets}}}\n"))
    lines = [line for line in missing_here(arena) if not line.startswith("competitors.")]
    broken = f"reference set broken: {tmp_path}/broken.jsonl:2: expected texts in column instruction; found 7"
    gone = f"reference set gone: {tmp_path}/gone.json: expected a file; none exists"
    keys = ("analysis.references", "export.benchmarks")
    assert lines == [f"{key}[{place}].source: {why}" for key in keys for place, why in enumerate((broken, gone))]


def test_a_place_that_nothing_can_be_written_to_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (line,) = [one for one in missing_here(load_arena(written(tmp_path, GOOD + "warehouse: ./file\n"))) if "model" not in one]
    assert line == f"warehouse: expected a folder that can be written; {tmp_path}/file is a file"
    elsewhere = "export: {folder: ./file/exports}\n"
    (line,) = [one for one in missing_here(load_arena(written(tmp_path, GOOD + elsewhere))) if "model" not in one]
    assert line.startswith("export.folder: expected a folder that can be written")


def test_an_embedding_model_on_this_machine_is_suggested_for_one_that_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models" / "embedder"
    folder.mkdir(parents=True)
    arena = load_arena(written(tmp_path, GOOD))
    assert str(folder) not in not_cached(arena)[0]
    (folder / "modules.json").touch()
    assert not_cached(arena)[0].endswith(f"; {folder} is one on this machine: write its path")


def test_models_that_neither_the_hub_nor_its_cache_has_are_one_line(tmp_path: Path) -> None:
    embedding, competitors = not_cached(load_arena(written(tmp_path, GOOD)))
    assert embedding.startswith("embedding.model: expected a local folder, or a hub: its cache lacks sentence-transformers/")
    reason = "its cache lacks org/a, org/c, and HF_HUB_OFFLINE=1 is set, where 0 would use the hub"
    assert competitors == f"competitors.a.model: expected local folders, or a hub: {reason}"
    (line,) = not_cached(load_arena(written(tmp_path, GOOD + "embedding: {model: ./e}\n")))
    assert line == competitors


def test_a_state_folder_that_others_may_write_to_is_named_before_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "warrior-dagster").symlink_to(tmp_path)
    (*_, line) = missing_here(load_arena(written(tmp_path, GOOD + "warehouse: s3://bucket/arena\n")))
    assert line.startswith(f"warehouse: {tmp_path}/warrior-dagster: expected a folder that only you may write to")
    assert line.endswith("it is a link or a file")


def test_an_arena_that_runs_code_is_refused_if_the_machine_cannot_isolate_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_here(levels: tuple[str, ...]) -> None:
        raise IsolationError(f"none of {levels}")

    monkeypatch.setattr(preflight, "best_level", none_here)
    assert no_isolation(load_arena(written(tmp_path, GOOD))) == []
    runs = "battles: {evidence: [execution, opinion]}\n"
    (line,) = no_isolation(load_arena(written(tmp_path, GOOD + runs)))
    assert line == "execution.isolation: none of ('bubblewrap', 'namespaces')"
    (line,) = no_isolation(load_arena(written(tmp_path, GOOD + runs + "execution: {isolation: limits}\n")))
    assert line == "execution.isolation: none of ('bubblewrap', 'namespaces', 'limits')"


def test_a_context_too_short_for_the_longest_battle_is_reported(tmp_path: Path) -> None:
    assert tight_contexts(load_arena(written(tmp_path, GOOD))) == []
    short = load_arena(written(tmp_path, GOOD + "engine: {serve: {kind: vllm, max_model_len: 4096}}\n"))
    assert len(tight_contexts(short)) == 3


def test_a_module_that_answers_may_import_and_this_machine_lacks_is_named(tmp_path: Path) -> None:
    modules = "battles: {evidence: [execution, opinion]}\nexecution: {modules: [json, no_such_module]}\n"
    lines = missing_here(load_arena(written(tmp_path, GOOD + modules)))
    assert "execution.modules: expected an installed module; 'no_such_module' is not installed" in lines


def test_a_module_that_cannot_be_imported_within_the_limits_is_named(tmp_path: Path) -> None:
    execution = "execution: {modules: [dateutil, numpy], memory_mib: 64}\n"
    (line,) = no_isolation(load_arena(written(tmp_path, GOOD + "battles: {evidence: [execution, opinion]}\n" + execution)))
    assert line.startswith("execution.modules: numpy cannot be imported within execution.seconds and memory_mib: ")
    enough = execution.replace("64", "512")
    assert no_isolation(load_arena(written(tmp_path, GOOD + "battles: {evidence: [execution, opinion]}\n" + enough))) == []
