"""The HTTP client of one or more OpenAI-compatible servers that serve the same model: completions, or chat alone.

A rejected request becomes an error completion. A request to a busy server (429, 503) is paused, and others are sent meanwhile;
where a service states its limits, requests wait before it refuses them. If no server can be reached for a while, or one denies
access or has no quota left, the stage stops: no further request would succeed.
"""

import asyncio
import json
import math
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import aiohttp

from warrior_dagster.config.messages import on_one_line
from warrior_dagster.inference import chat_service
from warrior_dagster.inference.admission_queue import AdmissionQueue, QueuedRequest
from warrior_dagster.inference.failures import (
    ACCESS_DENIED,
    Pause,
    Refused,
    RefusedParameter,
    Transient,
    Unreachable,
    WrongAnswer,
    error_inside,
    failure,
)
from warrior_dagster.inference.known_secrets import repeats, spellings, without
from warrior_dagster.inference.replica import Replica, least_loaded, replica
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.inference.responses import json_object, longest_answer, parse_response, read_at_most, read_error

Answered = tuple[Request, list[Completion]]
NO_CONNECTION = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
BROKEN_ANSWER = (aiohttp.ClientResponseError, aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)
BENCH_SECONDS = 5.0  # a server that cannot be reached is avoided for this long
PATIENCE_SECONDS = 300.0  # how long all servers may be unreachable before the stage stops: enough time for a restart
LIMITED_SECONDS = 1.0  # between looks at a rate limit that holds a request back: answers may change it
CHARS_PER_TOKEN = 4  # of code and English, approximately


class Outcome(NamedTuple):
    """What came of a try: completions, and what has to be sent again after a pause in seconds."""

    completions: list[Completion]
    again: Sequence[QueuedRequest] = ()
    pause: float = 0.0


class CompletionsClient:
    """One model at one or more base URLs."""

    def __init__(
        self,
        urls: Sequence[str],
        served_model: str,
        *,
        max_in_flight: int,
        attempts: int,
        timeout_s: float,
        patience_s: float = PATIENCE_SECONDS,
        api_key: str | None = None,
        chat: bool = False,
    ) -> None:
        """`chat`: the servers have only /v1/chat/completions, and prompts are messages (see chat_service)."""
        path = "/v1/chat/completions" if chat else "/v1/completions"
        self._replicas = [replica(url, path) for url in dict.fromkeys(url.rstrip("/") for url in urls)]
        self._served_model, self._chat = served_model, chat
        self._secrets = spellings(api_key, (one.proxy for one in self._replicas))
        self._max_tokens_name = "max_tokens"
        self._limit = max_in_flight * len(self._replicas)
        self._attempts, self._timeout_s, self._patience_s = attempts, timeout_s, patience_s
        self._last_contact = 0.0
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        self._rest = cache(self._rest_of_body)

    async def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[Answered]:
        """Send all requests; yields as they finish, a request in parts if a server gives fewer samples than were requested.

        Raises Unreachable if access is denied, the quota is exhausted, or there is no contact for `patience_s`.
        """
        finished: asyncio.Queue[Answered | Exception | None] = asyncio.Queue()
        queue = AdmissionQueue(requests, self._limit)
        self._last_contact = time.monotonic()

        async def work(session: aiohttp.ClientSession) -> None:
            try:
                while queued := await queue.take():
                    outcome = await self._try(session, queued)
                    queue.release(queued, outcome.again, outcome.pause)
                    if outcome.completions:
                        finished.put_nowait((queued.request, outcome.completions))
                finished.put_nowait(None)
            except Unreachable as error:  # a new one, because Dagster records the causes of an error too
                finished.put_nowait(Unreachable(self._shown(error)))
            except Exception as error:
                finished.put_nowait(error)

        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=10),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        ) as session:
            workers = [asyncio.create_task(work(session)) for _ in range(self._limit)]
            try:
                working = len(workers)
                while working:
                    item = await finished.get()
                    if isinstance(item, Exception):
                        raise item
                    if item is None:
                        working -= 1
                    else:
                        yield item
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _try(self, session: aiohttp.ClientSession, queued: QueuedRequest) -> Outcome:
        """Send a request once, unless a rate limit holds it back."""
        request = queued.request
        tokens = len(request.prompt) // CHARS_PER_TOKEN + len(request.samples) * max_tokens(request.params)
        server, wait = least_loaded(self._replicas, tokens)
        if wait > 0:
            return Outcome([], [queued], min(wait, LIMITED_SECONDS))
        if server.single_samples and len(request.samples) > 1:
            return Outcome([], queued.singly())
        sent_as = self._max_tokens_name
        try:
            return self._received(queued, server, await self._post(session, server, request, tokens))
        except Pause as pause:
            queued.waits_since = min(queued.waits_since, time.monotonic())
            if pause.unreachable or time.monotonic() - queued.waits_since < self._timeout_s:
                return Outcome([], [queued], pause.seconds)
            error: Exception = Transient(f"busy for {self._timeout_s:.0f} s: {pause}")
        except RefusedParameter as refused:
            if again := self._otherwise(queued, server, refused.name, sent_as):
                return Outcome([], again)
            error = Refused(str(refused))
        except (Refused, Transient, aiohttp.ClientError, TimeoutError, RecursionError) as failed:  # the last: lists in lists
            error = failed
        return self._failed(queued, error)

    def _received(self, queued: QueuedRequest, server: Replica, response: dict[str, Any]) -> Outcome:
        """The completions of a response; samples that a server left out, because it ignores `n`, are sent singly."""
        request, choices = queued.request, response.get("choices")
        came = len(choices) if isinstance(choices, list) else 0
        if not 0 < came < len(request.samples):
            return Outcome(parse_response(request, response, queued.tries + 1))
        completions = parse_response(replace(request, samples=request.samples[:came]), response, queued.tries + 1)
        server.single_samples = True
        return Outcome(completions, queued.singly(came))

    def _otherwise(self, queued: QueuedRequest, server: Replica, refused: str, sent_as: str) -> list[QueuedRequest]:
        """A request without the parameter that a server refused, in as many as it takes; none if there is no other way.

        `sent_as` is the name under which `max_tokens` was sent.
        """
        if refused == "n" and len(queued.request.samples) > 1:
            server.single_samples = True
            return queued.singly()
        if self._chat and refused == sent_as == "max_tokens":  # /v1/completions knows no other name, and would ignore it
            self._max_tokens_name = "max_completion_tokens"
            self._rest.cache_clear()
            return [queued]
        return []

    def _failed(self, queued: QueuedRequest, error: Exception) -> Outcome:
        """Another try after a pause, or the error as the request's completions."""
        queued.tries += 1
        queued.waits_since = math.inf
        attempts = min(self._attempts, 2) if isinstance(error, WrongAnswer) else self._attempts
        if queued.tries < attempts and not isinstance(error, Refused):
            # Doubled each time, with jitter.
            return Outcome([], [queued], random.uniform(0.5, 1.0) * min(0.2 * 2.0**queued.tries, 30.0))
        request, reason = queued.request, f"{type(error).__name__}: {self._shown(error)}"
        pairs = zip(request.keys(), request.samples, strict=True)
        return Outcome([Completion(key, sample, error=reason, attempts=queued.tries) for key, sample in pairs])

    def _shown(self, error: Exception) -> str:
        """An error's text without secrets. Nothing else that a server said leaves the client, but completions."""
        return on_one_line(without(self._secrets, str(error)))

    def _body(self, request: Request) -> bytes:
        """The request as JSON. What many requests share is rendered once."""
        samples, rest = len(request.samples), self._rest(request.params, request.frame_stops)
        if self._chat:  # not all services know `n`
            number = f'"n":{samples},' if samples > 1 else ""
            return f'{{"messages":{request.prompt},{number}{rest}'.encode()
        return f'{{"prompt":{json.dumps(request.prompt)},"n":{samples},{rest}'.encode()

    def _rest_of_body(self, params: str, frame_stops: tuple[int, ...]) -> str:
        values, own = json.loads(params), {} if self._chat else {"add_special_tokens": False}
        if stops := sorted({*values.get("stop_token_ids", ()), *frame_stops}):
            values["stop_token_ids"] = stops
        named = {self._max_tokens_name if name == "max_tokens" else name: value for name, value in values.items()}
        return json.dumps({"model": self._served_model, **own, **named})[1:]

    async def _post(self, session: aiohttp.ClientSession, server: Replica, request: Request, tokens: int) -> dict[str, Any]:
        """The body of a response with completions; `tokens` are in flight until then.

        Raises Refused, RefusedParameter, Transient, Pause or Unreachable.
        """
        server.limits.requests += 1
        server.limits.tokens += tokens
        try:
            async with session.post(
                server.address, data=self._body(request), proxy=server.proxy, allow_redirects=False
            ) as response:
                self._last_contact = time.monotonic()
                server.limits.note(response.headers)
                if response.status != 200:
                    raise failure(server.url, response.status, response.headers, await read_error(response))
                most = longest_answer(len(request.samples) * max_tokens(request.params))
                content = await read_at_most(response, most)
                if len(content) > most:
                    raise Refused(f"the answer is longer than {most} bytes, the most for the tokens that were asked for")
                body = json_object(content)
                if status := error_inside(body):
                    raise failure(server.url, status, response.headers, content)
                completions = chat_service.as_completions(body) if self._chat else body
                if repeats(self._secrets, [completions.get("choices"), completions.get("usage")]):
                    raise WrongAnswer("the answer has the API key or the password of a proxy in it")
                return completions
        except aiohttp.ClientHttpProxyError as error:
            denied, reason = error.status in ACCESS_DENIED, f"HTTP {error.status}: {error.message}"
            proxy = f"the proxy for {server.url}"
            raise (Unreachable(f"{proxy} denied access: {reason}") if denied else Transient(f"{proxy}: {reason}")) from None
        except BROKEN_ANSWER as error:  # their texts quote a part of what came, which may begin or end within a secret
            raise Transient(f"the answer is not complete HTTP: {type(error).__name__}") from None
        except NO_CONNECTION as error:
            server.benched_until = time.monotonic() + BENCH_SECONDS
            if time.monotonic() - self._last_contact > self._patience_s:
                raise Unreachable(f"no connection to {', '.join(one.url for one in self._replicas)}: {error}") from error
            raise Pause(0.5, str(error), unreachable=True) from error
        finally:
            server.limits.requests -= 1
            server.limits.tokens -= tokens


@cache
def max_tokens(params: str) -> int:
    """The most tokens of one completion."""
    return int(json.loads(params).get("max_tokens", 0))
