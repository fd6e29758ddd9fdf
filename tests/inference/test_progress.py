"""Progress: the same numbers in a terminal's bar and in a run's log, and there at a calm pace."""

import io

import pytest
from rich.console import Console

from warrior_dagster.inference.progress import CALM_SECONDS, Progress, bars, calmly


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the clock shows."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_line_says_how_many_of_how_many_how_fast_and_how_long_the_rest_takes(clock: list[float]) -> None:
    one = Progress(lambda _: None, "votes", total=100, started=clock[0])
    assert str(one) == "votes: 0 of 100 (0 asked, 0 tokens/s)"
    clock[0] += 90
    one.done, one.sent, one.tokens = 25, 20, 9000
    assert str(one) == "votes: 25 of 100 (20 asked, 100 tokens/s, 0:04:30 left)"
    one.done = 100
    assert "left" not in str(one)


def test_a_log_gets_a_line_when_time_has_passed_when_something_is_waited_for_and_at_the_end(clock: list[float]) -> None:
    lines: list[str] = []
    one = Progress(calmly(lines.append), "votes", total=50, started=clock[0])
    for done in range(1, 51):
        one.done = done
        one.report(one)
        clock[0] += 1
    assert len(lines) == 1 + 49 // CALM_SECONDS + 1
    assert lines[-1].startswith("votes: 50 of 50")
    one.done = 10
    one.say("loading a model")
    one.say("loading a model")
    assert lines[-1] == "votes: 10 of 50 (loading a model, 0:03:20 left)"
    assert len(lines) == 6


def test_a_bar_shows_the_same_numbers_and_the_time_that_remains(clock: list[float]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with bars(console) as report:
        one = Progress(report, "votes", total=4, started=clock[0])
        clock[0] += 10
        one.done, one.sent, one.tokens = 4, 3, 100
        one.report(one)
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue()
    assert "4/4" in drawn
    assert "3 asked, 10 tokens/s" in drawn
