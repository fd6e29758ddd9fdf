"""Every competitor answers every selected instruction, as itself (METHOD 4)."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from warrior_dagster.arena import Sampling
from warrior_dagster.inference.asking import Seat, question
from warrior_dagster.inference.request import Completion, Request

SCHEMA = {
    "row_id": pl.String,
    "instruction_id": pl.String,
    "competitor": pl.String,
    "status": pl.String,
    "reason": pl.String,
    "answer": pl.String,
    "usable": pl.Boolean,
    "tokens": pl.Int64,
    "completion_key": pl.String,
}
USABLE = ("ok", "unfinished")
"""Answers that battle. One that hit the token limit does, and is never exported as something to imitate."""


def requests(seat: Seat, selected: pl.DataFrame, sampling: Sampling) -> Iterator[Request]:
    """One request an instruction; `selected` has instruction_id and instruction."""
    for identity, instruction in selected.select("instruction_id", "instruction").iter_rows():
        yield seat.request(question(seat, instruction), sampling, (seat.name, identity))


def read(request: Request, completion: Completion) -> dict[str, Any]:
    """The row of one answer."""
    competitor, identity = request.tag
    text = completion.text.strip()
    if completion.error is not None:
        status = "failed"
    elif not text:
        status = "empty"
    else:
        status = "unfinished" if completion.finish_reason == "length" else "ok"
    return {
        "row_id": identity,
        "instruction_id": identity,
        "competitor": competitor,
        "status": status,
        "reason": completion.error or "",
        "answer": text,
        "usable": status in USABLE,
        "tokens": completion.completion_tokens,
        "completion_key": completion.key,
    }
