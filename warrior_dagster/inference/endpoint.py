"""The HTTP client of OpenAI-compatible completions servers, one or a fleet: continuously fed, patient, honest in failure.

A request that the server refuses is an error completion with its reason. A busy server (429, 503) is waited for. A server that
cannot be reached at all stops the stage: what was finished is in the ledger, and nothing else would succeed.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import aiohttp
import stamina

from warrior_dagster.inference.request import Completion, Request

Answered = tuple[Request, list[Completion]]
BUSY = (429, 503)
BENCH_SECONDS = 5.0


class Unreachable(RuntimeError):
    """No server answers; asking on would turn every remaining request into an error."""


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
        api_key: str | None = None,
    ) -> None:
        self._load = dict.fromkeys((url.rstrip("/") for url in urls), 0)
        self._benched_until = dict.fromkeys(self._load, 0.0)
        self._served_model = served_model
        self._workers = max_in_flight * len(self._load)
        self._attempts = attempts
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=10)
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    async def stream(self, requests: Iterator[Request]) -> AsyncIterator[Answered]:
        """Ask all requests, pulling the next whenever one is done; yields as they finish, in any order.

        Raises Unreachable when no server can be connected to.
        """
        finished: asyncio.Queue[Answered | Exception | None] = asyncio.Queue()

        async def work(session: aiohttp.ClientSession) -> None:
            try:
                for request in requests:
                    await finished.put(await self._ask(session, request))
                await finished.put(None)
            except Exception as error:
                await finished.put(error)

        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=self._timeout, headers=self._headers) as session:
            workers = [asyncio.create_task(work(session)) for _ in range(self._workers)]
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
                    answer = await self._post(session, body)
                    return request, completions(request, answer, tries)
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"no connection to {', '.join(self._load)}: {error}") from error
        except (Refused, Transient, aiohttp.ClientError, TimeoutError) as error:
            return request, failed(request, f"{type(error).__name__}: {error}"[:500], tries)
        raise AssertionError("a retry context ends in a result or an exception")

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> dict[str, Any]:
        """One try, at the least loaded URL that is not benched. Waits as long as a busy server asks to."""
        while True:
            now = time.monotonic()
            url = min(self._load, key=lambda u: (self._benched_until[u] > now, self._load[u]))
            self._load[url] += 1
            try:
                async with session.post(
                    f"{url}/v1/completions", data=body, headers={"Content-Type": "application/json"}
                ) as response:
                    content = await response.read()
                    if response.status == 200:
                        answer: dict[str, Any] = json.loads(content)
                        return answer
                    if response.status not in BUSY:
                        reason = f"HTTP {response.status}: {content[:400].decode('utf-8', 'replace')}"
                        raise Transient(reason) if response.status >= 500 or response.status == 408 else Refused(reason)
                    pause = retry_after(response.headers.get("Retry-After"))
            except aiohttp.ClientConnectorError:
                self._benched_until[url] = time.monotonic() + BENCH_SECONDS
                raise
            except json.JSONDecodeError as error:
                raise Transient(f"the answer is not JSON: {error}") from error
            finally:
                self._load[url] -= 1
            await asyncio.sleep(pause)


def retry_after(header: str | None) -> float:
    """Seconds to wait before a busy server is asked again: what it says, or one; never more than a minute."""
    try:
        return min(max(float(header or 1), 0.05), 60.0)
    except ValueError:
        return 1.0


def completions(request: Request, answer: dict[str, Any], attempts: int) -> list[Completion]:
    """The samples of a server's answer. Tokens of the prompt are counted once, with the first sample.

    Raises Transient if the answer has not one choice for every sample asked for.
    """
    choices = answer.get("choices") or []
    if len(choices) != len(request.samples):
        raise Transient(f"expected {len(request.samples)} choices; the answer has {len(choices)}")
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
                finish_reason=choice.get("finish_reason") or "",
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
