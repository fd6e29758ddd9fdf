"""An arena as a component of another dg project, which scaffolds, checks and materializes it beside its own assets."""

import importlib
import sys
import traceback
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner
from dagster.components.core.component_tree import ComponentTreeException
from dagster_dg_cli.cli import cli

from tests.conftest import scripted_engines
from warrior_dagster.config.arena_file import load_arena
from warrior_dagster.orchestration import definitions
from warrior_dagster.orchestration.component import ArenaComponent
from warrior_dagster.warehouse.tables import Warehouse

TYPE = "warrior_dagster.orchestration.component.ArenaComponent"
PYPROJECT = """
[project]
name = "their-project"
version = "1.0"
[tool.dg]
directory_type = "project"
[tool.dg.project]
root_module = "their_project"
"""
DEFINITIONS = """
from pathlib import Path
import dagster as dg

@dg.definitions
def defs():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
ASSET = """
import dagster as dg

@dg.asset(deps=["mined_instructions"])
def their_report():
    return 1
"""


class Project:
    """A dg project with its own asset, and an arena that dg scaffolded in it."""

    def __init__(self, root: Path) -> None:
        self.root, self.defs = root, root / "src" / "their_project" / "defs"
        self.arena = self.defs / "my_arena" / "defs.yaml"
        self.defs.mkdir(parents=True)
        files = {"pyproject.toml": PYPROJECT, "src/their_project/definitions.py": DEFINITIONS}
        files |= {
            "dagster.yaml": "telemetry: {enabled: false}",
            "src/their_project/__init__.py": "",
            "src/their_project/defs/__init__.py": "",
        }
        for name, text in files.items():
            (root / name).write_text(text)
        self.write_own(ASSET)

    def command(self, *words: str) -> tuple[int, str]:
        """The exit status and the output of a dg command."""
        result = CliRunner().invoke(cli, words)
        return result.exit_code, result.output

    def write_own(self, text: str) -> None:
        """The project's own assets."""
        (self.defs / "own.py").write_text(text)

    def write(self, **attributes: Any) -> None:
        """The arena, with some of its keys replaced."""
        scaffolded = yaml.safe_load(self.arena.read_text())
        self.arena.write_text(yaml.safe_dump({**scaffolded, "attributes": scaffolded["attributes"] | attributes}))

    def load(self) -> dg.Definitions:
        """The project's definitions, loaded again."""
        for name in [name for name in sys.modules if name.startswith("their_project")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        defs: dg.Definitions = importlib.import_module("their_project.definitions").defs()
        dg.Definitions.validate_loadable(defs)
        return defs


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    made = Project(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "src")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert made.command("scaffold", "defs", TYPE, "my_arena")[0] == 0
    yield made
    for name in [name for name in sys.modules if name.startswith("their_project")]:
        del sys.modules[name]


def test_dg_finds_the_component_in_every_project() -> None:
    assert "warrior_dagster.orchestration.component" in {
        one.value for one in entry_points(group="dagster_dg_cli.registry_modules")
    }


def test_dg_scaffolds_an_arena_that_is_valid_and_names_a_wrong_key_with_its_line(project: Project) -> None:
    assert project.command("check", "yaml")[0] == 0
    lines = project.arena.read_text().splitlines()
    wrong = next(i for i, line in enumerate(lines) if "license" in line)
    lines[wrong] = lines[wrong].replace("license", "licensed")
    project.arena.write_text("\n".join(lines))
    status, output = project.command("check", "yaml")
    assert status == 1
    assert f"{project.arena}:{wrong + 1}" in output
    assert "licensed" in output


def test_attributes_and_a_file_with_the_same_keys_give_the_same_arena(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths start at the file's folder, templates are filled in, and a prompt keeps its last line break."""
    prompt = "You speak $language.\n"
    project.write(warehouse="{{ env.WAREHOUSE }}", mining={"prompt": prompt}, embedding={"model": "./models/one"})
    monkeypatch.setenv("WAREHOUSE", "../tables")
    attributes = yaml.safe_load(project.arena.read_text())["attributes"]
    file = project.arena.parent / "arena.yaml"
    file.write_text(yaml.safe_dump(attributes | {"warehouse": "../tables"}))
    component = dg.ComponentTree.for_project(project.root).load_component("my_arena", ArenaComponent)
    assert component.arena == load_arena(file)
    assert component.arena.mining.prompt == prompt
    assert component.arena.warehouse == str(project.defs / "tables")


def test_an_arena_s_asset_and_the_host_s_are_materialized_in_one_run(
    project: Project, bundled_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The arena has its own resources, its tables are in the project's folder, and the host chooses the executor."""
    monkeypatch.setattr(definitions, "open_engines", lambda arena: scripted_engines(arena, [], []))
    competitors = [{"name": name, "model": str(bundled_model)} for name in ("ann", "bob", "cyd")]
    settings = [{"temperature": 1.0, "top_p": 0.99}]
    project.write(competitors=competitors, mining={"settings": settings, "samples": 4, "max_tokens": 32})
    defs = project.load()
    assert defs.executor is None
    selection = [dg.AssetKey(name) for name in ("mined_instructions", "their_report")]
    job = defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(asset_selection=selection, partition_key="bob")
    assert result.output_for_node("their_report") == 1
    warehouse = Warehouse(str(project.root / "data" / "my_arena"))
    assert warehouse.partitions("mined_instructions").keys() == {"bob"}


def test_the_arena_does_not_change_the_host_s_automation(project: Project) -> None:
    """The arena's stopped sensor targets only the arena's assets."""
    project.write_own(ASSET.replace("deps=", "automation_condition=dg.AutomationCondition.eager(), deps="))
    sensors = {sensor.name: sensor for sensor in project.load().get_repository_def().sensor_defs}
    graph = project.load().resolve_asset_graph()
    theirs = dg.AssetKey("their_report")
    targets = {name: sensor.asset_selection.resolve(graph) for name, sensor in sensors.items() if sensor.asset_selection}
    assert {name for name, keys in targets.items() if theirs in keys} == {"default_automation_condition_sensor"}


def test_a_resource_of_the_same_name_is_an_error(project: Project) -> None:
    project.write_own(ASSET + "\ndefs = dg.Definitions(resources={'warehouse': 3})\n")
    with pytest.raises(ComponentTreeException) as error:
        project.load()
    assert "different resources with same key 'warehouse'" in str(error.value.__cause__)


def test_several_arenas_in_one_project_each_have_their_name_as_prefix(project: Project) -> None:
    assert project.command("scaffold", "defs", TYPE, "another")[0] == 0
    project.write_own("")
    defs = project.load()
    keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert {"another/answers", "my_arena/answers"} <= keys
    assert "answers" not in keys


def test_two_arenas_with_the_same_name_are_an_error(project: Project) -> None:
    assert project.command("scaffold", "defs", TYPE, "another")[0] == 0
    other = project.defs / "another" / "defs.yaml"
    other.write_text(other.read_text().replace("name: another", "name: my_arena"))
    with pytest.raises(ComponentTreeException) as error:
        project.load()
    assert "to differ in name; found my_arena, my_arena" in str(error.value.__cause__)


def test_a_defs_yaml_without_attributes_is_an_error_that_says_so(project: Project) -> None:
    project.arena.write_text(f"type: {TYPE}\n")
    with pytest.raises(ComponentTreeException) as error:
        project.load()
    assert "expected the keys of an arena" in str(error.value.__cause__)


def test_a_password_in_a_filled_in_url_is_an_error_that_does_not_repeat_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE", "https://me:hunter22pass@host")
    project.write(engine={"serve": {"kind": "endpoint", "urls": ["{{ env.SERVICE }}"]}})
    with pytest.raises(ComponentTreeException) as error:
        project.load()
    text = "".join(traceback.format_exception(error.value))
    assert "expected no key, password or query in a URL" in text
    assert "hunter22pass" not in text
