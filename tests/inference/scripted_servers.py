"""Scripted completions servers, and requests to them, for the tests of the HTTP client."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from warrior_dagster.config.serving import Sampling, VllmServer
from warrior_dagster.inference.http_client import CompletionsClient
from warrior_dagster.inference.request import Completion, Request, ServedModel, params
from warrior_dagster.inference.servers.vllm import free_port

MODEL = ServedModel("org/m@main", "org/m", None, VllmServer())
Handler = Callable[[dict[str, Any], int], Awaitable[web.Response] | web.Response]


def requests(count: int, samples: int = 1) -> list[Request]:
    return [Request(MODEL, f"p{n}", params(Sampling()), tuple(range(samples))) for n in range(count)]


async def stream_of(sent: Iterable[Request]) -> AsyncIterator[Request]:
    for request in sent:
        yield request


def good(body: dict[str, Any], _: int = 0) -> web.Response:
    choices = [{"text": f"{body['prompt']}#{n}", "finish_reason": "stop"} for n in range(body["n"])]
    return web.json_response({"choices": choices, "usage": {"prompt_tokens": 7, "completion_tokens": 10}})


@contextmanager
def in_a_thread(start: Coroutine[Any, Any, int]) -> Iterator[int]:
    """The port that `start` listens on, served by a thread for as long as the context lasts."""
    loop = asyncio.new_event_loop()
    port = loop.run_until_complete(start)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield port
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def serve(
    handlers: list[Handler], sent: Iterable[Request], **settings: Any
) -> tuple[list[Completion], list[Counter[str]]]:
    """Send requests to scripted servers, one for each handler, which gets the body and how often its prompt came before."""
    seen = [Counter[str]() for _ in handlers]
    urls, runners = [], []
    for handler, counter in zip(handlers, seen, strict=True):

        async def answer(request: web.Request, handler: Handler = handler, counter: Counter[str] = counter) -> web.Response:
            body = await request.json()
            prompt = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
            counter[prompt] += 1
            response = handler(body, counter[prompt] - 1)
            return response if isinstance(response, web.Response) else await response

        app = web.Application()
        app.router.add_post("/v1/chat/completions" if settings.get("chat") else "/v1/completions", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        urls.append(f"http://127.0.0.1:{port}")
        runners.append(runner)
    engine = CompletionsClient(urls, "m", **({"max_in_flight": 8, "attempts": 3, "timeout_s": 5} | settings))
    try:
        done = [c async for _, completions in engine.stream(stream_of(sent)) for c in completions]
    finally:
        for runner in runners:
            await runner.cleanup()
    return done, seen


def answered(status: int, body: Any, **headers: str) -> web.Response:
    return web.Response(status=status, text=body if isinstance(body, str) else json.dumps(body), headers=headers)


def by_sample(done: list[Completion]) -> dict[str, str]:
    return {completion.key: completion.error or completion.text for completion in done}
