"""Progress: a terminal's bar and a run's log show the same numbers, and the log is written rarely."""

import io
import logging
from pathlib import Path

import pytest
from rich.console import Console

from warrior_dagster.config.serving import Engine
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.progress import LOG_SECONDS, Progress, periodic_log, progress_bars

LOG = logging.getLogger("progress")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of a clock that a test sets, in seconds."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_line_has_the_counts_the_speed_and_the_time_remaining(clock: list[float]) -> None:
    one = Progress(lambda _: None, "votes", total=100, started=clock[0])
    assert str(one) == "votes: 0 of 100 (0 sent, 0 tokens/s)"
    clock[0] += 90
    one.done, one.sent, one.tokens = 25, 20, 9000
    assert str(one) == "votes: 25 of 100 (20 sent, 100 tokens/s, 0:05:38 left)"  # 75 at the speed of those that were sent
    one.done = 100
    assert "left" not in str(one)


def test_a_log_line_is_written_periodically_at_the_start_of_waiting_and_at_the_end(clock: list[float]) -> None:
    lines: list[str] = []
    one = Progress(periodic_log(lines.append), "votes", total=50, started=clock[0])
    for done in range(1, 51):
        one.done = done
        one.report(one)
        clock[0] += 1
    assert len(lines) == 1 + 49 // LOG_SECONDS + 1
    assert lines[-1].startswith("votes: 50 of 50")
    one.done = 10
    one.wait_for("loading a model")
    one.wait_for("loading a model")
    assert lines[-1] == "votes: 10 of 50 (loading a model)"  # nothing was sent, so no speed is known
    assert len(lines) == 6


def test_a_bar_shows_the_same_numbers(clock: list[float]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with progress_bars(console) as report:
        one = Progress(report, "votes", total=4, started=clock[0])
        clock[0] += 10
        one.done, one.sent, one.tokens = 4, 3, 100
        one.report(one)
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue()
    assert "4/4" in drawn
    assert "3 sent, 10 tokens/s" in drawn


def test_the_time_remaining_neither_counts_waiting_nor_jumps_when_the_first_of_many_in_flight_come_back(
    clock: list[float],
) -> None:
    """100 samples, 20 in flight at once, of 10 to 30 seconds each: about 100 s of work after an engine's start."""
    one = Progress(lambda _: None, "answers", total=100, started=clock[0])
    one.wait_for("starting the engine")
    clock[0] += 60
    one.wait_for("")
    promised = []
    ends = sorted(10.0 + 20 * ((n * 7) % 20) / 20 + 20 * (n // 20) for n in range(100))
    start = clock[0]
    for done, end in enumerate(ends, 1):
        clock[0] = start + end
        one.done = one.sent = done
        one.in_flight = min(20, 100 - done)
        if left := one.remaining:
            minutes, seconds = map(int, left.removesuffix(" left").split(":")[1:])
            promised.append((end + 60 * minutes + seconds) / ends[-1])
    assert len(promised) > 85
    assert all(0.7 <= one <= 1.3 for one in promised), promised


def test_the_time_of_the_run_adds_what_later_stages_are_planned_to_take(clock: list[float], tmp_path: Path) -> None:
    with LedgerWriter(str(tmp_path)) as ledger, Engines(Engine(), ledger, tmp_path) as engines:
        engines.seconds_ahead = {"answers": 20.0, "judge_votes": 120.0}
        one = engines.progress("answers", 100, LOG)
        one.started = clock[0]
        clock[0] += 10
        one.done = one.sent = 50
        assert one.remaining == "0:00:10 left, 0:02:10 of the run"
        last = engines.progress("judge_votes", 100, LOG)
        assert last.after == 0


def test_a_bar_has_its_count_and_its_time_in_a_narrow_terminal(clock: list[float]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with progress_bars(console) as report:
        one = Progress(report, "instruction_difficulty", total=90_000, after=36_000, started=clock[0])
        clock[0] += 3600
        one.done = one.sent = 30_000
        one.report(one)
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue()
    assert "instruction_difficulty" in drawn
    assert "30000/90000" in drawn
    assert "2:00:00 left" in drawn
