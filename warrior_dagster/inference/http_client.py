"""The HTTP client of OpenAI-compatible completions servers, one or a fleet: continuously fed, patient, honest in failure.

A request that the server refuses is an error completion with its reason. A busy server (429, 503) is waited for, and while a
request waits another has its place. Servers that cannot be reached for a while, or that turn us away as a whole, stop the
stage: what was finished is in the ledger, and nothing else would succeed.
"""

import asyncio
import heapq
import json
import math
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import aiohttp
from yarl import URL

from warrior_dagster.inference.request import Completion, Request

Answered = tuple[Request, list[Completion]]
BUSY = (429, 503)
TURNED_AWAY = (401, 403, 404)
NO_CONNECTION = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
FINISHED = ("stop", "length")
"""How a completion ends by itself. An aborted one is half an answer, and never kept."""
BENCH_SECONDS = 5.0
POLL_SECONDS = 0.05
"""How often paused requests are looked after when nothing else is to be done."""
PATIENCE_SECONDS = 300.0
"""How long servers may be away before the stage stops: time for a restart."""


class Unreachable(RuntimeError):
    """No server serves us; asking on would turn every remaining request into an error."""


class Transient(RuntimeError):
    """A failure that may pass: worth another try."""


class Refused(RuntimeError):
    """The server's final word on this one request."""


class Pause(RuntimeError):
    """The server is busy, or `away` altogether: this was no try, and the request waits for `seconds`."""

    def __init__(self, seconds: float, reason: str, away: bool = False) -> None:
        super().__init__(reason)
        self.seconds = seconds
        self.away = away


@dataclass(slots=True)
class Job:
    """A request on its way: how often it was tried, and when it was first told to wait."""

    request: Request
    tries: int = 0
    waits_since: float = math.inf


class Backlog:
    """What is to be asked next, and how much is in flight: samples, for a request for many counts as many.

    Paused requests whose time has come go first. No more than `limit` are paused at once: a server that is busy for everybody
    does not make us pull all work there is.
    """

    def __init__(self, requests: AsyncIterator[Request], limit: int) -> None:
        self._requests = requests
        self._limit = limit
        self._exhausted = False
        self._paused: list[tuple[float, int, Job]] = []
        self._tickets = count()
        self._in_flight = 0
        self._room = asyncio.Event()
        self._turn = asyncio.Lock()

    async def take(self) -> Job | None:
        """The next job once there is room for it, or None when nothing is left. Each that is taken has to be given back."""
        async with self._turn:  # one by one: two that each hold half of what they need would wait for ever
            while (job := await self._next()) is None:
                if not self._paused:
                    return None
                await asyncio.sleep(POLL_SECONDS)
            size = self._size(job)
            while self._in_flight + size > self._limit:
                self._room.clear()
                await self._room.wait()
            self._in_flight += size
            return job

    def give_back(self, job: Job, pause: float | None = None) -> None:
        """Make room; a job with a `pause` in seconds is to be taken again."""
        self._in_flight -= self._size(job)
        self._room.set()
        if pause is not None:
            heapq.heappush(self._paused, (time.monotonic() + pause, next(self._tickets), job))

    async def _next(self) -> Job | None:
        if self._paused and self._paused[0][0] <= time.monotonic():
            return heapq.heappop(self._paused)[2]
        if self._exhausted or len(self._paused) >= self._limit:
            return None
        request = await anext(self._requests, None)
        self._exhausted = request is None
        return Job(request) if request else None

    def _size(self, job: Job) -> int:
        return min(len(job.request.samples), self._limit)


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
        self._addresses = {url: URL(f"{url}/v1/completions") for url in self._load}
        self._benched_until = dict.fromkeys(self._load, 0.0)
        self._served_model = served_model
        self._limit = max_in_flight * len(self._load)
        self._attempts = attempts
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._last_contact = 0.0
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        self._rest = cache(self._rest_of_body)

    async def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[Answered]:
        """Ask all requests, pulling the next whenever one is done; yields as they finish, in any order.

        Raises Unreachable when no server can be connected to for a while, or when one turns us away.
        """
        finished: asyncio.Queue[Answered | Exception | None] = asyncio.Queue()
        backlog = Backlog(requests, self._limit)
        self._last_contact = time.monotonic()

        async def work(session: aiohttp.ClientSession) -> None:
            try:
                while job := await backlog.take():
                    outcome = await self._try(session, job)
                    if isinstance(outcome, float):
                        backlog.give_back(job, outcome)
                    else:
                        backlog.give_back(job)
                        finished.put_nowait((job.request, outcome))
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

    async def _try(self, session: aiohttp.ClientSession, job: Job) -> list[Completion] | float:
        """One try: the request's completions, or for how many seconds it is to be paused before the next."""
        request = job.request
        try:
            return read_answer(request, await self._post(session, self._body(request)), job.tries + 1)
        except Pause as busy:
            job.waits_since = min(job.waits_since, time.monotonic())
            if busy.away or time.monotonic() - job.waits_since < self._timeout_s:
                return busy.seconds
            error: Exception = Transient(f"busy for {self._timeout_s:.0f} s: {busy}")
        except (Refused, Transient, aiohttp.ClientError, TimeoutError) as failure:
            error = failure
        job.tries += 1
        job.waits_since = math.inf
        if job.tries < self._attempts and not isinstance(error, Refused):
            return backoff(job.tries)
        return failed(request, f"{type(error).__name__}: {error}"[:500], job.tries)

    def _body(self, request: Request) -> bytes:
        """The request as JSON; what many have in common is rendered once."""
        prompt, samples = json.dumps(request.prompt), len(request.samples)
        return f'{{"prompt":{prompt},"n":{samples},{self._rest(request.params)}'.encode()

    def _rest_of_body(self, params: str) -> str:
        return json.dumps({"model": self._served_model, "add_special_tokens": False, **json.loads(params)})[1:]

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> dict[str, Any]:
        """Post at the least loaded URL that is not benched. Raises what says how to go on."""
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
                if response.status in TURNED_AWAY:
                    raise Unreachable(f"{url} turned us away: {reason}")
                if response.status in BUSY:
                    raise Pause(retry_after(response.headers.get("Retry-After")), reason)
                raise Transient(reason) if response.status >= 500 or response.status == 408 else Refused(reason)
        except NO_CONNECTION as error:
            self._benched_until[url] = time.monotonic() + BENCH_SECONDS
            if time.monotonic() - self._last_contact > self._patience_s:
                raise Unreachable(f"no connection to {', '.join(self._load)}: {error}") from error
            raise Pause(0.5, str(error), away=True) from error
        finally:
            self._load[url] -= 1


def backoff(tries: int) -> float:
    """Seconds before the next try: doubled each time up to half a minute, and spread so that not all come back at once.

    Our own line, because a retry library would sleep where the request is, in a place that another could have.
    """
    return random.uniform(0.5, 1.0) * min(0.2 * 2.0**tries, 30.0)


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


def read_answer(request: Request, answer: dict[str, Any], attempts: int) -> list[Completion]:
    """The samples of a server's answer. Raises Transient for one of another shape."""
    try:
        return completions(request, answer, attempts)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Transient(f"the answer has not the shape of completions: {error!r}") from error


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
