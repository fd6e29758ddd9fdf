"""What hostile code cannot do, with every isolation that this machine has, as root and as a normal user."""

import json
import os
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox import hostile
from warrior_dagster.sandbox.isolation import Isolation, interpreter, open_to_all

ISOLATIONS = [
    Isolation("bubblewrap", True),
    Isolation("bubblewrap", False),
    Isolation("namespaces", True),
    Isolation("namespaces", False),
    Isolation("limits", False),
]
NOBODY = 65534
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def public_folder() -> Iterator[Path]:
    """A folder that every user can read, with the interpreter, its library and the code under test."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:  # a sandbox has its own /tmp
        folder = Path(name)
        folder.chmod(0o755)
        code = folder / "code"
        shutil.copytree(ROOT / "warrior_dagster" / "sandbox", code / "warrior_dagster" / "sandbox")
        for package in ("warrior_dagster", "tests", "tests/sandbox"):
            (code / package).mkdir(parents=True, exist_ok=True)
            (code / package / "__init__.py").touch()
        shutil.copy(hostile.__file__, code / "tests" / "sandbox")
        if not open_to_all(interpreter()):
            library = Path(sysconfig.get_path("stdlib"))
            without = shutil.ignore_patterns(
                "site-packages", "test", "tests", "idlelib", "tkinter", "ensurepip", "config-*", "lib2to3"
            )
            shutil.copytree(library, folder / "lib" / library.name, ignore=without)
            for shared in library.parent.glob("libpython*.so*"):
                shutil.copy(shared, folder / "lib")
            (folder / "bin").mkdir()
            shutil.copy(interpreter(), folder / "bin")
        subprocess.run(["chmod", "-R", "a+rX", name], check=True)
        yield folder


def run_hostile(folder: Path, isolation: Isolation, facts: dict[str, Any], user: int) -> list[dict[str, Any]] | str:
    """The results of all programs, run as a user, or why the isolation is unusable for that user."""
    own = folder / "bin" / Path(interpreter()).name
    environment = {"LD_LIBRARY_PATH": str(folder / "lib"), "PYTHONPATH": str(folder / "code"), "PLANTED": "secret"}
    environment["PATH"] = os.environ["PATH"]
    command = [str(own) if own.exists() else interpreter(), "-m", "tests.sandbox.hostile"]
    arguments = json.dumps({"level": isolation.level, "nested": isolation.nested, "facts": facts})
    ids: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user != os.getuid() else {}
    done = subprocess.run([*command, arguments], env=environment, cwd="/", capture_output=True, text=True, check=False, **ids)
    assert done.returncode == 0, done.stderr
    results: list[dict[str, Any]] | str = json.loads(done.stdout)
    return results


@pytest.mark.parametrize("user", [0, NOBODY], ids=["root", "normal-user"])
@pytest.mark.parametrize(
    "isolation", ISOLATIONS, ids=lambda i: f"{i.level}{'' if i.nested or i.level == 'limits' else '-single-use'}"
)
def test_no_hostile_program_passes_or_survives_or_harms_another(public_folder: Path, isolation: Isolation, user: int) -> None:
    if user != os.getuid() and os.getuid() != 0:
        pytest.skip("only root can run as another user")
    if isolation.level == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    secret = public_folder / "secret"
    secret.write_text("a secret that every user of this machine may read", encoding="utf-8")
    secret.chmod(0o644)
    marker = f"hostile-{os.getpid() % 10_000}"
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket(socket.AF_UNIX) as named:
        named.bind(f"\0{marker}")
        named.listen()
        facts = {
            "marker": marker,
            "secret": str(secret),
            "folder": str(public_folder / "code"),
            "port": listening.getsockname()[1],
        }
        results = run_hostile(public_folder, isolation, facts, user)
    if isinstance(results, str):
        pytest.skip(f"this isolation does not work on this machine: {results}")
    assert len(results) == 2 * len({result["key"] for result in results} - {"good"})
    wrong = [result for result in results if ("passed" in result["outcomes"]) != (result["key"] == "good")]
    wrong += [result for result in results if result["key"] == "good" and set(result["outcomes"]) != {"passed"}]
    assert wrong == []
    assert {result["level"] for result in results} == {isolation.level}
    assert survivors(marker) == []
    assert "secret" in secret.read_text(encoding="utf-8")


def survivors(marker: str) -> list[str]:
    """The processes that carry the marker. Linux may take a moment to end those of a closed namespace."""
    found: list[str] = []
    for _ in range(50):
        found = []
        for name in Path("/proc").glob("[0-9]*/comm"):
            with suppress(OSError):
                found += [str(name)] if name.read_text(encoding="utf-8").strip() == marker else []
        if not found:
            break
        time.sleep(0.1)
    return found
