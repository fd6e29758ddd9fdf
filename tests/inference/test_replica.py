"""Proxies: those of the environment are used, and never for this machine."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from tests.inference.scripted_servers import good, requests
from warrior_dagster.inference.failures import Unreachable
from warrior_dagster.inference.http_client import CompletionsClient
from warrior_dagster.inference.request import Completion
from warrior_dagster.inference.servers.vllm import free_port


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """For the addresses that a proxy is asked for; the environment names no other proxy."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    asked: list[str] = []
    return asked


async def through_proxy(asked: list[str], monkeypatch: pytest.MonkeyPatch, url: str, **environment: str) -> list[Completion]:
    async def proxy(request: web.BaseRequest) -> web.Response:
        asked.append(str(request.url))
        return good(await request.json())

    port = free_port()
    runner = web.ServerRunner(web.Server(proxy))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    for name, value in {"http_proxy": f"http://127.0.0.1:{port}", **environment}.items():
        monkeypatch.setenv(name, value)
    client = CompletionsClient([url], "m", max_in_flight=2, attempts=1, timeout_s=5, patience_s=0.1)

    async def some() -> Any:
        for request in requests(2):
            yield request

    try:
        return [c async for _, completions in client.stream(some()) for c in completions]
    finally:
        await runner.cleanup()


def test_the_environment_s_proxy_is_used(proxied: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    done = asyncio.run(through_proxy(proxied, monkeypatch, "http://models.invalid"))
    assert [c.error for c in done] == [None, None]
    assert set(proxied) == {"http://models.invalid/v1/completions"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9", "http://0.0.0.0:9"])
def test_a_server_on_this_machine_is_reached_without_the_proxy(
    url: str, proxied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unreachable, match="no connection"):
        asyncio.run(through_proxy(proxied, monkeypatch, url))
    assert proxied == []


def test_hosts_in_no_proxy_are_reached_without_the_proxy(proxied: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreachable, match="no connection"):
        asyncio.run(through_proxy(proxied, monkeypatch, "http://models.invalid", no_proxy=".invalid"))
    assert proxied == []


def test_a_proxy_of_another_kind_is_named_as_the_reason(proxied: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        Unreachable, match=r"expected an http:// proxy for http://models\.invalid; the environment names a socks5 proxy"
    ):
        asyncio.run(through_proxy(proxied, monkeypatch, "http://models.invalid", http_proxy="socks5://127.0.0.1:1"))
