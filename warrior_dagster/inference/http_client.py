"""The HTTP client of one or more OpenAI-compatible completions servers that serve the same model.

A rejected request becomes an error completion. A request to a busy server (429, 503) is paused, and others are sent meanwhile.
If no server can be reached for a while, or one denies access, the stage stops: no further request would succeed.
"""

import asyncio
import json
import math
import random
import time
from collections.abc import AsyncIterator, Sequence
from functools import cache
from typing import Any

import aiohttp
from yarl import URL

from warrior_dagster.inference.admission_queue import AdmissionQueue, QueuedRequest
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.inference.validation import MOST_TOKENS, impossible, unanswered

Answered = tuple[Request, list[Completion]]
BUSY = (429, 503)
ACCESS_DENIED = (401, 403, 404)
NO_CONNECTION = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
BENCH_SECONDS = 5.0  # a server that cannot be reached is avoided for this long
PATIENCE_SECONDS = 300.0  # how long all servers may be unreachable before the stage stops: enough time for a restart


class Unreachable(RuntimeError):
    """No server can be used: every remaining request would fail."""


class Transient(RuntimeError):
    """A failure that may be temporary: the request is tried again."""


class Refused(RuntimeError):
    """The server rejected this request; trying again would not help."""


class Pause(RuntimeError):
    """The server is busy or unreachable: the request waits for `seconds`, and this does not count as a try."""

    def __init__(self, seconds: float, reason: str, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.seconds, self.unreachable = seconds, unreachable


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
    ) -> None:
        self._load = dict.fromkeys((url.rstrip("/") for url in urls), 0)
        self._addresses = {url: URL(f"{url}/v1/completions") for url in self._load}
        self._benched_until = dict.fromkeys(self._load, 0.0)
        self._served_model = served_model
        self._limit = max_in_flight * len(self._load)
        self._attempts, self._timeout_s, self._patience_s = attempts, timeout_s, patience_s
        self._last_contact = 0.0
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        self._rest = cache(self._rest_of_body)

    async def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[Answered]:
        """Send all requests; yields as they finish. Raises Unreachable if access is denied or no contact for `patience_s`."""
        finished: asyncio.Queue[Answered | Exception | None] = asyncio.Queue()
        queue = AdmissionQueue(requests, self._limit)
        self._last_contact = time.monotonic()

        async def work(session: aiohttp.ClientSession) -> None:
            try:
                while queued := await queue.take():
                    outcome = await self._try(session, queued)
                    if isinstance(outcome, float):
                        queue.release(queued, outcome)
                    else:
                        queue.release(queued)
                        finished.put_nowait((queued.request, outcome))
                finished.put_nowait(None)
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

    async def _try(self, session: aiohttp.ClientSession, queued: QueuedRequest) -> list[Completion] | float:
        """Send a request once: its completions, or the seconds to pause before the next try."""
        request = queued.request
        try:
            return parse_response(request, await self._post(session, self._body(request)), queued.tries + 1)
        except Pause as pause:
            queued.waits_since = min(queued.waits_since, time.monotonic())
            if pause.unreachable or time.monotonic() - queued.waits_since < self._timeout_s:
                return pause.seconds
            error: Exception = Transient(f"busy for {self._timeout_s:.0f} s: {pause}")
        except (Refused, Transient, aiohttp.ClientError, TimeoutError) as failure:
            error = failure
        queued.tries += 1
        queued.waits_since = math.inf
        if queued.tries < self._attempts and not isinstance(error, Refused):
            return random.uniform(0.5, 1.0) * min(0.2 * 2.0**queued.tries, 30.0)  # doubled each time, with jitter
        reason, pairs = f"{type(error).__name__}: {error}"[:500], zip(request.keys(), request.samples, strict=True)
        return [Completion(key, sample, error=reason, attempts=queued.tries) for key, sample in pairs]

    def _body(self, request: Request) -> bytes:
        """The request as JSON. What many requests share is rendered once."""
        prompt, samples = json.dumps(request.prompt), len(request.samples)
        return f'{{"prompt":{prompt},"n":{samples},{self._rest(request.params, request.frame_stops)}'.encode()

    def _rest_of_body(self, params: str, frame_stops: tuple[int, ...]) -> str:
        values = {"model": self._served_model, "add_special_tokens": False, **json.loads(params)}
        if stops := sorted({*values.get("stop_token_ids", ()), *frame_stops}):
            values["stop_token_ids"] = stops
        return json.dumps(values)[1:]

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> dict[str, Any]:
        """Post to the least loaded URL that is not benched. Raises Refused, Transient, Pause or Unreachable."""
        now = time.monotonic()
        url = min(self._load, key=lambda u: (self._benched_until[u] > now, self._load[u]))
        self._load[url] += 1
        try:
            async with session.post(self._addresses[url], data=body) as response:
                content = await response.read()
                self._last_contact = time.monotonic()
                if response.status == 200:
                    return json_object(content)
                reason = f"HTTP {response.status}: {content[:400].decode('utf-8', 'replace')}"
                if response.status in ACCESS_DENIED:
                    raise Unreachable(f"{url} denied access: {reason}")
                if response.status in BUSY:
                    raise Pause(retry_after(response.headers.get("Retry-After")), reason)
                raise Transient(reason) if response.status >= 500 or response.status == 408 else Refused(reason)
        except NO_CONNECTION as error:
            self._benched_until[url] = time.monotonic() + BENCH_SECONDS
            if time.monotonic() - self._last_contact > self._patience_s:
                raise Unreachable(f"no connection to {', '.join(self._load)}: {error}") from error
            raise Pause(0.5, str(error), unreachable=True) from error
        finally:
            self._load[url] -= 1


def json_object(content: bytes) -> dict[str, Any]:
    """A response's body. Raises Transient if it is not a JSON object."""
    try:
        body = json.loads(content)
    except ValueError as error:
        raise Transient(f"the answer is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise Transient(f"the answer is not a JSON object but {type(body).__name__}")
    return body


def retry_after(header: str | None) -> float:
    """Seconds to wait for a busy server: its Retry-After header, at most 60 s; 1 s without a valid header."""
    try:
        seconds = float(header or 1)
    except ValueError:
        return 1.0
    return min(max(seconds, 0.05), 60.0) if math.isfinite(seconds) else 1.0


def parse_response(request: Request, response: dict[str, Any], attempts: int) -> list[Completion]:
    """The completions in a server's response. Raises Transient if the response has another shape."""
    try:
        return completions(request, response, attempts)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Transient(f"the answer does not have the shape of completions: {error!r}") from error


def completions(request: Request, response: dict[str, Any], attempts: int) -> list[Completion]:
    """As `parse_response`. Prompt tokens count for the first sample.

    Raises Transient if a choice is missing or unfinished, and Refused if the server left out what was asked for, because it
    would leave it out again.
    """
    choices = response.get("choices") or []
    if len(choices) != len(request.samples):
        raise Transient(f"expected {len(request.samples)} choices; the answer has {len(choices)}")
    usage = response.get("usage") or {}
    prompt_tokens, spent = (token_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))
    result = []
    for place, (key, sample, choice) in enumerate(zip(request.keys(), request.samples, choices, strict=True)):
        if not isinstance(choice.get("text"), str):
            raise Transient(f"expected choices with a text; found {', '.join(choice) or 'nothing'}")
        text = choice["text"].encode("utf-8", "replace").decode()  # JSON may hold half a surrogate pair
        logprobs = ((choice.get("logprobs") or {}).get("top_logprobs") or [None])[0]
        tokens = (prompt_tokens if place == 0 else 0, spent // len(choices) + (place < spent % len(choices)))
        completion = Completion(key, sample, text, choice.get("finish_reason"), *tokens, logprobs, attempts=attempts)
        if reason := impossible(completion):
            raise Transient(reason)
        if reason := unanswered(request.params, completion):
            raise Refused(reason)
        result.append(completion)
    return result


def token_count(usage: dict[str, Any], name: str) -> int:
    """A number of tokens in a response, 0 if the server does not say. Raises Transient if it is no number of tokens."""
    value = usage.get(name) or 0
    if type(value) is not int or not 0 <= value <= MOST_TOKENS:
        raise Transient(f"expected a number of {name}; found {value!r}"[:100])
    return value
