"""Mining requests and their results: many samples of each prefix, over a grid of sampling settings (METHOD section 2)."""

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from string import Template
from typing import Any

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Sampling
from warrior_dagster.config.stages import Mining
from warrior_dagster.inference.dispatch import Backend, DispatchResult, dispatch
from warrior_dagster.inference.prompting import REQUEST_COLUMNS, LoadedCompetitor, request_columns
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.stages.mining.cleaning import clean
from warrior_dagster.stages.mining.prefix import mining_system_prompt, user_turn_prefix

SCHEMA = {
    "row_id": pl.String,
    "instruction_id": pl.String,
    "competitor": pl.String,
    "language": pl.String,
    "temperature": pl.Float64,
    "top_p": pl.Float64,
    "sample": pl.Int64,
    "status": pl.String,
    "instruction": pl.String,
    "tokens": pl.Int64,
    **REQUEST_COLUMNS,
}


def mine(arena: Arena, engines: Backend, names: Sequence[str], log: logging.Logger) -> DispatchResult:
    """Sample the whole grid of each competitor; a service that only chats is not mined. The rows have SCHEMA."""
    names = list(filter(arena.mines, names))
    samples = len(arena.languages) * len(arena.mining.settings) * arena.mining.samples
    return dispatch(
        arena,
        engines,
        names,
        lambda competitor: requests(competitor, arena.languages, arena.mining),
        partial(read, mining=arena.mining),
        engines.progress("mined_instructions", samples * len(names), log),
        "mining",
    )


def requests(competitor: LoadedCompetitor, languages: tuple[str, ...], mining: Mining) -> Iterator[Request]:
    """The requests of a competitor's grid, `samples_per_request` samples each. Requests of one prefix are consecutive."""
    assert competitor.template, "only competitors with a chat template are mined"
    for language in languages:
        language_prompt = Template(mining.prompt).substitute(language=language)
        system = mining_system_prompt(competitor.template, competitor.system, language_prompt)
        prefix = user_turn_prefix(competitor.template, system)
        for setting in mining.settings:
            sampling = Sampling(temperature=setting.temperature, top_p=setting.top_p, max_tokens=mining.max_tokens)
            origin = {"competitor": competitor.name, "language": language, **setting.model_dump()}
            for first in range(0, mining.samples, mining.samples_per_request):
                samples = tuple(range(first, min(first + mining.samples_per_request, mining.samples)))
                yield competitor.user_turn(prefix, sampling, origin, samples)


def read(request: Request, completion: Completion, mining: Mining) -> dict[str, Any]:
    """The row of one sample. An unusable sample is kept with the reason as `status` and no instruction.

    The tag has the columns of the origin. The instruction's id comes from its completion key, so renaming a competitor does not
    change it. Two competitors with the same weights and prompt give the same instructions: deduplication keeps one.
    """
    if completion.error is not None:
        instruction, status = "", "failed"
    else:
        finished = completion.finish_reason != "length"
        instruction, status = clean(completion.text, finished=finished, min_chars=mining.min_chars, max_chars=mining.max_chars)
    identity = completion.key[:16]
    return {
        "row_id": identity,
        "instruction_id": identity,
        **request.tag,
        "sample": completion.sample,
        "status": status,
        "instruction": instruction if status == "ok" else "",
        "tokens": completion.completion_tokens,
        **request_columns(completion),
    }
