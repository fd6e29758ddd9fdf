"""Difficulty: a panel of judges scores each instruction from 1 to 10, with the bands of METHOD section 3."""

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.stages import Difficulty
from warrior_dagster.inference.dispatch import Backend, DispatchResult, dispatch
from warrior_dagster.inference.prompting import (
    REQUEST_COLUMNS,
    LoadedCompetitor,
    choice_probabilities,
    judge_prompt,
    last_line_verdict,
    request_columns,
)
from warrior_dagster.inference.request import Completion, Request

DIGITS = tuple("0123456789")
"""A direct verdict is one digit, because one token cannot distinguish 1 from 10: digit d means score d + 1."""
RATING_SCHEMA = {
    **dict.fromkeys(("instruction_id", "judge"), pl.String),
    "score": pl.Float64,
    **dict.fromkeys(("reason", "text", "reasoning"), pl.String),
    **REQUEST_COLUMNS,
}
BANDS = ((8.5, "excellent"), (5.5, "good"), (2.5, "average"), (0.0, "poor"))


def rate(arena: Arena, engines: Backend, unique: pl.DataFrame, log: logging.Logger) -> DispatchResult:
    """Have the panels rate unique instructions (instruction_id, competitor, instruction). The rows have RATING_SCHEMA."""
    judged_by = {
        judge: unique.filter(pl.col("competitor").is_in([name for name in arena.roster if judge in arena.panel(name)]))
        for judge in arena.roster
    }
    return dispatch(
        arena,
        engines,
        [judge for judge, frame in judged_by.items() if len(frame)],
        lambda judge: requests(judge, judged_by[judge.name], arena.difficulty),
        partial(read, settings=arena.difficulty),
        engines.progress("difficulty", sum(map(len, judged_by.values())), log),
        "verdicts",
    )


def requests(judge: LoadedCompetitor, instructions: pl.DataFrame, settings: Difficulty) -> Iterator[Request]:
    """One request per instruction; `instructions` has instruction_id and instruction."""
    for identity, instruction in instructions.select("instruction_id", "instruction").iter_rows():
        prompt = judge_prompt(judge, settings.prompt, instruction=instruction)
        tag = (judge.name, identity)
        yield judge.choice(prompt, DIGITS, tag) if settings.verdict == "direct" else judge.reply(prompt, settings.sampling, tag)


def read(request: Request, completion: Completion, settings: Difficulty) -> dict[str, Any]:
    """One judge's rating of one instruction. If the judge abstained, `score` is null and `reason` says why."""
    judge, identity = request.tag
    score, reason = score_of(completion, settings)
    rating = {"instruction_id": identity, "judge": judge, "score": score, "reason": reason}
    return rating | {"text": completion.text, "reasoning": completion.reasoning} | request_columns(completion)


def score_of(completion: Completion, settings: Difficulty) -> tuple[float | None, str]:
    """The score from 1 to 10 in a judge's completion and "", or None and the reason."""
    if settings.verdict == "direct":
        probabilities, reason = choice_probabilities(completion, DIGITS)
        return (sum((int(d) + 1) * p for d, p in probabilities.items()), "") if probabilities else (None, reason)
    verdict, reason = last_line_verdict(completion, r"\d+(?:\.\d+)?")
    if verdict is None:
        return None, reason
    if not 1 <= float(verdict) <= 10:
        return None, f"expected a score from 1 to 10; found {verdict}"
    return float(verdict), ""


def difficulty(instructions: pl.DataFrame, ratings: Iterable[dict[str, Any]], keep: float) -> pl.DataFrame:
    """One row per instruction: mean score of the judges that gave one, band, and whether it is kept.

    An instruction that no judge scored has a null score and the band `unrated`, and is not kept.
    """
    rated = pl.DataFrame(list(ratings), schema=RATING_SCHEMA).sort("instruction_id", "judge")
    score, band = pl.col("score"), pl.lit("unrated")
    scores = rated.group_by("instruction_id", maintain_order=True).agg(
        score.mean(),
        scored_by=score.count().cast(pl.Int64),
        abstained=score.null_count().cast(pl.Int64),
        ratings=pl.struct(c for c in RATING_SCHEMA if c != "instruction_id"),
    )
    for least, name in reversed(BANDS):
        band = pl.when(score >= least).then(pl.lit(name)).otherwise(band)
    scored = instructions.join(scores, on="instruction_id", how="left", maintain_order="left")
    return scored.with_columns(band=band, kept=(score >= keep).fill_null(False))
