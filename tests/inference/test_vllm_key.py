"""Nobody but this process uses the vLLM that it started: shown with the real vLLM on the bundled model."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from warrior_dagster.config.serving import Sampling, VllmServer
from warrior_dagster.inference import request
from warrior_dagster.inference.http_client import CompletionsClient
from warrior_dagster.inference.request import Completion, ServedModel
from warrior_dagster.inference.servers import vllm
from warrior_dagster.inference.servers.base import Connection
from warrior_dagster.inference.servers.vllm_environment import is_needed

PLANTED = {"PLANTED_API_KEY": "planted-1", "AWS_SECRET_ACCESS_KEY": "planted-2", "HF_TOKEN": "planted-3", "NOTE": "planted-4"}
COMPLETION = json.dumps({"prompt": "def", "max_tokens": 2}).encode()


class Served(NamedTuple):
    model: ServedModel
    connection: Connection
    log: Path
    start: frozenset[int]  # processes that this one had before


def children(pid: int) -> Iterator[int]:
    """The processes that a process started, and theirs."""
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, listed.read_text().split()):
            yield child
            yield from children(child)


@pytest.fixture(scope="module")
def served(bundled_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder, before = tmp_path_factory.mktemp("server"), frozenset(children(os.getpid()))
    settings = VllmServer(max_model_len=256, kv_cache_gib=1, enforce_eager=True, extra_args=("--uvicorn-log-level", "trace"))
    model = ServedModel("local@x", str(bundled_model), None, settings)
    with pytest.MonkeyPatch.context() as patch, (folder / "lock").open("w") as lock:
        for name, value in PLANTED.items():
            patch.setenv(name, value)
        patch.delenv("VLLM_LOGGING_LEVEL", raising=False)  # TRL sets it when it is imported
        with vllm.connect(model, settings, folder, lock.fileno()) as connection:
            (log,) = folder.glob("*.log")
            yield Served(model, connection, log, before)


def status(served: Served, path: str, body: bytes | None = None, key: str | None = None) -> int:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    asked = Request(served.connection.urls[0] + path, body, headers)
    try:
        with build_opener(ProxyHandler({})).open(asked, timeout=60) as response:
            return int(response.status)
    except HTTPError as error:
        return error.code


def test_a_request_without_the_key_is_refused_on_every_path_but_the_health_check(served: Served) -> None:
    assert status(served, "/health") == 200
    for path in ("/v1/completions", "/v1/chat/completions", "/invocations", "/tokenize"):
        assert status(served, path, COMPLETION) == 401, path
        assert status(served, path, COMPLETION, key="wrong") == 401, path
    for path in ("/v1/models", "/metrics", "/version", "/docs", "/health/"):
        assert status(served, path) == 401, path


def test_with_the_key_the_same_paths_answer(served: Served) -> None:
    key = served.connection.api_key
    assert status(served, "/v1/completions", COMPLETION, key) == 200
    assert status(served, "/v1/models", key=key) == status(served, "/metrics", key=key) == 200


def test_the_product_s_own_requests_have_the_key(served: Served) -> None:
    client = CompletionsClient(**served.connection._asdict(), max_in_flight=2, attempts=1, timeout_s=60)

    async def answers() -> list[Completion]:
        async def one() -> AsyncIterator[request.Request]:
            yield request.Request(served.model, "def add(", request.params(Sampling(max_tokens=4)))

        return [completion async for _, completions in client.stream(one()) for completion in completions]

    (completion,) = asyncio.run(answers())
    assert completion.error is None
    assert completion.completion_tokens == 4


def test_its_processes_have_no_planted_secret_and_no_variable_that_they_do_not_need(served: Served) -> None:
    key, seen = served.connection.api_key or "", 0
    given = {line.partition("=")[0] for line in Path("/proc/self/environ").read_text().split("\0")}
    for pid in set(children(os.getpid())) - served.start:
        content = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"planted-" not in content
        names = {line.partition("=")[0] for line in content.decode().split("\0")}
        if f"VLLM_API_KEY={key}".encode() in content:  # the others replaced their environment by a title
            seen += 1
            # vLLM sets more for its own processes, and when it is imported here also in os.environ.
            assert not {name for name in names & {*given, *PLANTED} if name and not is_needed(name)}
    assert seen >= 2  # the guard and the server


def test_the_key_is_in_no_command_line_and_in_no_log(served: Served) -> None:
    key = served.connection.api_key or ""
    assert len(key) >= 43
    for pid in children(os.getpid()):
        assert key.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert served.model.model in served.log.read_text()
    assert key not in served.log.read_text()


def test_it_listens_on_loopback_alone(served: Served) -> None:
    port = f"{int(served.connection.urls[0].rpartition(':')[2]):04X}"
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    assert {row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port}")} == {f"0100007F:{port}"}
