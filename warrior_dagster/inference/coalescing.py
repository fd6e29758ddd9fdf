"""Splits a model's requests into samples that are known already and samples that have to be sent, each key once."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from warrior_dagster.config.messages import on_one_line
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.progress import Progress
from warrior_dagster.inference.reasoning import answer_of
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.inference.usage import Usage

SAMPLES_PER_LOOKUP = 4000  # one look-up scans all keys of the ledger
SAMPLES_PER_PAUSE = 10  # `missing` pauses after this many known samples

Row = TypeVar("Row")
Lookup = tuple[list[Request], dict[str, Completion]]  # some requests, and the completions that the ledger has, or refusals


@dataclass(slots=True)
class Coalescer(Generic[Row]):
    """One stage and model: `read` makes a row of each sample, and equal samples are sent once."""

    read: Callable[[Request, Completion], Row]
    usage: Usage
    progress: Progress
    rows: list[Row] = field(default_factory=list)
    _in_flight: dict[str, list[Request]] = field(default_factory=dict)  # the requests that wait for each key that was sent
    _recent: dict[str, Completion] = field(default_factory=dict)
    """Those that came after the last look-up began, which may have missed them."""

    def look_up(self, ledger: LedgerReader, requests: Iterator[Request]) -> Lookup | None:
        """Take the next requests and look them up in the ledger, unless they are refused; None at the end.

        May run in another thread.
        """
        batch, samples = list[Request](), 0
        while samples < SAMPLES_PER_LOOKUP and (request := next(requests, None)):
            batch.append(request)
            samples += len(request.samples)
        if not batch:
            return None
        refusals = {
            key: Completion(key, sample, error=request.refused)
            for request in batch
            if request.refused
            for sample, key in zip(request.samples, request.keys(), strict=True)
        }
        return batch, ledger.get([key for request in batch for key in request.keys()]) | refusals

    def take_recent(self) -> dict[str, Completion]:
        """The completions since the last call. Call it when a look-up begins, and pass the result to `missing`."""
        recent, self._recent = self._recent, {}
        return recent

    def missing(self, lookup: Lookup, recent: dict[str, Completion]) -> Iterator[Request | None]:
        """Make rows of the known samples, and yield requests for the others; each key is yielded once.

        Also yields None now and then, because making rows takes time: the caller may handle completions that have arrived.
        """
        batch, stored = lookup
        known = 0
        for request in batch:
            unknown = []
            for sample, key in zip(request.samples, request.keys(), strict=True):
                if completion := stored.get(key) or recent.get(key) or self._recent.get(key):
                    self.usage.from_ledger += completion.error is None
                    self._add_row(request, completion)
                    if (known := known + 1) % SAMPLES_PER_PAUSE == 0:
                        yield None
                elif key in self._in_flight:
                    self._in_flight[key].append(request)
                else:
                    self._in_flight[key] = [request]
                    unknown.append(sample)
            self.progress.in_flight = len(self._in_flight)
            if len(unknown) == len(request.samples):
                yield request
            elif unknown:
                yield replace(request, samples=tuple(unknown))

    def receive(self, completions: Iterable[Completion]) -> None:
        """Make rows of the completions of one request that was sent."""
        self.usage.requests += 1
        for completion in completions:
            self.usage.sent += 1
            self.usage.prompt_tokens += completion.prompt_tokens
            self.usage.completion_tokens += completion.completion_tokens
            self.progress.sent += 1
            self.progress.tokens += completion.completion_tokens
            self._recent[completion.key] = completion
            requests = self._in_flight.pop(completion.key)
            self.progress.in_flight = len(self._in_flight)
            self.usage.from_ledger += len(requests) - 1
            for request in requests:
                self._add_row(request, completion)

    def _add_row(self, request: Request, completion: Completion) -> None:
        try:
            row = self.read(request, answer_of(completion, request.format))
        except Exception as error:  # any: the ledger would give the same text again, and the stage could never finish
            if completion.error is not None:
                raise
            reason = (
                on_one_line(f"unreadable: {error!r}"[:400])
                + f"; `warrior ledger drop {completion.key}` removes it, to be sent again"
            )
            completion = Completion(completion.key, completion.sample, error=reason, attempts=completion.attempts)
            row = self.read(request, completion)
        self.rows.append(row)
        self.usage.failed += completion.error is not None
        self.progress.done += 1
        self.progress.report(self.progress)
