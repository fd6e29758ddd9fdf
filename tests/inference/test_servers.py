"""vLLM's command line and its start; tests/test_end_to_end.py runs the real vLLM."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.processes.family import FAMILY, alive, family_pids
from warrior_dagster.config.serving import ChatService, Endpoint, Engine, VllmServer
from warrior_dagster.inference.request import ServedModel
from warrior_dagster.inference.servers import SERVERS, vllm
from warrior_dagster.inference.servers.base import Connection, ServerFailed


@contextmanager
def connected(settings: VllmServer, folder: Path) -> Iterator[Connection]:
    with (
        (folder / "lock").open("w") as lock,
        vllm.connect(ServedModel("m", "m", None, settings), settings, folder, lock.fileno()) as c,
    ):
        yield c


def test_the_error_of_a_server_that_ends_at_once_has_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> list[str]:
        return [sys.executable, "-c", "import sys; sys.exit('no such model')"]

    monkeypatch.setattr(vllm, "server_command", broken)
    with (
        pytest.raises(ServerFailed, match="no such model"),
        connected(VllmServer(startup_timeout_s=10**6), tmp_path),
    ):
        pass


def test_a_server_that_is_killed_says_that_memory_was_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    monkeypatch.setattr(vllm, "server_command", lambda *_, **__: killed)
    with (
        pytest.raises(ServerFailed, match=r"status 137 \(killed, as Linux does when memory is full\)"),
        connected(VllmServer(startup_timeout_s=10**6), tmp_path),
    ):
        pass


def test_a_server_that_never_becomes_ready_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "pids"
    monkeypatch.setattr(vllm, "server_command", lambda *_, **__: [sys.executable, "-c", FAMILY, str(note)])
    with (
        pytest.raises(ServerFailed, match="not ready after 1 s"),
        connected(VllmServer(startup_timeout_s=1), tmp_path),
    ):
        pass
    assert not note.exists() or not any(alive(pid) for pid in family_pids(note))


def test_the_model_s_own_generation_defaults_are_not_used() -> None:
    command = vllm.server_command("m", "abc", VllmServer(kv_cache_gib=1), served_model="n", port=1)
    assert command[command.index("--generation-config") + 1] == "vllm"
    assert command[command.index("--revision") + 1] == "abc"
    assert "--gpu-memory-utilization" not in command
    environment = vllm.server_environment("m", VllmServer(kv_cache_gib=3))
    assert environment["VLLM_CPU_NUM_OF_RESERVED_CPU"] == "0"
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "3"


def test_on_a_cpu_a_server_keeps_its_memory_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in vllm.KEEPING_MEMORY:
        monkeypatch.delenv(name, raising=False)
    for on_cpu in (True, False):
        monkeypatch.setattr(vllm, "on_cpu", lambda on_cpu=on_cpu: on_cpu)
        assert ("MALLOC_MMAP_MAX_" in vllm.server_environment("/models/own", VllmServer())) is on_cpu
    monkeypatch.setattr(vllm, "on_cpu", lambda: True)
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "7")
    assert vllm.server_environment("/models/own", VllmServer())["MALLOC_MMAP_MAX_"] == "7"


def test_a_server_tries_no_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for reason, offline in (("it cannot be reached", True), ("", False)):
        monkeypatch.setattr("warrior_dagster.config.hub.unreachable", lambda reason=reason: reason)
        assert ("HF_HUB_OFFLINE" in vllm.server_environment("org/m", VllmServer())) is offline
        assert "HF_HUB_OFFLINE" not in vllm.server_environment("/models/own", VllmServer())


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
def test_a_cpu_without_bfloat16_instructions_uses_float32(
    wanted: str, flags: str, cpu: bool, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\n\nprocessor\t: 1\n{flags}\n")
    monkeypatch.setattr(vllm, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(vllm, "on_cpu", lambda: cpu)
    command = vllm.server_command("m", None, VllmServer(dtype=wanted), served_model="n", port=1)
    assert command[command.index("--dtype") + 1] == expected


def test_every_kind_of_settings_has_a_server_module() -> None:
    kinds = get_args(Engine.model_fields["serve"].annotation)
    assert {get_args(settings.model_fields["kind"].annotation)[0] for settings in kinds} == set(SERVERS)


def test_models_of_this_machine_share_one_lock_and_endpoints_have_one_each() -> None:
    endpoint = Endpoint(kind="endpoint", urls=("http://127.0.0.1:1",))
    own = {SERVERS["vllm"].lock_name(ServedModel(name, name, None, VllmServer())) for name in "ab"}
    remote = {SERVERS["endpoint"].lock_name(ServedModel(name, name, None, endpoint)) for name in "ab"}
    assert own == {"engine.lock"}
    assert len(remote) == 2


def test_an_endpoint_s_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("THE_KEY", "secret")
    settings = Endpoint(kind="endpoint", urls=("http://127.0.0.1:1",), api_key_env="THE_KEY")
    with SERVERS["endpoint"].connect(ServedModel("m@main", "m", None, settings), settings, tmp_path, 0) as connection:
        assert connection[:3] == (("http://127.0.0.1:1",), "m", "secret")


@pytest.mark.parametrize("kind", ["endpoint", "chat"])
@pytest.mark.parametrize("value", [None, " "])
def test_a_missing_key_is_a_failure_of_that_server_alone(
    kind: str, value: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("THE_KEY", raising=False)
    if value:
        monkeypatch.setenv("THE_KEY", value)
    values: dict[str, Any] = {"kind": kind, "urls": ("http://127.0.0.1:1",), "api_key_env": "THE_KEY"}
    settings = Endpoint(**values) if kind == "endpoint" else ChatService(**values)
    with (
        pytest.raises(ServerFailed, match="expected an API key in the environment variable THE_KEY"),
        SERVERS[kind].connect(ServedModel("m@main", "m", None, settings), settings, tmp_path, 0),
    ):
        pass
