"""Proxies: those of the environment are used, and never for this machine."""

import asyncio
import traceback
from base64 import b64encode
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
        if password := request.headers.get("Proxy-Authorization"):
            return web.Response(status=407, reason=f"Not with {password}", text=f"Not with {password}")
        return good(await request.json())

    port = free_port()
    runner = web.ServerRunner(web.Server(proxy))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    for name, value in {"http_proxy": "http://127.0.0.1:PORT", **environment}.items():
        monkeypatch.setenv(name, value.replace("PORT", str(port)))
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


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_password_of_a_proxy_is_in_no_error(scheme: str, proxied: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {f"{scheme}_proxy": "http://me:my-password@127.0.0.1:PORT"}
    with pytest.raises(Unreachable, match=r"denied access: HTTP 407: Not with Basic \*\*\*") as stopped:
        asyncio.run(through_proxy(proxied, monkeypatch, f"{scheme}://models.invalid", **environment))
    told = "".join(traceback.format_exception(stopped.value))
    assert "my-password" not in told
    assert b64encode(b"me:my-password").decode() not in told


@pytest.mark.parametrize("proxy", ["my-password@proxy:1", "me:my-password@proxy:1", "http://me:my-password@proxy:1:1"])
def test_a_proxy_that_cannot_be_used_is_not_quoted(proxy: str, proxied: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreachable, match="expected an http:// proxy") as stopped:
        asyncio.run(through_proxy(proxied, monkeypatch, "http://models.invalid", http_proxy=proxy))
    assert "my-password" not in "".join(traceback.format_exception(stopped.value))
