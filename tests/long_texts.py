"""Long texts of a kind that a pattern or a loop may read in quadratic time, as models write them when they loop."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

LENGTH = 100_000
SHARE, MOST = 4, 8
"""A text four times as long takes a linear reader about 4 times as long, and a quadratic one 16 times."""
FLOOR = 1.0
"""Less than these seconds of processor time are too short to compare."""
UNITS = (
    *(" ", "\t", "\n", "[", "*", "_", "`", "``` ", "```\n", "#", "-\n", "(", "\"'", "1", "a. ", "中。", "none\n", "verdict "),
    *("assert f(1) == 1\n", "a=1\n", "a=1;", "'a' ", "User:", "User:\n", "Answer: ", "sure ", "<|im_start|>user\n"),
)
FRAMES = ("{}", "x\n{}Z", "verdict{}Z", "```python\n{}\n```")


def long_texts(length: int = LENGTH) -> Iterator[str]:
    """Every unit, repeated to so many characters, in every frame."""
    for unit in UNITS:
        repeated = (unit * length)[:length]
        yield from (frame.format(repeated) for frame in FRAMES)


def assert_linear(read: Callable[[str], Any]) -> None:
    """Fail for a text for which `read` needs more than MOST times the processor time of a SHARE of it, also to refuse it."""

    def seconds(text: str) -> float:
        start = time.process_time()
        with suppress(ValueError):
            read(text)
        return time.process_time() - start

    def slow(long: str, short: str) -> bool:
        return (took := seconds(long)) > FLOOR and took > MOST * seconds(short)

    for texts in zip(long_texts(), long_texts(LENGTH // SHARE), strict=True):
        # Times of a busy machine vary: a text is too slow if it is so every time.
        assert not all(slow(*texts) for _ in range(3)), texts[1][:20]
