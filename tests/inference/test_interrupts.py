"""A signal whose handler raises, as Dagster's does, ends what is asked, whatever the event loop is doing."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest
import uvloop

from warrior_dagster.inference.interrupts import stoppable


class Told(BaseException):
    """What a handler raises."""


@pytest.fixture
def told_soon() -> Iterator[None]:
    """A signal comes in a moment, and its handler raises."""

    def handler(*_: object) -> None:
        raise Told

    before = signal.signal(signal.SIGUSR1, handler)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    yield
    timer.join()
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("run", [uvloop.run, asyncio.run])
@pytest.mark.usefixtures("told_soon")
def test_it_stops_while_everything_waits_and_cleans_up_first(run: object) -> None:
    cleaned = []

    async def waiting() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)

    assert callable(run)
    with pytest.raises(Told):
        run(stoppable(waiting()))
    assert cleaned == [True]


@pytest.mark.usefixtures("told_soon")
def test_it_stops_while_a_task_is_busy() -> None:
    async def busy() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Told):
        uvloop.run(stoppable(busy()))


def test_other_errors_and_results_are_as_without_it() -> None:
    async def broken() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        uvloop.run(stoppable(broken()))

    async def fine() -> None:
        await asyncio.sleep(0)

    uvloop.run(stoppable(fine()))
