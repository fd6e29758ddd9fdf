"""A dry run of a stage: completions in the ledger become rows, and requests that are missing are counted, never sent."""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from warrior_dagster.inference.coalescing import Coalescer
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.progress import Progress
from warrior_dagster.inference.request import Completion, Request, ServedModel
from warrior_dagster.inference.usage import Usage
from warrior_dagster.materialization.table import CHARS_PER_TOKEN


class MissingRequest(NamedTuple):
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
    """Tokens of the completions in the ledger, from which the missing ones are estimated."""
    missing: list[MissingRequest] = field(default_factory=list)


class DryRunBackend:
    """Replaces Engines where a stage is only forecast."""

    running: ServedModel | None = None

    def __init__(self, ledger: LedgerReader) -> None:
        self._ledger = ledger
        self._stage: dict[str, Forecast] = defaultdict(Forecast)

    def progress(self, stage: str, total: int, log: logging.Logger) -> Progress:
        """A progress that is shown nowhere."""
        return Progress(lambda _: None, stage, total)

    def take_stage(self) -> dict[str, Forecast]:
        """The counts since the last call, by model."""
        stage, self._stage = self._stage, defaultdict(Forecast)
        return dict(stage)

    def complete(
        self, requests: Iterable[Request], read: Callable[[Request, Completion], Any], progress: Progress
    ) -> tuple[list[Any], dict[str, Usage]]:
        """Rows of what the ledger has; missing requests are noted."""
        rows: list[Any] = []
        for model, of_model in groupby(requests, key=attrgetter("model")):
            noted = self._stage[model.model]

            def counted(request: Request, completion: Completion, noted: Forecast = noted) -> Any:
                noted.in_ledger += 1
                noted.prompt_tokens += completion.prompt_tokens
                noted.completion_tokens += completion.completion_tokens
                return read(request, completion)

            books = Coalescer(counted, Usage(), progress, rows)
            while looked := books.look_up(self._ledger, of_model):
                noted.params |= {(model.identity, request.params) for request in looked[0]}
                noted.missing += [missing_request(request) for request in books.missing(looked, {}) if request]
        return rows, {}


def missing_request(request: Request) -> MissingRequest:
    """What a plan needs to know of a request that was not sent yet."""
    longest = int(json.loads(request.params)["max_tokens"])
    return MissingRequest(request.tag, len(request.samples), len(request.prompt) // CHARS_PER_TOKEN, longest)
