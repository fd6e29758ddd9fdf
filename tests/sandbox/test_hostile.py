"""What hostile code cannot do, with every isolation that this machine has, as root and as a normal user."""

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox import hostile
from tests.sandbox.hostile import crossing, plain
from tests.sandbox.hostile.kinds import Programs
from warrior_dagster.sandbox.isolation import ISOLATING_LEVELS, IsolationError, Level, interpreter, open_to_all
from warrior_dagster.sandbox.probing import best_level

LEVELS: tuple[Level, ...] = ("bubblewrap", "namespaces", "limits")
QUICK = dict.fromkeys(hostile.KINDS, 2) | {"hangs": 6, "limits": 6}
"""Every how many programs of a kind `make test` runs, with the best isolation only."""
ALL = dict.fromkeys(hostile.KINDS, 1)
MOST_SECONDS = 8.0
"""What a check may take in all, with a limit of 0.4 s: machines may be 10 times slower, and a broken sandbox is replaced."""
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
        shutil.copytree(Path(hostile.__file__).parent, code / "tests" / "sandbox" / "hostile")
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


def run_hostile(
    folder: Path, level: Level, facts: dict[str, Any], kinds: dict[str, int], user: int
) -> list[dict[str, Any]] | str:
    """The results of the programs, run as a user, or why the isolation is unusable for that user."""
    own = folder / "bin" / Path(interpreter()).name
    environment = {"LD_LIBRARY_PATH": str(folder / "lib"), "PYTHONPATH": str(folder / "code"), "PLANTED": "secret"}
    environment["PATH"] = os.environ["PATH"]
    command = [str(own) if own.exists() else interpreter(), "-m", "tests.sandbox.hostile"]
    arguments = json.dumps({"level": level, "facts": facts, "kinds": kinds})
    ids: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user != os.getuid() else {}
    done = subprocess.run([*command, arguments], env=environment, cwd="/", capture_output=True, text=True, check=False, **ids)
    assert done.returncode == 0, f"ended with {done.returncode} after {done.stdout[-300:]}\n{done.stderr}"
    results = [json.loads(line) for line in done.stdout.splitlines()]
    return results[0] if isinstance(results[0], str) else results


def fails_its_promise(result: dict[str, Any]) -> bool:
    """Whether a hostile program passed, took too long or raised in its caller, or a well-behaved one did not pass."""
    outcomes = result["outcomes"]
    kept = set(outcomes) == {"passed"} if result["key"] == "good" else not {"passed", "raised"} & set(outcomes)
    return not kept or result["elapsed"] > MOST_SECONDS * len(outcomes)


def check_promises(folder: Path, level: Level, kinds: dict[str, int], user: int) -> None:
    """Run programs and assert that no hostile one passes, hangs, crashes, survives or harms another."""
    if user != os.getuid() and os.getuid() != 0:
        pytest.skip("only root can run as another user")
    if level == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    secret = folder / "secret"
    secret.write_text("a secret that every user of this machine may read", encoding="utf-8")
    secret.chmod(0o644)
    marker = f"hostile-{os.getpid() % 10_000}"
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as pair,
    ):
        named.bind(f"\0{marker}")
        named.listen()
        pair.bind(f"\0{marker}-pair")
        facts = {"marker": marker, "secret": str(secret), "folder": str(folder / "code"), "port": listening.getsockname()[1]}
        results = run_hostile(folder, level, facts, kinds, user)
    if isinstance(results, str):
        pytest.skip(f"this isolation does not work on this machine: {results}")
    hostile_keys = [result["key"] for result in results if result["key"] != "good"]
    assert len(results) - len(hostile_keys) == len(set(hostile_keys))
    assert len(set(hostile_keys)) >= 100
    wrong = [f"{r['key']}: {r['outcomes']} in {r['elapsed']:.1f} s, {r['reasons']}" for r in results if fails_its_promise(r)]
    assert not wrong, "\n".join(wrong)
    assert survivors(marker) == []
    assert "secret" in secret.read_text(encoding="utf-8")


def test_no_hostile_program_passes_hangs_crashes_or_harms_another(public_folder: Path) -> None:
    try:
        best = best_level(ISOLATING_LEVELS)
    except IsolationError as error:
        pytest.skip(str(error))
    check_promises(public_folder, best, QUICK, os.getuid())


@pytest.mark.hostile
@pytest.mark.parametrize("user", [0, NOBODY], ids=["root", "normal-user"])
@pytest.mark.parametrize("level", LEVELS)
def test_no_hostile_program_does_so_with_any_isolation_as_any_user(public_folder: Path, level: Level, user: int) -> None:
    check_promises(public_folder, level, ALL, user)


def plain_verdicts(programs: Programs) -> list[tuple[str, str, bool]]:
    """Each program's name and check, and whether it passes where the answer and the check share an interpreter."""
    start = "import ctypes, os, sys, threading, time\n"
    pairs = [(name, start + code, check) for name, (code, checks) in programs.items() for check in checks]
    given = json.dumps([(code, check) for _, code, check in pairs])
    command = [sys.executable, "-P", plain.__file__]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, input=given, cwd=folder, capture_output=True, text=True, check=True)
    return [(name, check, passed) for (name, _, check), passed in zip(pairs, json.loads(done.stdout), strict=True)]


@pytest.mark.parametrize("kind", hostile.FOOLS_PLAIN)
def test_each_wrong_answer_passes_where_it_shares_an_interpreter_with_its_check(kind: str) -> None:
    assert [verdict for verdict in plain_verdicts(hostile.FOOLS_PLAIN[kind]) if not verdict[-1]] == []


def test_each_answer_that_only_a_copy_hides_fails_in_a_plain_interpreter() -> None:
    assert [verdict for verdict in plain_verdicts(crossing.PROGRAMS) if verdict[-1]] == []


def test_there_are_programs_of_every_kind_and_no_name_means_two() -> None:
    names = [name for everywhere, contained in hostile.KINDS.values() for name in (*everywhere, *contained)]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert len(names) > 700


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
