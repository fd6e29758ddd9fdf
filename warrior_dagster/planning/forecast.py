"""A stage asked of the ledger alone: what is there becomes rows, what is not is counted and never sent."""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from warrior_dagster.inference.coalescing import Settling, Usage
from warrior_dagster.inference.ledger.writer import Ledger
from warrior_dagster.inference.progress import Progress
from warrior_dagster.inference.request import Completion, Request, ServedModel

CHARS_A_TOKEN = 4
"""Of code and English, about."""


class Lack(NamedTuple):
    """A request that would be sent."""

    tag: Any
    samples: int
    prompt_tokens: int
    max_tokens: int


@dataclass(slots=True)
class Forecast:
    """One model's part of a stage."""

    params: set[tuple[str, str]] = field(default_factory=set)
    """Model identity and sampling parameters, as the ledger names them."""
    in_ledger: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Both of what is in the ledger, so that what is not can be estimated."""
    lacks: list[Lack] = field(default_factory=list)


class LedgerAlone:
    """Stands where Engines do when a stage is only forecast."""

    running: ServedModel | None = None

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._stage: dict[str, Forecast] = defaultdict(Forecast)

    def progress(self, stage: str, total: int, log: logging.Logger) -> Progress:
        """A progress that nobody is told of."""
        return Progress(lambda _: None, stage, total)

    def take_stage(self) -> dict[str, Forecast]:
        """What was counted since this was called last, by model."""
        stage, self._stage = self._stage, defaultdict(Forecast)
        return dict(stage)

    def ask(
        self, requests: Iterable[Request], read: Callable[[Request, Completion], Any], progress: Progress
    ) -> tuple[list[Any], dict[str, Usage]]:
        """Rows of what the ledger has; the rest is noted."""
        rows: list[Any] = []
        for model, of_model in groupby(requests, key=attrgetter("model")):
            noted = self._stage[model.model]

            def counted(request: Request, completion: Completion, noted: Forecast = noted) -> Any:
                noted.in_ledger += 1
                noted.prompt_tokens += completion.prompt_tokens
                noted.completion_tokens += completion.completion_tokens
                return read(request, completion)

            books = Settling(counted, Usage(), progress, rows)
            while looked := books.look_up(self._ledger, of_model):
                noted.params |= {(model.identity, request.params) for request in looked[0]}
                noted.lacks += [lack(request) for request in books.settle(looked, {}) if request]
        return rows, {}


def lack(request: Request) -> Lack:
    """What has to be known of a request that is not sent yet."""
    longest = int(json.loads(request.params)["max_tokens"])
    return Lack(request.tag, len(request.samples), len(request.prompt) // CHARS_A_TOKEN, longest)
