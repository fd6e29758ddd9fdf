"""How stages get completions: from the ledger, or else from one engine at a time, whose completions go into the ledger."""

import asyncio
import gc
import logging
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

import uvloop

from warrior_dagster.config.serving import Engine
from warrior_dagster.inference.coalescing import Coalescer, Row
from warrior_dagster.inference.http_client import Answered, CompletionsClient
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.progress import Progress, Report, periodic_log
from warrior_dagster.inference.request import Completion, Request, ServedModel
from warrior_dagster.inference.servers import SERVERS
from warrior_dagster.inference.servers.base import GPU_LOCK
from warrior_dagster.inference.usage import Usage
from warrior_dagster.inference.validation import accepted
from warrior_dagster.warehouse.locks import file_lock


class StreamingEngine(Protocol):
    """Yields completions as they finish, in any order, while it takes further requests."""

    def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[Answered]: ...


Start = Callable[[ServedModel, ExitStack, int], StreamingEngine]
"""Starts a model's engine. The stack gets what ends with the engine; the int is the descriptor of the lock that it holds."""


class Engines:
    """The ledger and at most one running engine, which leaving the context stops.

    The first request that is not in the ledger starts its model's server, which runs until another model is needed.
    """

    def __init__(
        self, settings: Engine, ledger: LedgerWriter, folder: Path, *, report: Report | None = None, start: Start | None = None
    ) -> None:
        """`folder` is for the logs of engines and for the locks between processes on this machine."""
        self._settings, self._ledger = settings, ledger
        self._folder, self._report = folder, report
        self._start = start or self._start_server
        self._running: tuple[ServedModel, StreamingEngine] | None = None
        self._open = ExitStack()
        self.total: dict[str, Usage] = defaultdict(Usage)
        """What each model cost over all stages."""
        self.seconds_ahead: dict[str, float] = {}
        """What each stage of a run that has not begun is planned to take, by its table; empty if that is unknown."""

    def __enter__(self) -> "Engines":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> ServedModel | None:
        """The model whose engine runs, and which therefore needs no loading."""
        return self._running[0] if self._running else None

    def stop(self) -> None:
        self._running = None
        self._open.close()

    @contextmanager
    def gpu_alone(self) -> Iterator[None]:
        """No engine of this warehouse runs in this context: an engine takes nearly all of a GPU's memory."""
        self.stop()
        with file_lock(self._folder / "locks" / GPU_LOCK):
            yield

    def progress(self, stage: str, total: int, log: logging.Logger) -> Progress:
        """A new stage's progress over `total` samples, written to `log` unless a `report` was given."""
        self.seconds_ahead.pop(stage, None)
        return Progress(self._report or periodic_log(log.info), stage, total, sum(self.seconds_ahead.values()))

    def complete(
        self, requests: Iterable[Request], read: Callable[[Request, Completion], Row], progress: Progress
    ) -> tuple[list[Row], dict[str, Usage]]:
        """Complete all requests; `read` makes a row of each sample. Returns the rows, in no order, and what each model cost.

        The requests of one model should be consecutive. They are taken in another thread, only as fast as they are completed.
        Raises ServerFailed or Unreachable; everything that was completed before is in the ledger.
        """
        rows: list[Row] = []
        costs: dict[str, Usage] = defaultdict(Usage)
        try:
            for model, of_model in groupby(requests, key=attrgetter("model")):
                progress.model = model.model
                self._complete_model(model, of_model, Coalescer(read, costs[model.model], progress, rows))
        finally:
            for name, cost in costs.items():
                self.total[name].add(cost)
        return rows, dict(costs)

    def _complete_model(self, model: ServedModel, requests: Iterator[Request], coalescer: Coalescer[Row]) -> None:
        started = time.monotonic()
        try:
            while lookup := coalescer.look_up(self._ledger, requests):
                if any(key not in lookup[1] for request in lookup[0] for key in request.keys()):
                    engine = self._engine(model, coalescer.usage, coalescer.progress)
                    # `_stream` looks up again: another process may have paid for the same while this one waited for the lock.
                    with rare_garbage_collection(), short_turns():
                        uvloop.run(interruptible(self._stream(engine, chain(lookup[0], requests), coalescer)))
                    self._ledger.flush()  # tables may depend on these completions, so they must be durable first
                    break
                for _ in coalescer.missing(lookup, {}):
                    pass
        except BaseException:
            self.stop()  # an engine that failed is not used again
            raise
        finally:
            coalescer.usage.seconds += time.monotonic() - started
            if not model.serve.loads_weights:
                self.stop()  # lets another process use the model

    async def _stream(self, engine: StreamingEngine, requests: Iterator[Request], coalescer: Coalescer[Row]) -> None:
        """Stream the requests that the ledger does not have; the next look-up runs at the same time."""

        async def missing() -> AsyncIterator[Request]:
            upcoming = asyncio.create_task(asyncio.to_thread(coalescer.look_up, self._ledger, requests))
            while lookup := await upcoming:
                recent = coalescer.take_recent()
                upcoming = asyncio.create_task(asyncio.to_thread(coalescer.look_up, self._ledger, requests))
                for request in coalescer.missing(lookup, recent):
                    if request:
                        yield request
                    else:
                        await asyncio.sleep(0)

        async for request, answer in engine.stream(missing()):
            completions = list(map(accepted, answer))
            for completion in completions:
                self._ledger.append(request, completion)
            coalescer.receive(completions)

    def _engine(self, model: ServedModel, usage: Usage, progress: Progress) -> StreamingEngine:
        if self._running is None or self._running[0] != model:
            self.stop()

            def on_wait() -> None:
                progress.wait_for("waiting for another run that uses this model or this warehouse's engine")

            name = SERVERS[model.serve.kind].lock_name(model)
            lock = self._open.enter_context(file_lock(self._folder / "locks" / name, on_wait))
            self._open.callback(self._ledger.flush)  # before the lock is released: the next process must find everything
            progress.wait_for(f"starting the engine of {model.model}")
            started = time.monotonic()
            self._running = (model, self._start(model, self._open, lock))
            progress.wait_for("")
            if model.serve.loads_weights:
                usage.engine_starts += 1
                usage.start_seconds += time.monotonic() - started
        return self._running[1]

    def _start_server(self, model: ServedModel, stack: ExitStack, lock: int) -> StreamingEngine:
        server = SERVERS[model.serve.kind].connect(model, model.serve, self._folder / "logs", lock)
        return CompletionsClient(
            **stack.enter_context(server)._asdict(),
            max_in_flight=self._settings.max_in_flight,
            attempts=self._settings.attempts,
            timeout_s=self._settings.request_timeout_s,
        )


async def interruptible(work: Coroutine[Any, Any, None]) -> None:
    """Await `work`. If a signal handler raises in a callback of the event loop, cancel `work` and raise that exception.

    Dagster's handlers raise (Ctrl-C, or "Terminate" in the UI). Between two tasks, asyncio would log that and continue.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    interrupts: list[BaseException] = []

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException) and not isinstance(error, Exception | asyncio.CancelledError):
            interrupts.append(error)
            task.cancel()
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    try:
        await work
    except asyncio.CancelledError:
        if interrupts:
            raise interrupts[0] from None
        raise


@contextmanager
def rare_garbage_collection() -> Iterator[None]:
    """Collect garbage rarely: scanning the growing rows, which are no garbage, took a tenth of the client's time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextmanager
def short_turns() -> Iterator[None]:
    """Let threads take turns every 0.5 ms, not every 5 ms.

    The event loop gives its turn away at each socket and each write of the journal, and a thread that renders prompts kept it
    for the whole time: sixteen answers that came at once were durable after 0.16 s.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
