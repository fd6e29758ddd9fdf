"""Asking several competitors: each model's work in one go, and one that fails does not take the others' work with it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from warrior_dagster.arena import Arena
from warrior_dagster.inference.asking import Seat, seat
from warrior_dagster.inference.endpoint import Unreachable
from warrior_dagster.inference.engine import Engines, Usage
from warrior_dagster.inference.progress import Progress
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.inference.server import ServerFailed


@dataclass(slots=True)
class Asked:
    """What came of asking: rows in no order, what each model cost, and why a competitor could not be asked."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    usage: dict[str, Usage] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def ask_each(
    arena: Arena,
    engines: Engines,
    names: Iterable[str],
    requests: Callable[[Seat], Iterable[Request]],
    read: Callable[[Request, Completion], dict[str, Any]],
    progress: Progress,
) -> Asked:
    """Ask the named competitors, those that share a server one after another, so that each model is loaded once.

    A competitor whose engine does not start or dies is in `failures`; the others go on.
    """
    asked = Asked()
    for one in by_model([seat(arena, name) for name in names]):
        try:
            rows, usage = engines.ask(requests(one), read, progress)
        except (ServerFailed, Unreachable) as error:
            asked.failures[one.name] = str(error)
            continue
        asked.rows += rows
        for model, cost in usage.items():
            asked.usage.setdefault(model, Usage()).add(cost)
    return asked


def by_model(seats: Sequence[Seat]) -> list[Seat]:
    """Seats in the order of their model's first appearance."""
    models = [one.model for one in seats]
    return sorted(seats, key=lambda one: models.index(one.model))
