"""Why vLLM did not start, from its log: the first error of any of its processes, to which the last ones refer, and the end."""

import re
from pathlib import Path

from warrior_dagster.config.messages import visible

PREFIX = re.compile(r"(?P<process>\([^()]*pid=\d+\) )?(?:ERROR [\d-]+ [\d:]+ \[[^\]]*\] ?)?")
TRACEBACK = "Traceback (most recent call last):"
REFERS_TO_ANOTHER = "root cause"  # "See root cause above", "See stack trace for root cause"
CHAINED = ("During handling of the above", "The above exception was")
ERROR_LINE = re.compile(r" ERROR [\d-]+ |^\S+: error: |out of memory|No module named|^Fatal ", re.IGNORECASE)
OTHER_LEVELS = ("INFO ", "WARNING ", "DEBUG ")
LINES_BEFORE, LINES_AFTER = 12, 4  # of an exception: the end of its traceback, and the rest of a message of many lines
LAST_LINES = 25


def explanation(log: Path, start: int) -> str:
    """The first error in a log from byte `start` on, where this server's lines begin, and the last lines."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode("utf-8", "replace").splitlines()
    first, last = first_error(lines), lines[-LAST_LINES:]
    shown = [] if set(first) <= set(last) else ["the first error in its log:", *first, "the end of its log:"]
    return visible("\n".join([*shown, *last, f"(the whole log: {log})"]))


def first_error(lines: list[str]) -> list[str]:
    """The first exception with the lines around it, or without one the first line that looks like an error; empty if none."""
    found = [PREFIX.match(line) for line in lines]
    texts = [line[match.end() :] if match else line for line, match in zip(lines, found, strict=True)]
    processes = [match["process"] if match else None for match in found]
    for begin, text in enumerate(texts):
        if not text.startswith(TRACEBACK):
            continue
        # Lines of processes alternate.
        own = [
            i for i in range(begin, len(lines)) if processes[i] == processes[begin] and not texts[i].startswith(OTHER_LEVELS)
        ]
        end = next((place for place, i in enumerate(own) if place and texts[i][:1].strip()), None)
        if end is None or REFERS_TO_ANOTHER in texts[own[end]]:
            continue
        after = [texts[i] for i in own[end + 1 : end + 1 + LINES_AFTER]]
        stop = next((n for n, one in enumerate(after) if one.startswith((TRACEBACK, *CHAINED)) or not one), len(after))
        return [texts[i] for i in own[max(0, end - LINES_BEFORE) : end + 1]] + after[:stop]
    return next(([line] for line in lines if ERROR_LINE.search(line)), [])
