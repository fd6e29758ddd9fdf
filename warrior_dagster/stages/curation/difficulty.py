"""Difficulty: a panel of judges scores each instruction from 1 to 10, with the bands of METHOD section 3.

Where the arena drops what is off topic, the same panel is asked first whether an instruction is about programming.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
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
VERDICT_SCHEMA = {**RATING_SCHEMA, "on_topic": pl.Float64}
"""A judge's verdict on an instruction: its score, or the probability (1 or 0 if reasoned) that it is about programming."""
YES_OR_NO = ("Y", "N")
ON_TOPIC = (pl.col("on_topic") >= 0.5).fill_null(True)
"""The instructions that are not off topic. One that no judge gave a verdict on stays."""
BANDS = ((8.5, "excellent"), (5.5, "good"), (2.5, "average"), (0.0, "poor"))


def rate(arena: Arena, engines: Backend, unique: pl.DataFrame, log: logging.Logger) -> DispatchResult:
    """Have the panels rate unique instructions (instruction_id, competitor, instruction). The rows have VERDICT_SCHEMA.

    Instructions that are off topic are not rated if the arena drops them.
    """
    settings, result = arena.difficulty, DispatchResult()
    if settings.off_topic == "drop":
        result = ask(arena, engines, unique, topic_requests, read_topic, log)
        unique = difficulty(unique, result.rows, settings).filter(ON_TOPIC)
    result.add(ask(arena, engines, unique, requests, read, log))
    return result


def ask(
    arena: Arena,
    engines: Backend,
    unique: pl.DataFrame,
    requests: Callable[[LoadedCompetitor, pl.DataFrame, Difficulty], Iterator[Request]],
    read: Callable[..., dict[str, Any]],
    log: logging.Logger,
) -> DispatchResult:
    """Send the requests about each instruction to the panel of its competitor."""
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
        engines.progress("instruction_difficulty", sum(map(len, judged_by.values())), log),
        "verdicts",
    )


def requests(judge: LoadedCompetitor, instructions: pl.DataFrame, settings: Difficulty) -> Iterator[Request]:
    """One request per instruction; `instructions` has instruction_id and instruction."""
    for identity, instruction in instructions.select("instruction_id", "instruction").iter_rows():
        prompt = judge_prompt(judge, settings.prompt, instruction=instruction)
        yield judge.verdict(prompt, settings, DIGITS, (judge.name, identity))


def topic_requests(judge: LoadedCompetitor, instructions: pl.DataFrame, settings: Difficulty) -> Iterator[Request]:
    """One request per instruction about its topic, as `requests`."""
    for identity, instruction in instructions.select("instruction_id", "instruction").iter_rows():
        prompt = judge_prompt(judge, settings.topic_prompt, instruction=instruction)
        yield judge.verdict(prompt, settings, YES_OR_NO, (judge.name, identity))


def read_topic(request: Request, completion: Completion, settings: Difficulty) -> dict[str, Any]:
    """One judge's verdict on the topic of one instruction; `score` is null, and `reason` is the verdict or why it has none."""
    judge, identity = request.tag
    on_topic, reason = topic_of(completion, settings)
    if on_topic is not None:
        reason = f"about programming with a probability of {on_topic:.2f}"
    verdict = {"instruction_id": identity, "judge": judge, "score": None, "reason": reason, "on_topic": on_topic}
    return verdict | {"text": completion.text, "reasoning": completion.reasoning} | request_columns(completion)


def topic_of(completion: Completion, settings: Difficulty) -> tuple[float | None, str]:
    """The probability that an instruction is about programming and "", or None and the reason."""
    if settings.verdict == "direct":
        probabilities, reason = choice_probabilities(completion, YES_OR_NO)
        return (probabilities["Y"], "") if probabilities else (None, reason)
    verdict, reason = last_line_verdict(completion, "Yes|No")
    return (None, reason) if verdict is None else (float(verdict.lower() == "yes"), "")


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


def difficulty(instructions: pl.DataFrame, verdicts: Iterable[dict[str, Any]], settings: Difficulty) -> pl.DataFrame:
    """One row per instruction: mean score of the judges that gave one, band, and whether it is kept.

    An instruction that no judge scored has a null score and the band `unrated`, and is not kept. If off-topic instructions are
    dropped, `on_topic` is the mean of the verdicts on the topic, which are also in `ratings`.
    """
    # Of one judge, the verdict on the topic comes first.
    order = ("instruction_id", "judge", pl.col("on_topic").is_null(), "completion_key")
    rated = pl.DataFrame(list(verdicts), schema=VERDICT_SCHEMA).sort(*order)
    columns = VERDICT_SCHEMA if settings.off_topic == "drop" else RATING_SCHEMA
    score, band = pl.col("score"), pl.lit("unrated")
    scores = rated.group_by("instruction_id", maintain_order=True).agg(
        score.mean(),
        scored_by=score.count().cast(pl.Int64),
        abstained=(score.is_null() & pl.col("on_topic").is_null()).sum().cast(pl.Int64),
        on_topic=pl.col("on_topic").mean(),
        ratings=pl.struct(c for c in columns if c != "instruction_id"),
    )
    for least, name in reversed(BANDS):
        band = pl.when(score >= least).then(pl.lit(name)).otherwise(band)
    scored = instructions.join(scores, on="instruction_id", how="left", maintain_order="left")
    rows = scored.with_columns(band=band, kept=(score >= settings.keep).fill_null(False))
    return rows if settings.off_topic == "drop" else rows.drop("on_topic")
