"""The HTTP client of OpenAI-compatible completions servers, one or a fleet: continuously fed, patient, honest in failure.

A request that the server refuses is an error completion with its reason. A busy server (429, 503) is waited for. Servers that
cannot be reached for a while, or that turn us away as a whole, stop the stage: what was finished is in the ledger, and nothing
else would succeed.
"""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import aiohttp
import stamina

from warrior_dagster.inference.request import Completion, Request

Answered = tuple[Request, list[Completion]]
BUSY = (429, 503)
TURNED_AWAY = (401, 403, 404)
NO_CONNECTION = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
FINISHED = ("stop", "length")
"""How a completion ends by itself. An aborted one is half an answer, and never kept."""
BENCH_SECONDS = 5.0
PATIENCE_SECONDS = 300.0
"""How long servers may be away before the stage stops: time for a restart."""

# Its default would write to standard output, into the middle of what a command prints.
stamina.instrumentation.set_on_retry_hooks([stamina.instrumentation.LoggingOnRetryHook])


class Unreachable(RuntimeError):
    """No server serves us; asking on would turn every remaining request into an error."""


class Transient(RuntimeError):
    """A failure that may pass: worth another try."""


class Refused(RuntimeError):
    """The server's final word on this one request."""


class EndpointEngine:
    """One model behind one or more base URLs."""

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
        self._benched_until = dict.fromkeys(self._load, 0.0)
        self._served_model = served_model
        self._limit = max_in_flight * len(self._load)
        self._attempts = attempts
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._last_contact = 0.0
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    async def stream(self, requests: Iterator[Request]) -> AsyncIterator[Answered]:
        """Ask all requests, pulling the next whenever one is done; yields as they finish, in any order.

        What is limited in flight is samples: a request for many counts as many. Raises Unreachable when no server can be
        connected to for a while, or when one turns us away.
        """
        finished: asyncio.Queue[Answered | Exception | None] = asyncio.Queue()
        free, one_by_one = asyncio.Semaphore(self._limit), asyncio.Lock()
        self._last_contact = time.monotonic()

        async def work(session: aiohttp.ClientSession) -> None:
            try:
                for request in requests:
                    taken = min(len(request.samples), self._limit)
                    async with one_by_one:  # two that each hold half of what they need would wait for ever
                        for _ in range(taken):
                            await free.acquire()
                    await finished.put(await self._ask(session, request))
                    for _ in range(taken):
                        free.release()
                await finished.put(None)
            except Exception as error:
                await finished.put(error)

        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=10)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers) as session:
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

    async def _ask(self, session: aiohttp.ClientSession, request: Request) -> Answered:
        body = json.dumps(
            {
                "model": self._served_model,
                "prompt": request.prompt,
                "n": len(request.samples),
                "add_special_tokens": False,
                **json.loads(request.params),
            }
        ).encode()
        tries = 0
        try:
            async for attempt in stamina.retry_context(
                on=(Transient, aiohttp.ClientError, TimeoutError), attempts=self._attempts, timeout=None, wait_max=30
            ):
                with attempt:
                    tries += 1
                    return request, completions(request, await self._post(session, body), tries)
        except (Refused, Transient, aiohttp.ClientError, TimeoutError) as error:
            return request, failed(request, f"{type(error).__name__}: {error}"[:500], tries)
        raise AssertionError("a retry context ends in a result or an exception")

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> dict[str, Any]:
        """One try, at the least loaded URL that is not benched. Busy or absent servers are waited for; that is no try."""
        give_up = time.monotonic() + self._timeout_s
        while True:
            now = time.monotonic()
            url = min(self._load, key=lambda u: (self._benched_until[u] > now, self._load[u]))
            self._load[url] += 1
            try:
                async with session.post(
                    f"{url}/v1/completions", data=body, headers={"Content-Type": "application/json"}
                ) as response:
                    content = await response.read()
                    self._last_contact = time.monotonic()
                    if response.status == 200:
                        return json_object(content)
                    reason = f"HTTP {response.status}: {content[:400].decode('utf-8', 'replace')}"
                    if response.status in TURNED_AWAY:
                        raise Unreachable(f"{url} turned us away: {reason}")
                    if response.status not in BUSY or time.monotonic() > give_up:
                        raise Transient(reason) if response.status >= 500 or response.status in (408, 429) else Refused(reason)
                    pause = retry_after(response.headers.get("Retry-After"))
            except NO_CONNECTION as error:
                self._benched_until[url] = time.monotonic() + BENCH_SECONDS
                if time.monotonic() - self._last_contact > self._patience_s:
                    raise Unreachable(f"no connection to {', '.join(self._load)}: {error}") from error
                pause = 0.5
            finally:
                self._load[url] -= 1
            await asyncio.sleep(pause)


def json_object(content: bytes) -> dict[str, Any]:
    """A response's body. Raises Transient if it is anything but a JSON object."""
    try:
        body = json.loads(content)
    except ValueError as error:
        raise Transient(f"the answer is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise Transient(f"the answer is not a JSON object but {type(body).__name__}")
    return body


def retry_after(header: str | None) -> float:
    """Seconds to wait before a busy server is asked again: what it says, or one; never more than a minute."""
    try:
        seconds = float(header or 1)
    except ValueError:
        return 1.0
    return min(max(seconds, 0.05), 60.0) if math.isfinite(seconds) else 1.0


def completions(request: Request, answer: dict[str, Any], attempts: int) -> list[Completion]:
    """The samples of a server's answer. Tokens of the prompt are counted once, with the first sample.

    Raises Transient if the answer has not one finished choice for every sample asked for.
    """
    choices = answer.get("choices") or []
    if len(choices) != len(request.samples):
        raise Transient(f"expected {len(request.samples)} choices; the answer has {len(choices)}")
    if unfinished := {str(c.get("finish_reason")) for c in choices} - set(FINISHED):
        raise Transient(f"expected finish_reason {' or '.join(FINISHED)}; found {', '.join(sorted(unfinished))}")
    usage = answer.get("usage") or {}
    prompt_tokens, spent = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    result = []
    for place, (key, sample, choice) in enumerate(zip(request.keys(), request.samples, choices, strict=True)):
        top = ((choice.get("logprobs") or {}).get("top_logprobs") or [None])[0]
        share = spent // len(choices) + (place < spent % len(choices))
        result.append(
            Completion(
                key=key,
                sample=sample,
                text=(choice.get("text") or "").encode("utf-8", "replace").decode(),  # JSON may hold half a surrogate pair
                finish_reason=choice["finish_reason"],
                prompt_tokens=prompt_tokens if place == 0 else 0,
                completion_tokens=share,
                logprobs=top,
                attempts=attempts,
            )
        )
    return result


def failed(request: Request, reason: str, attempts: int) -> list[Completion]:
    """An error completion for every sample of a request."""
    pairs = zip(request.keys(), request.samples, strict=True)
    return [Completion(key=key, sample=sample, error=reason, attempts=attempts) for key, sample in pairs]
