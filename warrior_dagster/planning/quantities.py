"""Numbers and names as people write them: counts, times, money, sizes and models in a few characters."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path


def compact(number: float) -> str:
    """A count in at most six characters, such as `9,000`, `35 k` or `1.2 M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (1e3 if unit == 'k' else size):.3g} {unit}"
    return f"{number:,.0f}"


def rate(number: float) -> str:
    """A number a second, with two digits."""
    return f"{float(f'{number:.2g}'):,.0f}" if number >= 1 else f"{number:.2g}"


def hours(number: float | None) -> str:
    """Hours with two digits; a question mark if they are unknown."""
    if number is None:
        return "?"
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def duration(seconds: float | None) -> str:
    """A time in the two largest units, such as `2 h 20 min`; a question mark if it is unknown."""
    if seconds is None:
        return "?"
    for smaller, name, count, unit in ((3_600, "h", 24, "d"), (60, "min", 60, "h")):
        whole, rest = divmod(round(seconds / smaller), count)
        if whole:
            return f"{whole:,} {unit} {rest} {name}" if rest else f"{whole:,} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 180 else f"{seconds:.0f} s"


def money(cost: float | None) -> str:
    """A cost in the currency of the arena's prices; a question mark if it is unknown."""
    return "?" if cost is None else f"{cost:,.2f}"


def size(count: int) -> str:
    """Bytes, such as `35 MB`."""
    for least, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= least:
            return f"{count / least:.3g} {unit}"
    return f"{count} bytes"


def counted(number: int, noun: str) -> str:
    """A number of things, such as `1 model` or `3 models`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def short_names(models: Iterable[str]) -> dict[str, str]:
    """Each model's last part of its path or hub id, or all of it where two models end alike."""
    unique = list(dict.fromkeys(models))
    ends = Counter(Path(model).name for model in unique)
    return {model: model if ends[Path(model).name] > 1 else Path(model).name for model in unique}


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names in a row, the first few of many."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
