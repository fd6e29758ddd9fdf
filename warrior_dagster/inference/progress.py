"""The progress of a stage that uses models: bars in a terminal, or periodic lines in a run's log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Column

from warrior_dagster.config.messages import visible

LOG_SECONDS = 15.0
REDRAW_SECONDS = 0.1  # redrawing a bar after every completion would take longer than the completions

Report = Callable[["Progress"], None]


@dataclass(slots=True)
class Progress:
    """A stage's progress in samples; `report` is called with it whenever it changes.

    `stage` is the name of the table that is made, where there is one.
    """

    report: Report
    stage: str
    total: int
    after: float = 0.0
    """Seconds that the stages of the run after this one are planned to take; 0 if that is unknown."""
    model: str = ""
    waiting_for: str = ""
    done: int = 0
    sent: int = 0
    """Samples that came back from a model; the others of `done` were in the ledger."""
    in_flight: int = 0
    tokens: int = 0
    started: float = field(default_factory=time.monotonic)
    waited: float = 0.0
    """Seconds of waiting that are over, such as those of an engine's start."""
    waits_since: float | None = None

    @property
    def working(self) -> float:
        """Seconds since the start without those of waiting."""
        now = time.monotonic()
        return (self.waits_since or now) - self.started - self.waited

    @property
    def status(self) -> str:
        """What the stage is waiting for, or the samples that were sent and the speed."""
        return self.waiting_for or f"{self.sent} sent, {self.tokens / max(self.working, 1e-9):.0f} tokens/s"

    @property
    def seconds_left(self) -> float | None:
        """The time that the rest takes at the speed so far; None if unknown or done.

        Models answer many requests at once, so those in flight count as half done. Without that, the first answers of a stage
        would promise far too long, and the last ones far too little.
        """
        half_done = self.in_flight / 2
        if not self.sent or self.sent < half_done or self.done >= self.total:
            return None
        left = max(self.total - self.done - half_done, half_done)
        return self.working / (self.sent + half_done) * left

    @property
    def remaining(self) -> str:
        """The time that the rest of the stage takes; if that of the stages after it is known, also of all together."""
        if (seconds := self.seconds_left) is None:
            return ""
        return f"{rounded(seconds)} left{f', {rounded(seconds + self.after)} of the run' if self.after else ''}"

    def wait_for(self, reason: str) -> None:
        """Report what the stage is waiting for from now on; "" if it no longer waits."""
        now = time.monotonic()
        if self.waits_since is not None:
            self.waited += now - self.waits_since
        self.waits_since = now if reason else None
        self.waiting_for = visible(reason)  # it may have a server's words
        self.report(self)

    def __str__(self) -> str:
        return f"{self.stage}: {self.done} of {self.total} ({', '.join(filter(None, (self.status, self.remaining)))})"


def rounded(seconds: float) -> timedelta:
    return timedelta(seconds=round(seconds))


def periodic_log(write: Callable[[str], None]) -> Report:
    """Write a line every 15 s, one at the end, and one whenever the stage starts to wait for something."""
    last, waited_for = -LOG_SECONDS, ""

    def report(progress: Progress) -> None:
        nonlocal last, waited_for
        now = time.monotonic()
        starts_waiting = progress.waiting_for and progress.waiting_for != waited_for
        if starts_waiting or now - last >= LOG_SECONDS or progress.done == progress.total:
            last, waited_for = now, progress.waiting_for
            write(str(progress))

    return report


@contextmanager
def progress_bars(console: Console) -> Iterator[Report]:
    """Draw one bar for each stage."""
    name, rest = TextColumn("{task.description:<22}"), Column(ratio=1, no_wrap=True, overflow="ellipsis")
    last_column = TextColumn("{task.fields[note]}", markup=False, table_column=rest)
    columns = (name, BarColumn(8), MofNCompleteColumn(), TimeElapsedColumn(), last_column)
    with Bars(*columns, console=console, expand=True) as drawn:
        tasks: dict[int, tuple[Progress, TaskID]] = {}
        last = 0.0

        def report(progress: Progress) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last < REDRAW_SECONDS and progress.done < progress.total and not progress.waiting_for:
                return
            last = now
            if id(progress) not in tasks:  # holds the progress, so that its id is not reused
                tasks[id(progress)] = (progress, drawn.add_task(progress.stage, total=progress.total, note=""))
            note = ", ".join(filter(None, (progress.remaining, progress.status)))  # what does not fit is cut off
            drawn.update(tasks[id(progress)][1], completed=progress.done, note=note)

        yield report
