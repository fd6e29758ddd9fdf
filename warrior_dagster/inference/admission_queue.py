"""Decides which request is sent next, and limits how many samples are in flight."""

import asyncio
import heapq
import math
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from itertools import count

from warrior_dagster.inference.request import Request

POLL_SECONDS = 0.05  # between checks of paused requests, if nothing else can be sent


@dataclass(slots=True)
class QueuedRequest:
    """A request, how often it was tried, and since when (time.monotonic) it has waited for a busy server."""

    request: Request
    tries: int = 0
    waits_since: float = math.inf

    def singly(self, first: int = 0) -> "list[QueuedRequest]":
        """A request for each of its samples from number `first` on, for a server that gives one sample at a time."""
        samples = self.request.samples[first:]
        return [QueuedRequest(replace(self.request, samples=(sample,)), self.tries) for sample in samples]


class AdmissionQueue:
    """Requests to send, with at most `limit` samples in flight and `limit` requests paused; those that are due come first."""

    def __init__(self, requests: AsyncIterator[Request], limit: int) -> None:
        self._requests, self._limit = requests, limit
        self._exhausted = False
        self._paused: list[tuple[float, int, QueuedRequest]] = []
        self._tickets = count()
        self._in_flight = 0
        self._room, self._turn = asyncio.Event(), asyncio.Lock()

    async def take(self) -> QueuedRequest | None:
        """The next request once its samples fit the limit, or None at the end. Each one has to be released."""
        async with self._turn:  # otherwise two that each hold half of the samples they need would wait forever
            while (queued := await self._next()) is None:
                if not self._paused and not self._in_flight:  # what is in flight may have to be sent again
                    return None
                await asyncio.sleep(POLL_SECONDS)
            size = self._size(queued)
            while self._in_flight + size > self._limit:
                self._room.clear()
                await self._room.wait()
            self._in_flight += size
            return queued

    def release(self, queued: QueuedRequest, again: Iterable[QueuedRequest] = (), pause: float = 0.0) -> None:
        """Take a request out of flight; `again` is to be sent after `pause` seconds."""
        self._in_flight -= self._size(queued)
        self._room.set()
        for one in again:
            heapq.heappush(self._paused, (time.monotonic() + pause, next(self._tickets), one))

    async def _next(self) -> QueuedRequest | None:
        if self._paused and self._paused[0][0] <= time.monotonic():
            return heapq.heappop(self._paused)[2]
        if self._exhausted or len(self._paused) >= self._limit:
            return None
        request = await anext(self._requests, None)
        self._exhausted = request is None
        return QueuedRequest(request) if request else None

    def _size(self, queued: QueuedRequest) -> int:
        return min(len(queued.request.samples), self._limit)
