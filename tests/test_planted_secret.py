"""The API key of a service that repeats it in every way is in nothing that runs write: not in one file, not in their output."""

import asyncio
import gzip
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lance
import polars as pl
import pytest

from tests.conftest import small_settings
from tests.inference.scripted_servers import in_a_thread
from tests.test_chat_arena import said

FIRST, LAST = "planted-S", "ECRET-end"
KEY = f'{FIRST}"/{LAST}'  # half of it is a leak too, and its middle is escaped in JSON, in Python and in URLs
WORDS = "the planted words"
ESCAPED = "".join(f"\\u{ord(c):04x}" for c in KEY)


def http(body: str | bytes, status: str = "400 Bad Request", *headers: str) -> bytes:
    content = body.encode() if isinstance(body, str) else body
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + content


def error(words: Any, status: str = "400 Bad Request") -> bytes:
    return http(json.dumps({"error": {"message": words, "code": KEY}}), status)


def chat(message: dict[str, Any], finish_reason: str = "stop", tokens: Any = 5) -> bytes:
    choice = {"message": message, "finish_reason": finish_reason}
    return http(json.dumps({"choices": [choice], "usage": {"prompt_tokens": tokens, "completion_tokens": 5}}), "200 OK")


HOSTILE = {
    "message": error(f"{WORDS}: {KEY} is no key"),
    "beginning": error(f"{WORDS}: {KEY[:-3]}***"),
    "escaped": http(f'{{"error": {{"message": "{ESCAPED}"}}}}'),
    "details": http(json.dumps({"detail": [{"loc": ["authorization"], "input": f"Bearer {KEY}"}]}), "422 Unprocessable"),
    "text": http(f"{WORDS}: Authorization: Bearer {KEY}"),
    "cut by length": error("x" * 990 + KEY),
    "many": error(KEY * 200),
    "too many": http(KEY * 10_000, "500 Internal Server Error"),
    "compressed": http(gzip.compress(KEY.encode()), "400 Bad Request", "Content-Encoding: gzip"),
    "headers": http("", "400 Bad Request", f"X-Authorization: {KEY}", f"Retry-After: {KEY}", f"x-ratelimit-reset: {KEY}"),
    "status line": http("", f"400 {KEY}"),
    "broken status line": http("", f"4x0 {KEY}"),
    "broken header": http("", "400 Bad Request", f"X: {KEY}\0{KEY}"),
    "broken chunk": f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n".encode(),
    "half an answer": f"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{KEY}".encode(),
    "malformed": http(f'{{"choices": [{{"message": {{"content": "{KEY}', "200 OK"),
    "error inside": error(f"{WORDS}: {KEY}", "200 OK"),
    "no finish reason": chat({"content": "x"}, "x" * 45 + KEY),
    "no number": chat({"content": "x"}, tokens="x" * 80 + KEY),
    "refusal": chat({"refusal": f"{WORDS}: {KEY}"}),
    "completion": chat({"content": f"The key is {KEY}."}),
    "parts": chat({"content": [{"type": "text", "text": FIRST}, {"type": "text", "text": KEY[len(FIRST) :]}]}),
    "reasoning": chat({"content": "x", "reasoning": KEY}),
}


class Service:
    """Answers two requests of three as HOSTILE has it, and the others rightly; all by `answer`, if there is one."""

    def __init__(self) -> None:
        self.answer: bytes | None = None
        self.turns: dict[str, int] = {}
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:  # an idle connection
            return writer.close()
        lengths = [line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length:")]
        body = json.loads(await reader.readexactly(int(lengths[0])))
        writer.write(self.reply(body) if "messages" in body else completions(body))
        await writer.drain()
        writer.close()

    def reply(self, body: dict[str, Any]) -> bytes:
        if self.answer:
            return self.answer
        turn = self.turns.setdefault(json.dumps(body), len(self.turns))
        if turn % 3:
            return list(HOSTILE.values())[(turn - turn // 3 - 1) % len(HOSTILE)]
        return chat({"content": said(body["messages"][-1]["content"], body, 0)[0]})


def completions(body: dict[str, Any]) -> bytes:
    choices = [{"text": said(body["prompt"], body, one)[0], "finish_reason": "stop"} for one in range(body["n"])]
    return http(json.dumps({"choices": choices}), "200 OK")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    service = Service()

    async def start() -> int:
        server = await asyncio.start_server(service.handle, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    with in_a_thread(start()) as service.port:
        yield service


@pytest.fixture(scope="module")
def warrior(
    service: Service, bundled_model: Path, bundled_embedder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Runs a command on an arena whose service cyd has the key; returns the folder with all that was ever written."""
    folder = tmp_path_factory.mktemp("planted")
    values = small_settings(folder, bundled_model, bundled_embedder, ("ann", "bob", "cyd"))
    url = f"http://127.0.0.1:{service.port}"
    values["competitors"][2] |= {"model": "x", "serve": {"kind": "chat", "urls": [url], "api_key_env": "PLANTED_KEY"}}
    values["engine"] = {"serve": {"kind": "endpoint", "urls": [url]}, "attempts": 1}
    values["engine"] |= {"max_error_rate": 1, "max_abstention_rate": 1}
    values["difficulty"] = {"verdict": "reasoned", "keep": 1.0, "panel": 2}
    values["battles"] = {"verdict": "reasoned", "votes": "hard", "evidence": ["opinion", "execution"], "combine": "sum"}
    (folder / "arena.yaml").write_text(json.dumps(values))

    def run(command: str, answer: bytes | None = None) -> Path:
        service.answer = answer
        environment = {**os.environ, "PLANTED_KEY": KEY, "DAGSTER_HOME": str(folder / "dagster_home"), "TMPDIR": str(folder)}
        call = [sys.executable, "-c", "from warrior_dagster.cli import app; app()", command, "-c", "arena.yaml"]
        done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, check=False)
        (folder / f"{len(list(folder.glob('*.output')))}.output").write_bytes(done.stdout + done.stderr)
        return folder

    return run


def everything(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each file under a folder as it is, and tables and databases also decoded."""
    for path in folder.rglob("*"):
        if path.suffix == ".lance" and path.is_dir():
            yield path, str(lance.dataset(str(path)).to_table().to_pylist())
        if not path.is_file():
            continue
        yield path, path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet":
            yield path, str(pl.read_parquet(path).to_dicts())
        if path.suffix == ".db":
            with sqlite3.connect(path) as database:
                names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                yield path, str([database.execute(f"SELECT * FROM {name}").fetchall() for name in names])


def leaks(folder: Path) -> list[str]:
    """Where half of the key stands, and what stands before and after it."""
    found = [(path, text, text.find(half)) for path, text in everything(folder) for half in (FIRST, LAST)]
    return [f"{path.relative_to(folder)}: {text[max(0, at - 60) : at + 60]!r}" for path, text, at in found if at >= 0]


def test_a_key_that_a_service_repeats_in_every_way_is_in_nothing_that_a_run_writes(
    warrior: Callable[..., Path], service: Service
) -> None:
    folder = warrior("run")
    assert leaks(folder) == []
    assert len(service.turns) > 1.5 * len(HOSTILE)
    assert (folder / "exports" / "report.html").is_file()
    assert (folder / "exports" / "sft" / "train.parquet").is_file()
    told = {path.suffix for path, text in everything(folder) if WORDS in text}
    assert told >= {".lance"}, "the service's words are kept, and only the key is not"


@pytest.mark.long
def test_a_key_in_the_reason_why_a_service_cannot_be_used_is_in_nothing_that_a_run_writes(
    warrior: Callable[..., Path],
) -> None:
    elsewhere = f"Location: http://me:{KEY}@127.0.0.1:9/{KEY}?{KEY}#{KEY}"
    folder = warrior("retry", http(KEY, "307 Temporary Redirect", elsewhere))
    assert leaks(folder) == []
    assert "redirects to http://***@127.0.0.1:9/*** (HTTP 307)" in (folder / "1.output").read_text()
