"""What `make setup` says before anything is installed where it cannot be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "requirements" / "supported.sh"


def outcome(folder: Path, extra: str, python: str = "", **answers: str) -> tuple[int, str]:
    """The status and the line of the script, where `uname` and python give these answers."""
    answers = {"system": "Linux", "machine": "x86_64", "version": "3.11", "free": "99"} | answers
    stubs = {
        "uname": f'case "$1" in -s) echo {answers["system"]};; -m) echo {answers["machine"]};; esac',
        "python": f'case "$2" in *sys*) echo {answers["version"]};; *) exit {answers.get("venv", 0)};; esac',
        "df": f"echo header; echo disk 0 0 $(({answers['free']} * 1048576))",
    }
    for name, body in stubs.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    command = ["sh", str(SCRIPT), python or str(folder / "python"), extra]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert not done.stdout
    return done.returncode, done.stderr


@pytest.mark.parametrize("extra", ["cpu", "gpu"])
def test_what_the_locks_are_for_is_accepted_without_a_word(extra: str, tmp_path: Path) -> None:
    assert outcome(tmp_path, extra) == (0, "")


def test_the_lock_of_the_gpu_build_is_for_python_3_12_too(tmp_path: Path) -> None:
    assert outcome(tmp_path, "gpu", version="3.12") == (0, "")


@pytest.mark.parametrize(
    ("answers", "line"),
    [
        ({"system": "Darwin"}, "expected Linux, found Darwin: use a virtual machine"),
        ({"machine": "aarch64"}, "expected an x86-64 processor, found aarch64"),
        ({"version": "3.12"}, "the CPU build is locked for Python 3.11 alone, found 3.12: name a Python 3.11"),
        ({"version": "3.13"}, "expected Python 3.11, found 3.13: name a Python 3.11"),
        ({"venv": "1"}, "on Debian and Ubuntu install python3.11-venv"),
        ({"free": "4"}, "expected 6 GB of room for the packages, found 4"),
        ({"python": "python-that-is-not-there"}, "expected Python 3.11, found no python-that-is-not-there"),
    ],
)
def test_what_is_missing_is_one_line(answers: dict[str, str], line: str, tmp_path: Path) -> None:
    status, error = outcome(tmp_path, "cpu", **answers)
    assert status == 1
    assert error.startswith("make setup: ")
    assert line in error
    assert error.count("\n") == 1


def test_the_gpu_build_on_another_processor_is_a_warning(tmp_path: Path) -> None:
    assert outcome(tmp_path, "gpu", machine="aarch64") == (0, "make setup: the locked packages were never tried on aarch64\n")


def test_this_interpreter_is_accepted(tmp_path: Path) -> None:
    version = ".".join(map(str, sys.version_info[:2]))
    assert outcome(tmp_path, "gpu", python=sys.executable, version=version)[0] == 0
