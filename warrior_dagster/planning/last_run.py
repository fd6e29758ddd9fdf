"""What a run planned at its start, what it took stage by stage, and what its checks found: one small file in the warehouse, of
the last run that made anything.
"""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ValidationError

from warrior_dagster.config.arena import Arena
from warrior_dagster.warehouse.locks import opened
from warrior_dagster.warehouse.state import local_folder

if TYPE_CHECKING:
    from warrior_dagster.planning.cost import PlanLine


class Use(BaseModel):
    """What one stage was expected to take, or took."""

    completions: int = 0
    """Those that were asked for, failed ones included."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    gpu_hours: float | None = 0.0
    """With engine starts; None if no speed was known."""
    seconds: float | None = 0.0
    """The time that all models together took, engine starts included; None as above. Services take time and no GPU."""

    def plus(self, other: Self) -> "Use":
        """Both together."""

        def both(one: float | None, another: float | None) -> float | None:
            return None if one is None or another is None else one + another

        return Use(
            completions=self.completions + other.completions,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            gpu_hours=both(self.gpu_hours, other.gpu_hours),
            seconds=both(self.seconds, other.seconds),
        )


class LastRun(BaseModel):
    """The last `warrior run` of an arena."""

    started: datetime
    finished: datetime | None = None
    """None while it runs, and if it was stopped."""
    planned: dict[str, Use]
    """By stage, which is the name of its table."""
    actual: dict[str, Use] = {}
    start_seconds: dict[str, float] = {}
    """The mean seconds of an engine start, by model; those of earlier runs stay until a model is started again."""
    state: str = ""
    """A hash over the arena and its rows at the end of the run; empty until then."""
    failed_checks: list[str] = []
    warnings: list[str] = []
    """The findings of checks of severity WARN."""


def run_begins(arena: Arena, plan: Iterable["PlanLine"]) -> LastRun:
    """The record of a run that starts now, written with its plan."""
    planned, before = dict[str, Use](), read_last_run(arena)
    for line in plan:
        use = Use(
            completions=line.to_send,
            prompt_tokens=line.prompt_tokens,
            completion_tokens=line.completion_tokens,
            gpu_hours=line.gpu_hours,
            seconds=line.seconds,
        )
        planned[line.stage] = planned.get(line.stage, Use()).plus(use)
    run = LastRun(started=datetime.now(UTC), planned=planned, start_seconds=before.start_seconds if before else {})
    write_last_run(arena, run)
    return run


def read_last_run(arena: Arena) -> LastRun | None:
    """The record of the last run; None without one, or if it cannot be read: then a run makes everything again."""
    try:
        return LastRun.model_validate_json(path_of(arena).read_text("utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError):
        return None


def write_last_run(arena: Arena, run: LastRun) -> None:
    """Replace the record at once for those who read it. Raises OSError."""
    path = path_of(arena)
    unfinished = Path(f"{path}.{os.getpid()}")
    with open(unfinished, "w", encoding="utf-8", opener=opened) as file:
        file.write(run.model_dump_json(indent=2))
    unfinished.replace(path)


def path_of(arena: Arena) -> Path:
    """The file, one for each arena of a warehouse."""
    return local_folder(arena.warehouse) / f"last_run.{arena.name}.json"
