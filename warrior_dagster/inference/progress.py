"""How far a stage that asks models is: bars in a terminal, lines at a calm pace in a run's log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

CALM_SECONDS = 15.0
REDRAW_SECONDS = 0.1
"""A bar that moved with every answer would cost more than the answers."""

Report = Callable[["Progress"], None]


@dataclass(slots=True)
class Progress:
    """A stage's progress in samples, told to `report` when anything changes."""

    report: Report
    stage: str
    total: int
    model: str = ""
    waits_for: str = ""
    done: int = 0
    sent: int = 0
    tokens: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def doing(self) -> str:
        """What goes on: what the stage waits for, or how much was asked and how fast."""
        rate = self.tokens / max(time.monotonic() - self.started, 1e-9)
        return self.waits_for or f"{self.sent} asked, {rate:.0f} tokens/s"

    @property
    def left(self) -> str:
        """How long the rest takes at the speed so far; nothing while that cannot be said or nothing is left."""
        if not 0 < self.done < self.total:
            return ""
        seconds = (time.monotonic() - self.started) * (self.total - self.done) / self.done
        return f", {timedelta(seconds=round(seconds))} left"

    def say(self, waits_for: str) -> None:
        """Report what the stage waits for from now on; nothing: it goes on."""
        self.waits_for = waits_for
        self.report(self)

    def __str__(self) -> str:
        return f"{self.stage}: {self.done} of {self.total} ({self.doing}{self.left})"


def calmly(tell: Callable[[str], None]) -> Report:
    """Tell a line every 15 seconds, one at the end, and one whenever the stage begins to wait for something."""
    last, waited_for = -CALM_SECONDS, ""

    def report(progress: Progress) -> None:
        nonlocal last, waited_for
        now = time.monotonic()
        news = progress.waits_for and progress.waits_for != waited_for
        if news or now - last >= CALM_SECONDS or progress.done == progress.total:
            last, waited_for = now, progress.waits_for
            tell(str(progress))

    return report


@contextmanager
def bars(console: Console) -> Iterator[Report]:
    """Draw a bar for each stage."""
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bars(*columns, console=console) as drawn:
        tasks: dict[int, tuple[Progress, TaskID]] = {}
        last = 0.0

        def report(progress: Progress) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last < REDRAW_SECONDS and progress.done < progress.total and not progress.waits_for:
                return
            last = now
            if id(progress) not in tasks:  # kept with the progress itself, so that its id is not used again
                tasks[id(progress)] = (progress, drawn.add_task(progress.stage, total=progress.total, note=""))
            drawn.update(tasks[id(progress)][1], completed=progress.done, note=progress.doing)

        yield report
