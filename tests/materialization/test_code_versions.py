"""Code versions: the import closure of what an asset calls, without the modules that are listed as changing no row."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import runs
from warrior_dagster.materialization import code_versions
from warrior_dagster.materialization.code_versions import PACKAGE, UNVERSIONED, VERSIONED, code_version, versioned_modules
from warrior_dagster.stages.battles import outcomes, pairing
from warrior_dagster.stages.export import dpo, kto, sft
from warrior_dagster.stages.mining import sampling

ROOT = Path(runs.__file__).parents[1] / PACKAGE


def short(modules: list[str]) -> set[str]:
    return {module.removeprefix(f"{PACKAGE}.") for module in modules}


def test_the_modules_are_those_that_a_function_reaches_without_engine_and_storage() -> None:
    def compute() -> object:
        return sampling.mine

    assert short(versioned_modules(compute)) == {
        "inference.chat_service", "inference.chat_template", "inference.identity", "inference.neutralising",
        "inference.prompting", "inference.reasoning", "inference.rendering", "inference.request", "inference.template_worker",
        "inference.validation", "sandbox.code_blocks",
        "stages.mining.cleaning", "stages.mining.prefix", "stages.mining.sampling", "turn_tokens",
    }  # fmt: skip


def helper() -> object:
    return pairing.pairs


def test_functions_of_the_same_module_inner_functions_and_closures_count_too() -> None:
    make = sft.sft_rows

    def compute() -> object:
        return helper(), lambda: outcomes.outcomes, make

    assert short(versioned_modules(compute)) >= {"stages.battles.pairing", "stages.battles.outcomes", "stages.export.sft"}
    assert "stages.export.kto" not in short(versioned_modules(compute))


def test_a_format_s_version_does_not_depend_on_the_other_formats() -> None:
    def reached(make: object) -> set[str]:
        def compute() -> object:
            return make

        return short(versioned_modules(compute))

    assert reached(dpo.dpo_rows) == {"stages.export.dpo", "stages.export.sft"}  # which has the shape of messages
    assert reached(kto.kto_rows) == {"stages.export.kto", "stages.export.sft"}


@pytest.mark.parametrize("name", [*UNVERSIONED, *VERSIONED])
def test_every_exception_has_a_reason_and_names_a_module(name: str) -> None:
    assert find_spec(f"{PACKAGE}.{name}")
    assert len((UNVERSIONED | VERSIONED)[name].split()) >= 4


def test_every_module_of_a_stage_or_of_the_analysis_counts_except_for_the_exceptions() -> None:
    files = [file for package in ("stages", "analysis") for file in (ROOT / package).rglob("*.py") if file.stem != "__init__"]
    modules = {".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files}
    uncounted = {one for one in modules if not code_versions.is_versioned(f"{PACKAGE}.{one}")}
    declarations = {one for one in modules if one.rpartition(".")[2] in ("assets", "tables", "checks")}
    assert uncounted - declarations == {"analysis.pictures", "stages.curation.device"}


def test_settings_and_code_change_the_version_and_comments_and_docstrings_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute() -> object:
        return sft.sft_rows

    module = f"{PACKAGE}.stages.export.sft"
    source = Path(str(find_spec(module).origin)).read_text()  # type: ignore[union-attr]

    def forget() -> None:
        for cached in (code_versions.imported, code_versions.syntax):
            cached.cache_clear()

    def version(text: str, *settings: object) -> str:
        forget()
        monkeypatch.setattr(
            Path, "read_text", lambda self, **_: text if self.name == "sft.py" else Path.read_bytes(self).decode()
        )
        made = code_version(compute, settings)
        monkeypatch.undo()
        forget()  # later tests in this process compare code versions with those of other processes
        return made

    first = version(source, {"a": 1})
    assert version(source, {"a": 1}) == first
    assert version(source.replace('"""The rows', '"""Some rows') + "\n# a comment\n", {"a": 1}) == first
    assert version(source, {"a": 2}) != first
    assert version(source + "\nLIMIT = 1\n", {"a": 1}) != first
