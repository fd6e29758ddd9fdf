"""Long texts of a kind that a pattern or a loop may read in quadratic time, as models write them when they loop."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

LENGTH = 100_000
SECONDS = 6.0
"""A linear reader needs at most about a second, a quadratic one far more than ten."""
UNITS = (
    *(" ", "\t", "\n", "[", "*", "_", "`", "``` ", "```\n", "#", "-\n", "(", "\"'", "1", "a. ", "中。", "none\n", "verdict "),
    *("assert f(1) == 1\n", "a=1\n", "a=1;", "'a' ", "User:", "User:\n", "Answer: ", "sure ", "<|im_start|>user\n"),
)
FRAMES = ("{}", "x\n{}Z", "verdict{}Z", "```python\n{}\n```")


def long_texts() -> Iterator[str]:
    """Every unit, repeated to LENGTH characters, in every frame."""
    for unit in UNITS:
        repeated = (unit * LENGTH)[:LENGTH]
        yield from (frame.format(repeated) for frame in FRAMES)


def assert_linear(read: Callable[[str], Any]) -> None:
    """Fail for a text that `read` needs more than SECONDS of processor time for, also to refuse it with ValueError."""
    for text in long_texts():
        start = time.process_time()
        with suppress(ValueError):
            read(text)
        assert time.process_time() - start < SECONDS, text[:20]
