"""Sends the requests of several competitors, grouped by model; a competitor that fails does not stop the others."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.failures import Unreachable
from warrior_dagster.inference.progress import Progress
from warrior_dagster.inference.prompting import LoadedCompetitor, load_competitor
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


def dispatch(
    arena: Arena,
    backend: Backend,
    names: Iterable[str],
    requests: Callable[[LoadedCompetitor], Iterable[Request]],
    read: Callable[[Request, Completion], dict[str, Any]],
    progress: Progress,
) -> DispatchResult:
    """Complete the requests of the named competitors, model by model, so that each model is loaded once and kept busy.

    Competitors that cannot be loaded, or whose engine does not start or fails, are in `failures`; the others continue.
    """
    result, loaded = DispatchResult(), list[LoadedCompetitor]()
    for name in names:
        try:
            loaded.append(load_competitor(arena, name))
        except (OSError, ValueError) as error:  # no such model, or no chat template
            result.failures[name] = str(error)
    for group in group_by_model(loaded, first=backend.running):
        try:
            rows, usage = backend.complete(chain.from_iterable(map(requests, group)), read, progress)
        except (ServerFailed, Unreachable) as error:
            result.failures |= {competitor.name: str(error) for competitor in group}
            continue
        result.rows += rows
        for model, cost in usage.items():
            result.usage.setdefault(model, Usage()).add(cost)
    return result


def group_by_model(competitors: Iterable[LoadedCompetitor], first: ServedModel | None) -> list[list[LoadedCompetitor]]:
    """Groups of competitors that share a model: the group of `first` first, the others in order of appearance."""
    groups: dict[ServedModel, list[LoadedCompetitor]] = {}
    for competitor in competitors:
        groups.setdefault(competitor.model, []).append(competitor)
    return sorted(groups.values(), key=lambda group: group[0].model != first)
