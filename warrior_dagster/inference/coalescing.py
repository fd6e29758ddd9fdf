"""Which samples of a model's requests are paid for already, and which have to be asked: each key once, whoever wants it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from warrior_dagster.inference.ledger.writer import Ledger
from warrior_dagster.inference.progress import Progress
from warrior_dagster.inference.request import Completion, Request

LOOKUP = 4000
"""Samples that are looked for in the ledger at once: one scan of its keys."""
BREATH = 10
"""After so many samples that are there already, whoever settles may look after what an engine gives."""

Row = TypeVar("Row")
Looked = tuple[list[Request], dict[str, Completion]]
"""Requests in a row, and the completions that the ledger has of them."""


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
    """Rows without an answer: an equal request of the same moment fails with the one that was sent."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    engine_starts: int = 0
    seconds: float = 0.0

    def add(self, other: "Usage") -> None:
        """Count another stage's cost in."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class Settling(Generic[Row]):
    """The books of one stage and model: `read` makes a row of each sample, from the ledger or from the engine."""

    read: Callable[[Request, Completion], Row]
    usage: Usage
    progress: Progress
    rows: list[Row] = field(default_factory=list)
    _awaited: dict[str, list[Request]] = field(default_factory=dict)
    """Who waits for each key that is being asked."""
    _news: dict[str, Completion] = field(default_factory=dict)
    """What was answered since the last look-up began, which may not have seen it."""

    def look_up(self, ledger: Ledger, requests: Iterator[Request]) -> Looked | None:
        """Pull some requests and look for them in the ledger; None when there are no more. May run in another thread."""
        batch, samples = list[Request](), 0
        while samples < LOOKUP and (request := next(requests, None)):
            batch.append(request)
            samples += len(request.samples)
        return (batch, ledger.get([key for request in batch for key in request.keys()])) if batch else None

    def take_news(self) -> dict[str, Completion]:
        """What was answered since this was called last; to be called when a look-up begins."""
        news, self._news = self._news, {}
        return news

    def settle(self, looked: Looked, news: dict[str, Completion]) -> Iterator[Request | None]:
        """Make rows of what is known already; yields the requests for the rest, each key once.

        Making rows takes time: None is yielded now and then, for whoever has completions to attend to.
        """
        batch, known = looked
        settled = 0
        for request in batch:
            missing = []
            for sample, key in zip(request.samples, request.keys(), strict=True):
                if completion := known.get(key) or news.get(key) or self._news.get(key):
                    self.usage.from_ledger += 1
                    self._done(request, completion)
                    settled += 1
                    if settled % BREATH == 0:
                        yield None
                elif key in self._awaited:
                    self._awaited[key].append(request)
                else:
                    self._awaited[key] = [request]
                    missing.append(sample)
            if len(missing) == len(request.samples):
                yield request
            elif missing:
                yield Request(request.model, request.prompt, request.params, tuple(missing), request.tag)

    def answered(self, completions: Iterable[Completion]) -> None:
        """Make rows of what an engine gave."""
        self.usage.requests += 1
        for completion in completions:
            self.usage.sent += 1
            self.usage.prompt_tokens += completion.prompt_tokens
            self.usage.completion_tokens += completion.completion_tokens
            self.progress.sent += 1
            self.progress.tokens += completion.completion_tokens
            self._news[completion.key] = completion
            waiting = self._awaited.pop(completion.key)
            self.usage.from_ledger += len(waiting) - 1
            for request in waiting:
                self._done(request, completion)

    def _done(self, request: Request, completion: Completion) -> None:
        self.rows.append(self.read(request, completion))
        self.usage.failed += completion.error is not None
        self.progress.done += 1
        self.progress.report(self.progress)
