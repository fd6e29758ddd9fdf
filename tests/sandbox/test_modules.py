"""Installed modules that the caller names: they can be imported, and nothing else of the sandbox changes."""

import os
import socket
from pathlib import Path

import pytest

from tests.sandbox import hostile
from warrior_dagster.sandbox.guest.installed_modules import OnlyModules
from warrior_dagster.sandbox.isolation import IsolationError, Level, ResourceLimits
from warrior_dagster.sandbox.modules import ModuleMissing, module_files
from warrior_dagster.sandbox.pool import Program, run_all, run_in
from warrior_dagster.sandbox.probing import PROBE_CHECKS, PROBE_CODE, best_level

NAMED = ("numpy", "dateutil")  # dateutil needs six, which is a file and no folder
LIMITS = ResourceLimits(20.0, modules=NAMED)
CODE = """
import os

def importable(name):
    try:
        __import__(name)
    except ModuleNotFoundError:
        return False
    return True

def written():
    made = []
    for path in ("/modules/new", "/modules/numpy/new", "/modules/numpy/__init__.py", "/modules/six.py"):
        try:
            open(path, "a").close()
            made.append(path)
        except OSError:
            pass
    return made

def shown():
    return sorted(name.partition(".")[0].partition("-")[0] for name in os.listdir("/modules"))

def product():
    import numpy
    return int((numpy.ones((300, 300)) @ numpy.ones((300, 300))).sum())

def mean():
    import numpy
    return numpy.mean([1.0, 3.0])

def threads():
    import numpy
    return len(os.environ) and os.environ["OPENBLAS_NUM_THREADS"]
"""


@pytest.fixture(scope="module")
def level() -> Level:
    """This machine's best level."""
    try:
        return best_level(("bubblewrap", "namespaces"))
    except IsolationError as error:
        pytest.skip(str(error))


def test_named_modules_and_what_they_need_are_there_read_only_and_no_others(level: Level) -> None:
    checks = (
        "assert product() == 27_000_000",
        "assert abs(mean() - 2.0) < 1e-9 and mean() == 2",
        "assert threads() == '1'",
        "import dateutil.parser\nassert dateutil.parser.parse('2024-02-29').day == 29",
        "assert [importable(name) for name in ('six', 'pandas', 'yaml', 'warrior_dagster')] == [True, False, False, False]",
        "assert set(shown()) == {'numpy', 'dateutil', 'python_dateutil', 'six'}",
        "assert written() == []",
        "import datetime, numpy.linalg",
    )
    (result,) = run_in(level, [Program("key", CODE, checks)], LIMITS, 1)
    assert (result.error, [*zip(checks, result.reasons, strict=True)]) == ("", [(check, "") for check in checks])


def test_without_a_name_no_module_is_there(level: Level) -> None:
    checks = (
        "assert not importable('numpy')",
        "import os\nassert not os.path.exists('/modules')",
        "import os\nassert 'OMP_NUM_THREADS' not in os.environ",
    )
    (result,) = run_in(level, [Program("key", CODE, checks)], ResourceLimits(20.0), 1)
    assert result.outcomes == ("passed",) * 3


def test_a_sandbox_with_modules_isolates_as_one_without(level: Level, tmp_path: Path) -> None:
    (result,) = run_in(level, [Program("key", PROBE_CODE, PROBE_CHECKS)], LIMITS, 1)
    assert result.reasons == ("",) * len(PROBE_CHECKS)
    secret = tmp_path / "secret"
    secret.write_text("a secret", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        facts = {"marker": "with-modules", "secret": str(secret), "folder": str(tmp_path), "port": listening.getsockname()[1]}
        programs = hostile.hostile_programs(level, "escapes", 6, facts | {"host": os.getpid()})
        results = list(hostile.judged(level, [p for p in programs if p.key != "has an environment"], NAMED))
    assert [r for r in results if ("passed" in r["outcomes"]) != (r["key"] == "good")] == []
    assert secret.read_text(encoding="utf-8") == "a secret"


def test_without_namespaces_other_modules_are_refused_too() -> None:
    finder = OnlyModules({"numpy"})
    for allowed in ("numpy", "json", "_socket"):
        finder.find_spec(allowed)
    finder.find_spec("inner", ["/modules/numpy"])
    with pytest.raises(ModuleNotFoundError, match="No module named 'pandas'"):
        finder.find_spec("pandas")


def test_a_module_that_is_not_installed_is_named() -> None:
    with pytest.raises(ModuleMissing, match="'no_such_module' is not installed"):
        module_files(("numpy", "no_such_module"))
    assert module_files(()) == module_files(("json",)) == {}


def test_files_of_modules_are_real_paths_of_packages_that_were_named() -> None:
    files = module_files(NAMED)
    assert {"numpy", "dateutil", "six.py"} <= set(files)
    assert all(
        Path(path).resolve() == Path(path) and "/" not in name and name not in ("..", ".") for name, path in files.items()
    )
    assert not any(name.startswith(("torch", "dagster")) for name in files)


def test_run_all_says_which_module_is_missing(level: Level) -> None:
    with pytest.raises(ModuleMissing, match="no_such_module"):
        list(run_all([Program("key", "", ("assert True",))], ResourceLimits(20.0, modules=("no_such_module",)), workers=1))
