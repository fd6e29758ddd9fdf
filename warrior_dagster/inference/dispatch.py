"""Sends the requests of several competitors, grouped by model; a competitor that fails does not stop the others."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Purpose
from warrior_dagster.inference.failures import Unreachable
from warrior_dagster.inference.progress import Progress
from warrior_dagster.inference.prompting import CompetitorFailed, LoadedCompetitor, load_competitor
from warrior_dagster.inference.request import Completion, Request, ServedModel
from warrior_dagster.inference.servers.base import ServerFailed
from warrior_dagster.inference.usage import Usage


class Backend(Protocol):
    """Completes requests: Engines, or for a plan the ledger alone."""

    @property
    def running(self) -> ServedModel | None: ...

    def complete(
        self, requests: Iterable[Request], read: Callable[[Request, Completion], Any], progress: Progress
    ) -> tuple[list[Any], dict[str, Usage]]: ...

    def progress(self, stage: str, total: int, log: logging.Logger) -> Progress: ...


@dataclass(slots=True)
class DispatchResult:
    """The rows, in no order; what each model cost, by model; and why competitors failed, by name."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    usage: dict[str, Usage] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, other: "DispatchResult") -> None:
        """Add the result of further requests to this one."""
        self.rows += other.rows
        self.failures |= other.failures
        for model, cost in other.usage.items():
            self.usage.setdefault(model, Usage()).add(cost)


def dispatch(
    arena: Arena,
    backend: Backend,
    names: Iterable[str],
    requests: Callable[[LoadedCompetitor], Iterable[Request]],
    read: Callable[[Request, Completion], dict[str, Any]],
    progress: Progress,
    purpose: Purpose,
) -> DispatchResult:
    """Complete the requests of the named competitors, model by model, so that each model is loaded once and kept busy.

    Competitors that cannot be loaded or prompted, or whose engine does not start or fails, are in `failures`; the others
    continue, also those that share a model with one that fails.
    """
    result, loaded = DispatchResult(), list[LoadedCompetitor]()
    for name in names:
        try:
            loaded.append(load_competitor(arena, name, purpose))
        except CompetitorFailed as error:
            result.failures[name] = str(error)

    def possible(competitor: LoadedCompetitor) -> Iterator[Request]:
        try:
            yield from requests(competitor)
        except Exception as error:  # a template may raise anything, for one text only
            result.failures[competitor.name] = str(CompetitorFailed(competitor.model.model, error))

    for group in group_by_model(loaded, first=backend.running):
        try:
            rows, usage = backend.complete(chain.from_iterable(map(possible, group)), read, progress)
        except (ServerFailed, Unreachable) as error:
            result.failures |= {competitor.name: str(error) for competitor in group}
            continue
        result.add(DispatchResult(rows, usage))
    return result


def group_by_model(competitors: Iterable[LoadedCompetitor], first: ServedModel | None) -> list[list[LoadedCompetitor]]:
    """Groups of competitors that share a model: the group of `first` first, the others in order of appearance."""
    groups: dict[ServedModel, list[LoadedCompetitor]] = {}
    for competitor in competitors:
        groups.setdefault(competitor.model, []).append(competitor)
    return sorted(groups.values(), key=lambda group: group[0].model != first)
