"""A hub that cannot be reached is found out with one attempt, and its cache is used instead."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import constants

from warrior_dagster.config import hub
from warrior_dagster.config.reference_sets import texts_of
from warrior_dagster.config.stages import ReferenceSet
from warrior_dagster.inference.tokenizer_files import load_tokenizer
from warrior_dagster.stages.curation.embedding import embed


@contextmanager
def answering(line: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A hub that answers each request with some bytes, or hangs up; yields its address and the requests."""
    asked: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline())
            self.wfile.write(line)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "SECONDS", 30.0)
    hub.asked.cache_clear()
    return monkeypatch


def test_a_hub_that_answers_can_be_used(online: pytest.MonkeyPatch) -> None:
    with answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as (address, asked):
        online.setattr(constants, "ENDPOINT", address)
        assert hub.unreachable() == ""
        assert hub.unreachable() == ""
    assert len(asked) == 1


def test_a_hub_that_fails_is_named_with_its_status(online: pytest.MonkeyPatch) -> None:
    with answering(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n") as (address, _):
        online.setattr(constants, "ENDPOINT", address)
        assert hub.unreachable() == f"{address} answers with status 503"


def test_a_hub_that_hangs_up_is_asked_once_whatever_is_read_from_it(online: pytest.MonkeyPatch) -> None:
    with answering(b"") as (address, asked):
        online.setattr(constants, "ENDPOINT", address)
        online.setattr(hub, "ASKED_AGAIN_AFTER", 10**9)
        with pytest.raises(FileNotFoundError, match=rf"^org/m is not in the hub's cache, and {address} cannot be reached \("):
            load_tokenizer("org/m", None)
        with pytest.raises(OSError, match=rf"^org/e is not in the hub's cache, and {address} cannot be reached \("):
            embed(["text"], model="org/e", revision=None)
        with pytest.raises(ValueError, match="reference set x: org/d"):
            texts_of(ReferenceSet(name="x", source="org/d"))
    assert len(asked) == 1
    assert constants.HF_HUB_OFFLINE is False


def test_the_hub_is_not_asked_where_it_must_not_be_used() -> None:
    assert hub.unreachable() == "HF_HUB_OFFLINE=1 is set, where 0 would use the hub"
