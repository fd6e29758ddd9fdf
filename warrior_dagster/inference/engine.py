"""Where stages ask models: the ledger first, then one engine at a time, and every new completion back into the ledger."""

import asyncio
import logging
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, groupby, islice
from operator import attrgetter
from pathlib import Path
from secrets import token_hex
from typing import Protocol, TypeVar

from warrior_dagster.arena import Endpoint, Engine
from warrior_dagster.inference.endpoint import PATIENCE_SECONDS, Answered, EndpointEngine
from warrior_dagster.inference.ledger import Ledger
from warrior_dagster.inference.progress import Progress, Report, calmly
from warrior_dagster.inference.request import Completion, Request, ServedModel
from warrior_dagster.inference.server import vllm_server

LOOKUP = 1000
"""Requests whose keys are looked up in the ledger at once."""
OWN_SERVER_PATIENCE_SECONDS = 10.0
"""vLLM's server on this machine does not come back by itself."""

Row = TypeVar("Row")


class StreamingEngine(Protocol):
    """What answers requests: completions come in any order, as they finish, while further requests are pulled."""

    def stream(self, requests: Iterator[Request]) -> AsyncIterator[Answered]: ...


@dataclass(slots=True)
class Usage:
    """What one model cost a stage."""

    from_ledger: int = 0
    """Samples that were paid for before, or by an equal request of the same moment."""
    requests: int = 0
    """HTTP requests that got an answer or failed for good; one may ask for many samples."""
    sent: int = 0
    """Samples that were asked for, failed ones included."""
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    engine_starts: int = 0
    seconds: float = 0.0

    def add(self, other: "Usage") -> None:
        """Count another stage's cost in."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Engines:
    """The one engine that runs, and the ledger before it. A context manager: leaving it stops the engine.

    A model's server is started by the first request that the ledger cannot answer, and kept until another model's turn
    comes, so that stages in a row that need the same weights load them once.
    """

    def __init__(
        self,
        settings: Engine,
        ledger: Ledger,
        logs: Path,
        *,
        report: Report | None = None,
        start: Callable[[ServedModel, ExitStack], StreamingEngine] | None = None,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._logs = logs
        self._report = report
        self._start = start or self._start_served
        self._running: tuple[ServedModel, StreamingEngine] | None = None
        self._open = ExitStack()
        self.total: dict[str, Usage] = defaultdict(Usage)
        """What each model cost since this was opened, over all stages."""

    def __enter__(self) -> "Engines":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> ServedModel | None:
        """The model whose engine runs: asked first, it needs no loading."""
        return self._running[0] if self._running else None

    def stop(self) -> None:
        """Stop the running engine, if any."""
        self._running = None
        self._open.close()

    def progress(self, stage: str, total: int, log: logging.Logger) -> Progress:
        """A new stage's progress over `total` samples, told to `log` at a calm pace where nobody else wants it."""
        return Progress(self._report or calmly(log.info), stage, total)

    def ask(
        self, requests: Iterable[Request], read: Callable[[Request, Completion], Row], progress: Progress
    ) -> tuple[list[Row], dict[str, Usage]]:
        """Have every request answered, all of one model's before the next model's; `read` makes a row of each sample.

        Rows come in no order. The requests of one model should stand together; a generator is pulled only as fast as the
        engine answers. Returns the rows and what each model cost. Raises what starting or reaching an engine raises;
        everything finished by then is in the ledger.
        """
        rows: list[Row] = []
        costs: dict[str, Usage] = defaultdict(Usage)
        try:
            for model, of_model in groupby(requests, key=attrgetter("model")):
                self._ask_one(model, of_model, read, rows, costs[model.model], progress)
        finally:
            for name, cost in costs.items():
                self.total[name].add(cost)
        return rows, dict(costs)

    def _ask_one(
        self,
        model: ServedModel,
        requests: Iterable[Request],
        read: Callable[[Request, Completion], Row],
        rows: list[Row],
        usage: Usage,
        progress: Progress,
    ) -> None:
        started = time.monotonic()
        progress.model = model.model
        known: dict[str, Completion] = {}
        in_flight: dict[str, list[Request]] = {}

        def done(request: Request, completion: Completion) -> None:
            rows.append(read(request, completion))
            progress.done += 1
            progress.report(progress)

        def unanswered() -> Iterator[Request]:
            nonlocal known
            for batch in chunks(requests, LOOKUP):
                keyed = [(request, request.keys()) for request in batch]
                known = self._ledger.get([key for _, keys in keyed for key in keys])
                for request, keys in keyed:
                    missing = []
                    for sample, key in zip(request.samples, keys, strict=True):
                        if key in known:
                            usage.from_ledger += 1
                            done(request, known[key])
                        elif key in in_flight:
                            in_flight[key].append(request)
                        else:
                            in_flight[key] = [request]
                            missing.append(sample)
                    if missing:
                        yield Request(request.model, request.prompt, request.params, tuple(missing), request.tag)

        async def serve(pending: Iterator[Request]) -> None:
            async for request, completions in self._engine(model, usage, progress).stream(pending):
                usage.requests += 1
                for completion in completions:
                    self._ledger.append(request, completion)
                    usage.sent += 1
                    usage.failed += completion.error is not None
                    usage.prompt_tokens += completion.prompt_tokens
                    usage.completion_tokens += completion.completion_tokens
                    progress.sent += 1
                    progress.tokens += completion.completion_tokens
                    known[completion.key] = completion
                    waiting = in_flight.pop(completion.key)
                    usage.from_ledger += len(waiting) - 1
                    for one in waiting:
                        done(one, completion)

        pending = unanswered()
        try:
            if first := next(pending, None):
                asyncio.run(serve(chain([first], pending)))
        except BaseException:
            self.stop()  # an engine that failed is not asked again
            raise
        finally:
            usage.seconds += time.monotonic() - started

    def _engine(self, model: ServedModel, usage: Usage, progress: Progress) -> StreamingEngine:
        if self._running is None or self._running[0] != model:
            self.stop()
            progress.loading = True
            progress.report(progress)
            self._running = (model, self._start(model, self._open))
            progress.loading = False
            usage.engine_starts += 1
        return self._running[1]

    def _start_served(self, model: ServedModel, open_: ExitStack) -> StreamingEngine:
        if isinstance(model.serve, Endpoint):
            urls, name = model.serve.urls, model.serve.served_model or model.model
            key = os.environ[model.serve.api_key_env] if model.serve.api_key_env else None
            patience = PATIENCE_SECONDS
        else:
            log = self._logs / f"vllm-{Path(model.model).name}-{model.identity[-6:]}.log"
            # A name nobody else serves: should another server get the port first, it cannot answer in this one's place.
            name, key, patience = f"competitor-{token_hex(8)}", None, OWN_SERVER_PATIENCE_SECONDS
            urls = (open_.enter_context(vllm_server(model.model, model.revision, model.serve, served_model=name, log=log)),)
        return EndpointEngine(
            urls,
            name,
            max_in_flight=self._settings.max_in_flight,
            attempts=self._settings.attempts,
            timeout_s=self._settings.request_timeout_s,
            patience_s=patience,
            api_key=key,
        )


def chunks(requests: Iterable[Request], size: int) -> Iterator[list[Request]]:
    """Consecutive lists of at most `size` requests."""
    source = iter(requests)
    while chunk := list(islice(source, size)):
        yield chunk
