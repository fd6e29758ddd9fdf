"""A run that is told to stop stops, though an event loop is in between.

Dagster turns a signal (Ctrl-C, or "Terminate" in the UI) into an exception raised wherever the main thread is. While an event
loop is between two tasks, that is one of its own callbacks, and asyncio would log the exception and go on asking.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def stoppable(work: Coroutine[Any, Any, None]) -> None:
    """Await `work`; raises what a signal's handler raised in a callback of the loop, once `work` has been cancelled."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    told: list[BaseException] = []

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException) and not isinstance(error, Exception | asyncio.CancelledError):
            told.append(error)
            task.cancel()
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    try:
        await work
    except asyncio.CancelledError:
        if told:
            raise told[0] from None
        raise
