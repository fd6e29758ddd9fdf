"""A signal whose handler raises, as Dagster's does, stops the work in any state of the event loop."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest
import uvloop

from warrior_dagster.inference.engines import interruptible


class Interrupt(BaseException):
    """Raised by the signal's handler."""


@pytest.fixture
def interrupt_soon() -> Iterator[None]:
    """Sends a signal after 0.3 s; its handler raises."""

    def handler(*_: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGUSR1, handler)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    yield
    timer.join()
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("run", [uvloop.run, asyncio.run])
@pytest.mark.usefixtures("interrupt_soon")
def test_waiting_tasks_stop_and_clean_up(run: object) -> None:
    cleaned = []

    async def waiting() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)

    assert callable(run)
    with pytest.raises(Interrupt):
        run(interruptible(waiting()))
    assert cleaned == [True]


@pytest.mark.usefixtures("interrupt_soon")
def test_a_busy_task_stops() -> None:
    async def busy() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Interrupt):
        uvloop.run(interruptible(busy()))


def test_other_errors_and_results_pass_through() -> None:
    async def broken() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        uvloop.run(interruptible(broken()))

    async def fine() -> None:
        await asyncio.sleep(0)

    uvloop.run(interruptible(fine()))
