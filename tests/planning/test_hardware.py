"""What a server runs on is found, or assumed and called so; the rule of thumb is near what was measured."""

import subprocess
from typing import Any

import pytest

from warrior_dagster.config.serving import Endpoint, VllmServer
from warrior_dagster.planning import hardware
from warrior_dagster.planning.hardware import PEAK, ROUGH, Hardware, hardware_of, known_name, writes


@pytest.mark.parametrize(
    ("listed", "name"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA GeForce GT 710", ""),
        ("", ""),
    ],
)
def test_gpus_are_known_by_the_names_that_their_driver_gives(listed: str, name: str) -> None:
    assert known_name(listed) == name


def driver(monkeypatch: pytest.MonkeyPatch, answers: Any) -> None:
    """Stands in for nvidia-smi."""
    hardware.gpu_here.cache_clear()
    monkeypatch.setattr("shutil.which", lambda _: "nvidia-smi")
    monkeypatch.setattr("subprocess.run", answers)


def test_vllm_runs_on_the_gpus_of_this_machine_or_on_its_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    driver(monkeypatch, lambda *_, **__: subprocess.CompletedProcess([], 0, "NVIDIA L4\nNVIDIA L4\n"))
    monkeypatch.setattr(hardware, "on_cpu", lambda: False)
    assert hardware_of(VllmServer(tensor_parallel_size=2)) == Hardware("L4", 2)
    monkeypatch.setattr(hardware, "on_cpu", lambda: True)
    assert hardware_of(VllmServer(dtype="bfloat16")) == Hardware("CPU cores", 0)
    assert hardware_of(VllmServer(dtype="float32")) == Hardware("CPU cores in float32", 0)
    hardware.gpu_here.cache_clear()


def test_gpus_that_nobody_named_are_assumed_and_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("nvidia-smi", 10)

    driver(monkeypatch, fails)
    monkeypatch.setattr(hardware, "on_cpu", lambda: False)
    here, elsewhere = VllmServer(tensor_parallel_size=4), Endpoint(kind="endpoint", urls=("http://a",), gpus=2)
    assert [str(hardware_of(one)) for one in (here, elsewhere)] == ["4 A100 (assumed)", "2 A100 (assumed)"]
    hardware.gpu_here.cache_clear()


@pytest.mark.parametrize(
    ("on", "parameters", "measured"),
    [
        (Hardware("H100", 1), 0.49e9, 4_100),  # the server's log of a run of this project, at first
        (Hardware("H100", 1), 0.49e9, 6_000),  # and at most
        (Hardware("CPU cores", 0), 135e6, 500),  # two cores with AMX, 32 requests in flight
        (Hardware("CPU cores", 0), 135e6, 680),
        (Hardware("CPU cores", 0), 0.49e9, 184),
        (Hardware("CPU cores", 0), 0.49e9, 296),
        (Hardware("CPU cores in float32", 0), 0.49e9, 60),  # two cores with AVX2, 48 requests in flight
        (Hardware("CPU cores in float32", 0), 0.49e9, 90),
    ],
)
def test_the_rule_of_thumb_is_within_its_factor_of_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, on: Hardware, parameters: float, measured: float
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    assert measured / ROUGH < writes(on, parameters) < measured * ROUGH


def test_larger_models_are_slower_and_more_gpus_are_faster() -> None:
    for name in PEAK:
        assert writes(Hardware(name, 1), 70e9) < writes(Hardware(name, 1), 7e9)
        assert writes(Hardware(name, 1), 700e9) < writes(Hardware(name, 8), 700e9)
