"""The guard's promises, tested with plain processes; tests/test_end_to_end.py tests it with the real vLLM."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes.family import FAMILY, alive, family_pids, wait_for
from warrior_dagster.processes import guard
from warrior_dagster.warehouse.locks import file_lock

# Holds the lock, passes it to the guard of a stubborn process, and then waits to be killed.
LOCKING = """
import os, sys
from pathlib import Path
from warrior_dagster.processes import guard
from warrior_dagster.warehouse.locks import file_lock
guard.__file__ = sys.argv[3]
with file_lock(Path(sys.argv[1]), lambda: None) as lock:
    with guard.guarded_process(sys.argv[4:], dict(os.environ), log=Path(sys.argv[2]), lock=lock) as process:
        process.wait()
"""

# Starts the guard, and then waits to be killed.
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-P", sys.argv[1], *sys.argv[2:]], stdin=subprocess.PIPE)
time.sleep(600)
"""


@pytest.fixture
def impatient(tmp_path: Path) -> str:
    """The guard's script with a grace period of 2 seconds."""
    assert guard.GRACE_SECONDS == 10
    source = Path(guard.__file__).read_text()
    assert source.count("GRACE_SECONDS = 10.0") == 1
    copy = tmp_path / "guard.py"
    copy.write_text(source.replace("GRACE_SECONDS = 10.0", "GRACE_SECONDS = 2.0"))
    return str(copy)


def test_a_process_and_its_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    command = [sys.executable, "-c", FAMILY, str(note)]
    parent = subprocess.Popen([sys.executable, "-c", PARENT, guard.__file__, *command])
    pids = family_pids(note)
    assert all(alive(pid) for pid in pids)
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(alive(pid) for pid in pids))


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace_period(tmp_path: Path, impatient: str) -> None:
    note = tmp_path / "pids"
    command = [sys.executable, "-P", impatient, sys.executable, "-c", FAMILY, str(note), "stubborn"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    pids = family_pids(note)
    process.send_signal(signal.SIGTERM)  # only the pipe ends the guard
    time.sleep(0.5)
    assert all(alive(pid) for pid in pids)
    assert process.stdin
    process.stdin.close()
    assert process.wait() == 128 + signal.SIGKILL
    assert not any(alive(pid) for pid in pids)


def test_the_lock_of_a_killed_run_is_released_only_when_all_its_processes_have_ended(tmp_path: Path, impatient: str) -> None:
    note, lock = tmp_path / "pids", tmp_path / "engine.lock"
    command = [
        sys.executable,
        "-c",
        LOCKING,
        str(lock),
        str(tmp_path / "log"),
        impatient,
        sys.executable,
        "-c",
        FAMILY,
        str(note),
        "stubborn",
    ]
    run = subprocess.Popen(command)
    pids = family_pids(note)
    run.kill()
    run.wait()
    waited: list[bool] = []
    with file_lock(lock, lambda: waited.append(all(alive(pid) for pid in pids))):
        assert not any(alive(pid) for pid in pids)
    assert waited == [True]


def test_leaving_ends_the_process_and_its_output_is_in_the_log(tmp_path: Path) -> None:
    note, log = tmp_path / "pids", tmp_path / "logs" / "log"
    with guard.guarded_process([sys.executable, "-c", "print('hello', flush=True)" + FAMILY, str(note)], {}, log=log):
        pids = family_pids(note)
    assert not any(alive(pid) for pid in pids)
    assert log.read_text() == "hello\n"
