"""Where stages ask models: the ledger first, then one engine at a time, and every new completion back into the ledger."""

import asyncio
import gc
import logging
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path
from secrets import token_hex
from typing import Protocol

import uvloop

from warrior_dagster.config.serving import Endpoint, Engine, VllmServer
from warrior_dagster.inference.backends.vllm import vllm_server
from warrior_dagster.inference.coalescing import Row, Settling, Usage
from warrior_dagster.inference.http_client import PATIENCE_SECONDS, Answered, EndpointEngine
from warrior_dagster.inference.interrupts import stoppable
from warrior_dagster.inference.ledger.writer import Ledger
from warrior_dagster.inference.progress import Progress, Report, calmly
from warrior_dagster.inference.request import Completion, Request, ServedModel
from warrior_dagster.warehouse.locks import our_turn

ENGINE_LOCK = "engine.lock"
OWN_SERVER_PATIENCE_SECONDS = 10.0
"""vLLM's server on this machine does not come back by itself."""


class StreamingEngine(Protocol):
    """What answers requests: completions come in any order, as they finish, while further requests are pulled."""

    def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[Answered]: ...


Start = Callable[[ServedModel, ExitStack, int], StreamingEngine]
"""Starts a model's engine; what the stack holds ends with it, and a server is handed the lock's descriptor to hold too."""


class Engines:
    """The one engine that runs, and the ledger before it. A context manager: leaving it stops the engine.

    A model's server is started by the first request that the ledger cannot answer, and kept until another model's turn
    comes, so that stages in a row that need the same weights load them once.
    """

    def __init__(
        self,
        settings: Engine,
        ledger: Ledger,
        folder: Path,
        *,
        report: Report | None = None,
        start: Start | None = None,
    ) -> None:
        """`folder` is where engines' logs go, and the locks that processes on this machine wait for each other at."""
        self._settings = settings
        self._ledger = ledger
        self._folder = folder
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

    @contextmanager
    def gpu_alone(self) -> Iterator[None]:
        """Without any engine of this warehouse: it would keep nearly all of a GPU's memory."""
        self.stop()
        with our_turn(self._folder / "locks" / ENGINE_LOCK):
            yield

    def progress(self, stage: str, total: int, log: logging.Logger) -> Progress:
        """A new stage's progress over `total` samples, told to `log` at a calm pace where nobody else wants it."""
        return Progress(self._report or calmly(log.info), stage, total)

    def ask(
        self, requests: Iterable[Request], read: Callable[[Request, Completion], Row], progress: Progress
    ) -> tuple[list[Row], dict[str, Usage]]:
        """Have every request answered, all of one model's before the next model's; `read` makes a row of each sample.

        Rows come in no order. The requests of one model should stand together; a generator is pulled, in another thread, only
        as fast as the engine answers. Returns the rows and what each model cost. Raises what starting or reaching an engine
        raises; everything finished by then is in the ledger.
        """
        rows: list[Row] = []
        costs: dict[str, Usage] = defaultdict(Usage)
        try:
            for model, of_model in groupby(requests, key=attrgetter("model")):
                progress.model = model.model
                self._ask_one(model, of_model, Settling(read, costs[model.model], progress, rows))
        finally:
            for name, cost in costs.items():
                self.total[name].add(cost)
        return rows, dict(costs)

    def _ask_one(self, model: ServedModel, requests: Iterator[Request], books: Settling[Row]) -> None:
        started = time.monotonic()
        try:
            while looked := books.look_up(self._ledger, requests):
                if any(key not in looked[1] for request in looked[0] for key in request.keys()):
                    engine = self._engine(model, books.usage, books.progress)
                    # Looked up again: while this process waited for its turn, another may have paid for the same.
                    with few_collections():
                        uvloop.run(stoppable(self._serve(engine, chain(looked[0], requests), books)))
                    self._ledger.flush()  # what becomes of the rows may rest on it: it has to outlive us
                    break
                for _ in books.settle(looked, {}):
                    pass
        except BaseException:
            self.stop()  # an engine that failed is not asked again
            raise
        finally:
            books.usage.seconds += time.monotonic() - started
            if isinstance(model.serve, Endpoint):
                self.stop()  # nothing to keep loaded, and another process may have its turn

    async def _serve(self, engine: StreamingEngine, requests: Iterator[Request], books: Settling[Row]) -> None:
        """Stream what the ledger lacks; the next look-up goes on beside the asking."""

        async def unanswered() -> AsyncIterator[Request]:
            upcoming = asyncio.create_task(asyncio.to_thread(books.look_up, self._ledger, requests))
            while looked := await upcoming:
                news = books.take_news()
                upcoming = asyncio.create_task(asyncio.to_thread(books.look_up, self._ledger, requests))
                for request in books.settle(looked, news):
                    if request:
                        yield request
                    else:
                        await asyncio.sleep(0)

        async for request, completions in engine.stream(unanswered()):
            for completion in completions:
                self._ledger.append(request, completion)
            books.answered(completions)

    def _engine(self, model: ServedModel, usage: Usage, progress: Progress) -> StreamingEngine:
        if self._running is None or self._running[0] != model:
            self.stop()

            def waiting() -> None:
                progress.say("waiting for another run that asks this model, or has this warehouse's engine")

            lock = self._open.enter_context(our_turn(self._folder / "locks" / lock_name(model), waiting))
            self._open.callback(self._ledger.flush)  # before the lock goes: who comes next is to find all that was paid for
            progress.say(f"loading {model.model}")
            self._running = (model, self._start(model, self._open, lock))
            progress.say("")
            usage.engine_starts += isinstance(model.serve, VllmServer)
        return self._running[1]

    def _start_served(self, model: ServedModel, open_: ExitStack, lock: int) -> StreamingEngine:
        if isinstance(model.serve, Endpoint):
            urls, name = model.serve.urls, model.serve.served_model or model.model
            key = os.environ[model.serve.api_key_env] if model.serve.api_key_env else None
            patience = PATIENCE_SECONDS
        else:
            log = self._folder / "logs" / f"vllm-{Path(model.model).name}-{model.identity[-6:]}.log"
            # A name nobody else serves: should another server get the port first, it cannot answer in this one's place.
            name, key, patience = f"competitor-{token_hex(8)}", None, OWN_SERVER_PATIENCE_SECONDS
            server = vllm_server(model.model, model.revision, model.serve, served_model=name, log=log, lock=lock)
            urls = (open_.enter_context(server),)
        return EndpointEngine(
            urls,
            name,
            max_in_flight=self._settings.max_in_flight,
            attempts=self._settings.attempts,
            timeout_s=self._settings.request_timeout_s,
            patience_s=patience,
            api_key=key,
        )


@contextmanager
def few_collections() -> Iterator[None]:
    """Look for garbage seldom: rows pile up and are none, and looking at them took a tenth of the client's time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def lock_name(model: ServedModel) -> str:
    """One lock for all engines that a warehouse's runs start, which share the GPUs; one for each model served elsewhere."""
    if isinstance(model.serve, VllmServer):
        return ENGINE_LOCK
    return f"model-{blake2b(model.identity.encode(), digest_size=8).hexdigest()}.lock"
