"""Every competitor answers every selected instruction, with its own system prompt (METHOD section 4)."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Sampling
from warrior_dagster.inference.dispatch import Backend, DispatchResult, dispatch
from warrior_dagster.inference.prompting import REQUEST_COLUMNS, LoadedCompetitor, request_columns, user_prompt
from warrior_dagster.inference.reasoning import ENDED_IN_REASONING
from warrior_dagster.inference.request import Completion, Request

SCHEMA = {
    "row_id": pl.String,
    "instruction_id": pl.String,
    "competitor": pl.String,
    "status": pl.String,
    "answer": pl.String,
    "reasoning": pl.String,
    "usable": pl.Boolean,
    "tokens": pl.Int64,
    **REQUEST_COLUMNS,
}
SAMPLE_SCHEMA = {**SCHEMA, "sample": pl.Int64}
"""A row of each sample, where competitors answer an instruction more than once; its row id ends in the sample's number."""
USABLE = ("ok", "unfinished")
"""The statuses of answers that battle. An unfinished one, cut off at the token limit, is never exported to be imitated.
A reply that is `unfinished_reasoning` has no answer.
"""


def answer(arena: Arena, engines: Backend, selected: pl.DataFrame, names: Sequence[str], log: logging.Logger) -> DispatchResult:
    """All samples of some competitors' answers to the selected instructions; rows of SCHEMA with the number of the sample."""
    ordered = selected.sort("row_id")
    settings = {name: arena.competitor(name) for name in names}
    samples = {name: arena.answer_samples(one) for name, one in settings.items()}
    table = "answer_samples" if arena.settles else "answers"
    return dispatch(
        arena,
        engines,
        names,
        lambda one: requests(one, ordered, arena.answer_sampling(settings[one.name]), samples[one.name]),
        read,
        engines.progress(table, len(selected) * sum(samples.values()), log),
        "answers",
    )


def requests(competitor: LoadedCompetitor, selected: pl.DataFrame, sampling: Sampling, samples: int = 1) -> Iterator[Request]:
    """One request per instruction for some samples; `selected` has instruction_id and instruction."""
    for identity, instruction in selected.select("instruction_id", "instruction").iter_rows():
        prompt = user_prompt(competitor, instruction)
        yield competitor.reply(prompt, sampling, (competitor.name, identity), tuple(range(samples)))


def sample_rows(answered: list[dict[str, Any]]) -> pl.DataFrame:
    """The rows of all samples, with SAMPLE_SCHEMA."""
    rows = pl.DataFrame(answered, schema=SAMPLE_SCHEMA)
    return rows.with_columns(row_id=pl.format("{}:{}", "instruction_id", pl.col("sample").cast(pl.String).str.zfill(2)))


def read(request: Request, completion: Completion) -> dict[str, Any]:
    """The row of one answer."""
    competitor, identity = request.tag
    text = completion.text.strip()
    if completion.error is not None:
        status = "failed"
    elif completion.finish_reason == ENDED_IN_REASONING:
        status = "unfinished_reasoning"
    elif not text:
        status = "empty"
    else:
        status = "unfinished" if completion.finish_reason == "length" else "ok"
    return {
        "row_id": identity,
        "instruction_id": identity,
        "competitor": competitor,
        "status": status,
        "answer": text,
        "reasoning": completion.reasoning,
        "usable": status in USABLE,
        "tokens": completion.completion_tokens,
        "sample": completion.sample,
        **request_columns(completion),
    }
