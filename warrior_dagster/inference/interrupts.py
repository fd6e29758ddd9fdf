"""Makes an interrupt stop a run while an event loop is running.

Dagster turns a signal (Ctrl-C, or "Terminate" in the UI) into an exception raised in the main thread. If the event loop is
between two tasks at that moment, the exception is raised in one of the loop's callbacks: asyncio would log it and continue.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def interruptible(work: Coroutine[Any, Any, None]) -> None:
    """Await `work`. If a signal handler raises in a callback of the loop, cancel `work` and raise that exception."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    interrupts: list[BaseException] = []

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException) and not isinstance(error, Exception | asyncio.CancelledError):
            interrupts.append(error)
            task.cancel()
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    try:
        await work
    except asyncio.CancelledError:
        if interrupts:
            raise interrupts[0] from None
        raise
