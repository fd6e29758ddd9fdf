"""What the answers to one instruction return, side by side: inputs that tell them apart come first."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from warrior_dagster.stages.battles.behaviours.agreement import RETURNED
from warrior_dagster.stages.battles.behaviours.observing import RAISED

SHOWN = 10
"""Inputs that are shown; the others are counted."""
LONGEST = 300
"""The most characters of an input or a value that are shown."""


def compared(rows: Iterable[dict[str, Any]], competitors: Sequence[str], most: int = SHOWN) -> dict[str, Any]:
    """The inputs of one instruction with what each answer did there, from rows of `answer_behaviours`; competitors best first.

    Keys: `competitors` that were observed, `total` inputs, `inputs`, and in words how many `more` are not shown. An input has
    `input`, `differs` (whether answers do different things there) and `values`: for each competitor `shown`, and `same`, the
    number of its group of equal values: 0 for the first competitor's, null where no plain value was returned. Inputs with the
    most different values come first; equal values are found before long ones are cut.
    """
    by_input: dict[str, dict[str, tuple[str, str]]] = {}
    for row in rows:
        said = row["value"] if row["outcome"] == RETURNED else exception(row["reason"]) if row["outcome"] == RAISED else ""
        by_input.setdefault(row["input"], {})[row["competitor"]] = (row["outcome"], said)
    found = sorted(by_input.items(), key=lambda item: (*_alike(item[1].values()), len(item[0]), item[0]))
    differing = [_differs(did) for _, did in found]
    return {
        "competitors": [name for name in competitors if any(name in did for did in by_input.values())],
        "total": len(found),
        "inputs": [
            {"input": cut(text), "differs": _differs(did), "values": _grouped(did, competitors)} for text, did in found[:most]
        ],
        "more": _more(differing[most:]),
    }


def exception(reason: str) -> str:
    """The class of the exception, from a reason that may begin with a note on how the answer was loaded."""
    return reason.rpartition(": ")[2]


def cut(text: str) -> str:
    """A text of at most LONGEST characters; a longer one says how long it is."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text):,} characters)"


def _alike(did: Iterable[tuple[str, str]]) -> tuple[bool, int, int]:
    """How little an input tells answers apart: whether all do the same; minus the numbers of values and of outcomes."""
    different = set(did)
    return len(different) < 2, -sum(outcome == RETURNED for outcome, _ in different), -len(different)


def _differs(did: dict[str, tuple[str, str]]) -> bool:
    return len(set(did.values())) > 1


def _more(differing: Sequence[bool]) -> str:
    counts = ((sum(differing), "where answers differ"), (len(differing) - sum(differing), "where all agree"))
    left = " and ".join(f"{count} more {what}" for count, what in counts if count)
    return left and f"... and {left}"


def _grouped(did: dict[str, tuple[str, str]], competitors: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What each competitor's answer did on one input, with the number of its group."""
    values = [did[name][1] for name in competitors if name in did and did[name][0] == RETURNED]
    first = did.get(competitors[0], ("", "")) if competitors else ("", "")
    own = [first[1]] if first[0] == RETURNED else []
    ordered = [*own, *(value for value, _ in Counter(values).most_common() if value not in own)]
    numbers = {value: number + (not own) for number, value in enumerate(ordered)}
    return {
        name: {"shown": _shown(*did[name]), "same": numbers[did[name][1]] if did[name][0] == RETURNED else None}
        for name in competitors
        if name in did
    }


def _shown(outcome: str, said: str) -> str:
    return cut(said if outcome == RETURNED else f"{outcome} {said}".strip())
