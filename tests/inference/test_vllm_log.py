"""Logs in the shape of vLLM 0.32: every process has a prefix, and the last exceptions only refer to the first one."""

from pathlib import Path

import pytest

from warrior_dagster.inference.servers.vllm_log import explanation

WORKER, ENGINE = (
    "(VllmWorker-0 pid=42) ERROR 11-27 22:12:41 [multiproc_executor.py:953]",
    "(EngineCore_DP0 pid=41) ERROR 11-27 22:12:45 [core.py:1510]",
)
FRAMES = [f'  File "/lib/vllm/v1/executor/step_{n}.py", line {n}, in run\n    return step_{n}()' for n in range(40)]
STARTS = """\
(APIServer pid=40) INFO 11-27 22:12:15 [model.py:733] Resolved architecture: LlamaForCausalLM
(EngineCore_DP0 pid=41) INFO 11-27 22:12:24 [core.py:133] Initializing a V1 LLM engine (v0.32.0)
(APIServer pid=40) WARNING 11-27 22:12:15 [cpu.py:224] Triton is not installed.
"""


def traceback(prefix: str, cause: str) -> str:
    lines = "\n".join(["Traceback (most recent call last):", *FRAMES, cause]).splitlines()
    return "".join(f"{prefix} {line}\n" if prefix else f"{line}\n" for line in lines)


REFERRING = (
    f"{ENGINE} EngineCore failed to start.\n"
    + traceback(ENGINE, "Exception: WorkerProc initialization failed. See stack trace for root cause.")
    + traceback("", "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}")
)
OUT_OF_MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB."
NO_MODULE = "ModuleNotFoundError: No module named 'flash_attn'"


def interleaved(one: str, other: str) -> str:
    pairs = zip(one.splitlines(), other.splitlines(), strict=False)
    return "".join(f"{a}\n{b}\n" for a, b in pairs)


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (STARTS + f"{WORKER} WorkerProc failed to start.\n" + traceback(WORKER, OUT_OF_MEMORY) + REFERRING, OUT_OF_MEMORY),
        (STARTS + traceback(WORKER, NO_MODULE) + STARTS + REFERRING, NO_MODULE),
        (STARTS + REFERRING + traceback(WORKER, OUT_OF_MEMORY) + REFERRING, OUT_OF_MEMORY),
        (STARTS + interleaved(traceback(WORKER, OUT_OF_MEMORY), traceback(ENGINE, NO_MODULE)) + REFERRING, OUT_OF_MEMORY),
        (
            traceback("", "pydantic_core.ValidationError: 1 validation error for ModelConfig\n  Value error, too long")
            + REFERRING,
            "  Value error, too long",
        ),
        (STARTS + f"{ENGINE} NCCL error: unhandled system error\n" + REFERRING, "NCCL error: unhandled system error"),
    ],
    ids=[
        "out of memory",
        "no module",
        "referred to before",
        "interleaved",
        "a message of two lines",
        "no traceback of its own",
    ],
)
def test_the_first_error_of_any_process_is_shown_besides_the_end(log: str, cause: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(log)
    shown = explanation(tmp_path / "log", 0)
    end = log.splitlines()[-25:]
    assert cause not in "\n".join(end)
    assert cause in shown
    assert "\n".join(end) in shown
    assert shown.index(cause) < shown.index("See root cause above")
    assert shown.endswith(f"(the whole log: {tmp_path / 'log'})")
    assert len(shown.splitlines()) < 50


def test_an_error_at_the_end_is_shown_once(tmp_path: Path) -> None:
    usage = "usage: api_server.py [-h]\n" + " [--port PORT]\n" * 300
    (tmp_path / "log").write_text(usage + "api_server.py: error: unrecognized arguments: --bad\n")
    shown = explanation(tmp_path / "log", 0)
    assert shown.count("error: unrecognized arguments: --bad") == 1
    assert len(shown.splitlines()) == 26


def test_the_errors_of_an_earlier_server_in_the_same_log_are_not_shown(tmp_path: Path) -> None:
    before = traceback(WORKER, OUT_OF_MEMORY) + REFERRING
    (tmp_path / "log").write_text(before + STARTS + traceback(WORKER, NO_MODULE))
    shown = explanation(tmp_path / "log", len(before.encode()))
    assert NO_MODULE in shown
    assert OUT_OF_MEMORY not in shown


@pytest.mark.parametrize("log", [b"", b"\xff\xfe\n\n", b"Traceback (most recent call last):\n", b"killed"])
def test_a_log_without_an_error_is_shown_as_it_ends(log: bytes, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(log)
    assert explanation(tmp_path / "log", 0) == "\n".join(
        [*log.decode("utf-8", "replace").splitlines(), f"(the whole log: {tmp_path / 'log'})"]
    )


def test_what_a_server_writes_is_not_obeyed_by_whoever_shows_it(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_text("ValueError: \x1b[31m\u202e\n", "utf-8")
    assert "ValueError: \\u001b[31m\\u202e" in explanation(log, 0)
