"""The guard's promises are tried with plain processes; the real vLLM behind it is in tests/test_end_to_end.py."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from warrior_dagster.config.serving import VllmServer
from warrior_dagster.inference.backends import vllm
from warrior_dagster.warehouse.locks import our_turn

# A server that starts a child in the same group, as vLLM does, writes both pids, and ignores TERM if told to.
FAMILY = """
import os, signal, subprocess, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""

# A run that holds the lock, hands it to the guard of a stubborn server, and then waits to be killed.
LOCKING = """
import os, sys
from pathlib import Path
from warrior_dagster.inference.backends.vllm import guarded_server
from warrior_dagster.warehouse.locks import our_turn
with our_turn(Path(sys.argv[1]), lambda: None) as lock:
    with guarded_server(sys.argv[3:], dict(os.environ), 1, 600, Path(sys.argv[2]), lock):
        pass
"""

# A parent that starts the guard, and then waits to be killed.
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-P", sys.argv[1], *sys.argv[2:]], stdin=subprocess.PIPE)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.05)


def family_pids(note: Path) -> list[int]:
    wait_for(lambda: note.exists() and len(note.read_text().split()) == 2)
    return [int(pid) for pid in note.read_text().split()]


def test_a_server_and_its_children_end_when_whoever_started_it_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    command = [sys.executable, "-c", FAMILY, str(note)]
    parent = subprocess.Popen([sys.executable, "-c", PARENT, vllm.__file__, *command])
    pids = family_pids(note)
    assert all(alive(pid) for pid in pids)
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(alive(pid) for pid in pids))


def test_a_server_that_ignores_term_is_killed_after_its_grace(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    command = [sys.executable, "-P", vllm.__file__, sys.executable, "-c", FAMILY, str(note), "stubborn"]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE)
    pids = family_pids(note)
    guard.send_signal(signal.SIGTERM)  # only the pipe ends the guard
    time.sleep(0.5)
    assert all(alive(pid) for pid in pids)
    assert guard.stdin
    guard.stdin.close()
    assert guard.wait() == 128 + signal.SIGKILL
    assert not any(alive(pid) for pid in pids)


def test_who_waits_for_the_engine_of_a_killed_run_gets_its_turn_when_nothing_of_it_is_left(tmp_path: Path) -> None:
    note, lock = tmp_path / "pids", tmp_path / "engine.lock"
    command = [
        sys.executable,
        "-c",
        LOCKING,
        str(lock),
        str(tmp_path / "log"),
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
    with our_turn(lock, lambda: waited.append(all(alive(pid) for pid in pids))):
        assert not any(alive(pid) for pid in pids)
    assert waited == [True]


def test_a_server_that_ends_at_once_is_told_with_the_end_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> list[str]:
        return [sys.executable, "-c", "import sys; sys.exit('no such model')"]

    monkeypatch.setattr(vllm, "server_command", broken)
    with (
        pytest.raises(vllm.ServerFailed, match="no such model"),
        vllm.vllm_server("m", None, VllmServer(startup_timeout_s=10**6), served_model="m", log=tmp_path / "log"),
    ):
        pass


def test_a_server_that_never_gets_ready_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "pids"
    monkeypatch.setattr(vllm, "server_command", lambda *_, **__: [sys.executable, "-c", FAMILY, str(note)])
    with (
        pytest.raises(vllm.ServerFailed, match="not ready after 1 s"),
        vllm.vllm_server("m", None, VllmServer(startup_timeout_s=1), served_model="m", log=tmp_path / "log"),
    ):
        pass
    assert not note.exists() or not any(alive(pid) for pid in family_pids(note))


def test_no_default_of_the_model_s_own_can_slip_in() -> None:
    command = vllm.server_command("m", "abc", VllmServer(kv_cache_gib=1), served_model="n", port=1)
    assert command[command.index("--generation-config") + 1] == "vllm"
    assert command[command.index("--revision") + 1] == "abc"
    assert "--gpu-memory-utilization" not in command
    environment = vllm.server_environment(VllmServer(kv_cache_gib=3))
    assert environment["VLLM_CPU_NUM_OF_RESERVED_CPU"] == "0"
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "3"


@pytest.mark.parametrize(
    ("wanted", "flags", "cpu", "expected"),
    [
        ("auto", "flags\t\t: fpu avx2 fma", True, "float32"),
        ("auto", "flags\t\t: fpu avx512f avx512_bf16", True, "auto"),
        ("auto", "Features\t: fp asimd bf16", True, "auto"),
        ("auto", "Features\t: fp asimd", True, "float32"),
        ("auto", "flags\t\t: fpu avx2", False, "auto"),
        ("bfloat16", "flags\t\t: fpu avx2", True, "bfloat16"),
    ],
)
def test_a_cpu_without_instructions_for_bfloat16_is_not_made_to_emulate_it(
    wanted: str, flags: str, cpu: bool, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\n\nprocessor\t: 1\n{flags}\n")
    monkeypatch.setattr(vllm, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(vllm, "on_cpu", lambda: cpu)
    command = vllm.server_command("m", None, VllmServer(dtype=wanted), served_model="n", port=1)
    assert command[command.index("--dtype") + 1] == expected
