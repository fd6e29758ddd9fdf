"""A dry run of a stage: completions in the ledger become rows; missing requests are counted, never sent."""

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
from warrior_dagster.materialization.table import tokens_of


class MissingRequest(NamedTuple):
    """A request that would be sent."""

    tag: Any
    samples: int
    prompt_tokens: int
    max_tokens: int


@dataclass(slots=True)
class Forecast:
    """The requests of one model in a stage."""

    params: set[tuple[str, str]] = field(default_factory=set)
    """Pairs of model identity and sampling parameters, as in the ledger."""
    in_ledger: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Tokens of the completions in the ledger, from which the missing ones are estimated. Those of a prompt count once."""
    prompts: int = 0
    estimated_prompt_tokens: int = 0
    """The prompts of these completions, and their tokens by `tokens_of`."""
    missing: list[MissingRequest] = field(default_factory=list)
    examples: dict[tuple[str, str], Request] = field(default_factory=dict)
    """One missing request of each model identity and sampling parameters."""

    def add(self, other: "Forecast") -> None:
        """Add the requests of another part of the stage."""
        self.params |= other.params
        self.in_ledger += other.in_ledger
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.prompts += other.prompts
        self.estimated_prompt_tokens += other.estimated_prompt_tokens
        self.missing += other.missing
        self.examples = other.examples | self.examples


class DryRunBackend:
    """A backend that replaces Engines to forecast a stage."""

    running: ServedModel | None = None

    def __init__(self, ledger: LedgerReader) -> None:
        self._ledger = ledger
        self._stage: dict[str, Forecast] = defaultdict(Forecast)
        self._missing = set[str]()
        """The keys that were counted: of servers with the same model, only the first is sent an equal request."""

    def progress(self, stage: str, total: int, log: logging.Logger) -> Progress:
        """A progress that nothing shows."""
        return Progress(lambda _: None, stage, total)

    def take_stage(self) -> dict[str, Forecast]:
        """The counts since the last call, by model."""
        stage, self._stage = self._stage, defaultdict(Forecast)
        return dict(stage)

    def complete(
        self, requests: Iterable[Request], read: Callable[[Request, Completion], Any], progress: Progress
    ) -> tuple[list[Any], dict[str, Usage]]:
        """The rows of the completions in the ledger; counts these and the missing requests."""
        rows: list[Any] = []
        for model, of_model in groupby(requests, key=attrgetter("model")):
            noted = self._stage[model.model]

            def counted(request: Request, completion: Completion, noted: Forecast = noted) -> Any:
                noted.in_ledger += completion.error is None  # an unreadable one is read a second time, as an error
                noted.prompt_tokens += completion.prompt_tokens
                noted.completion_tokens += completion.completion_tokens
                if completion.prompt_tokens:  # of a request's samples, the first has those of the prompt
                    noted.prompts += 1
                    noted.estimated_prompt_tokens += tokens_of(request.prompt)
                return read(request, completion)

            books = Coalescer(counted, Usage(), progress, rows)
            while looked := books.look_up(self._ledger, of_model):
                noted.params |= {(model.identity, request.params) for request in looked[0]}
                for one in filter(None, books.missing(looked, {})):
                    new = set(one.keys()) - self._missing
                    self._missing |= new
                    tokens = tokens_of(one.prompt), int(json.loads(one.params)["max_tokens"])
                    noted.examples.setdefault((one.model.identity, one.params), one)
                    if new:
                        noted.missing.append(MissingRequest(one.tag, len(new), *tokens))
        return rows, {}
