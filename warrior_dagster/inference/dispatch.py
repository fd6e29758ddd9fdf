"""Asking several competitors: each model's work in one go, and one that fails does not take the others' work with it."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.backends.vllm import ServerFailed
from warrior_dagster.inference.coalescing import Usage
from warrior_dagster.inference.http_client import Unreachable
from warrior_dagster.inference.progress import Progress
from warrior_dagster.inference.prompting import Seat, seat
from warrior_dagster.inference.request import Completion, Request, ServedModel


class Asker(Protocol):
    """What requests are put to: Engines, or the ledger alone where only a plan is made."""

    @property
    def running(self) -> ServedModel | None: ...

    def ask(
        self, requests: Iterable[Request], read: Callable[[Request, Completion], Any], progress: Progress
    ) -> tuple[list[Any], dict[str, Usage]]: ...

    def progress(self, stage: str, total: int, log: logging.Logger) -> Progress: ...


@dataclass(slots=True)
class Asked:
    """What came of asking: rows in no order, what each model cost, and why a competitor could not be asked."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    usage: dict[str, Usage] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def ask_each(
    arena: Arena,
    engines: Asker,
    names: Iterable[str],
    requests: Callable[[Seat], Iterable[Request]],
    read: Callable[[Request, Completion], dict[str, Any]],
    progress: Progress,
) -> Asked:
    """Ask the named competitors, those that share a model together, so that each is loaded once and kept busy.

    Competitors that cannot be seated, or whose engine does not start or dies, are in `failures`; the others go on.
    """
    asked, seated = Asked(), list[Seat]()
    for name in names:
        try:
            seated.append(seat(arena, name))
        except (OSError, ValueError) as error:  # no such model, or no chat template
            asked.failures[name] = str(error)
    for seats in by_model(seated, first=engines.running):
        try:
            rows, usage = engines.ask(chain.from_iterable(map(requests, seats)), read, progress)
        except (ServerFailed, Unreachable) as error:
            asked.failures |= {one.name: str(error) for one in seats}
            continue
        asked.rows += rows
        for model, cost in usage.items():
            asked.usage.setdefault(model, Usage()).add(cost)
    return asked


def by_model(seats: Iterable[Seat], first: ServedModel | None) -> list[list[Seat]]:
    """Seats that share a model together; those of the model `first` first, the rest in the order of appearance."""
    groups: dict[ServedModel, list[Seat]] = {}
    for one in seats:
        groups.setdefault(one.model, []).append(one)
    return sorted(groups.values(), key=lambda group: group[0].model != first)
