"""What models run on, and by a rule of thumb how fast: known before anything is measured, and wrong by a factor.

A server with many requests in flight writes completions at about a tenth of a GPU's peak rate of arithmetic, with two
operations a parameter and token, and reads prompts four times as fast. For an 8B model in bfloat16 on a GH200, with as many
tokens in as out, that gives 4,800 tokens/s; NVIDIA publishes 7,200 (docs.nvidia.com/nim/llama-3-1-nemotron-safety-guard-8b).
Small models stay below it: Qwen2.5-Coder-0.5B wrote 4,100 to 6,000 tokens/s on an H100 under this project's own `warrior run`.

On a CPU the rates are measured: on two cores with AMX, SmolLM2-135M wrote 500 to 680 tokens/s with 32 requests in flight and
read 3,700 of one long prompt; Qwen2.5-Coder-0.5B wrote 184 to 296. On two cores without bfloat16 it wrote 60 to 90.
"""

import os
import shutil
import subprocess
from functools import cache
from typing import NamedTuple

from warrior_dagster.config.serving import Endpoint, VllmServer
from warrior_dagster.inference.servers.vllm import data_type, on_cpu

PEAK = {
    **{"B200": 2250e12, "GH200": 989e12, "H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12},
    **{"A10": 125e12, "RTX 4090": 165e12, "RTX 3090": 71e12, "V100": 125e12, "T4": 65e12},
}
"""Dense operations a second in 16 bits, of the makers' data sheets."""
ASSUMED = "A100"
"""The GPU of servers elsewhere, and of a machine that has none."""
SHARE_WRITING = 0.1
FASTEST = 6_000.0
"""The most tokens a second that one server writes."""
CORES = {"CPU cores": 5e10, "CPU cores in float32": 2.3e10}
"""Parameters times tokens that a core writes in a second."""
READING = 4.0
"""How many times faster a token of a prompt is read than one of a completion is written."""
ROUGH = 3.0
"""The factor by which what follows from these rules may be wrong, either way."""


class Hardware(NamedTuple):
    """What one server runs on."""

    name: str
    gpus: int
    """0: the CPU of this machine."""
    assumed: bool = False
    """Whether nobody said that it is this GPU."""

    def __str__(self) -> str:
        return f"{self.gpus or len(os.sched_getaffinity(0))} {self.name}{' (assumed)' if self.assumed else ''}"


def hardware_of(server: VllmServer | Endpoint) -> Hardware:
    """The hardware of one server of a model: that of this machine for vLLM, and an assumed GPU for an endpoint."""
    if isinstance(server, Endpoint):
        return Hardware(ASSUMED, server.gpus, assumed=True)
    if on_cpu() and server.tensor_parallel_size == 1:
        return Hardware("CPU cores in float32" if data_type(server.dtype) == "float32" else "CPU cores", 0)
    found = gpu_here()
    return Hardware(found or ASSUMED, server.tensor_parallel_size, assumed=not found)


def writes(hardware: Hardware, parameters: float) -> float:
    """The tokens of completions that one server of a model writes in a second, by the rule of thumb."""
    if not hardware.gpus:
        return CORES[hardware.name] * len(os.sched_getaffinity(0)) / parameters
    return min(FASTEST, SHARE_WRITING * PEAK[hardware.name] * hardware.gpus / (2 * parameters))


@cache
def gpu_here() -> str:
    """The name, of those in PEAK, of this machine's first GPU; "" without a GPU, or with one that is not in PEAK."""
    if not (program := shutil.which("nvidia-smi")):
        return ""
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return known_name(listed.partition("\n")[0])


def known_name(full: str) -> str:
    """The name in PEAK of a GPU such as `NVIDIA A100-SXM4-80GB`; "" if it is not there."""
    words = full.replace("-", " ").split()
    return next((name for name in PEAK if name in words or (" " in name and name in full)), "")
