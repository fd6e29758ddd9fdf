"""Pairwise preferences: what a judge is asked about two answers, and how its completion becomes a vote (METHOD 4)."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import sides
from warrior_dagster.config.stages import Battles
from warrior_dagster.inference.dispatch import Backend, DispatchResult, dispatch
from warrior_dagster.inference.prompting import (
    LoadedCompetitor,
    choice_probabilities,
    judge_prompt,
    last_line_verdict,
    request_columns,
)
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.stages.battles.votes import opinions_per_battle

LETTERS = ("A", "B")
LEFT_FIRST, RIGHT_FIRST = "left_first", "right_first"


@dataclass(frozen=True, slots=True)
class Question:
    """Which vote a request is for."""

    left: str
    right: str
    instruction_id: str
    judge: str
    order: str
    key_left: str
    key_right: str


def vote(arena: Arena, backend: Backend, pairs: dict[str, pl.DataFrame], log: logging.Logger) -> DispatchResult:
    """All judges' votes on some matchups, of which `pairs` has the frames of `pairing.pairs`; rows of VOTE_SCHEMA."""
    judged_by = {judge: {m: pairs[m] for m in pairs if judge in arena.judges(*sides(m))} for judge in arena.roster}
    battles = {m: frame.drop_nulls().height for m, frame in pairs.items()}
    return dispatch(
        arena,
        backend,
        [judge for judge, matchups in judged_by.items() if matchups],
        lambda judge: requests(judge, judged_by[judge.name], arena.battles),
        partial(read, settings=arena.battles),
        backend.progress("votes", sum(count * opinions_per_battle(arena, m) for m, count in battles.items()), log),
    )


def requests(judge: LoadedCompetitor, matchups: dict[str, pl.DataFrame], settings: Battles) -> Iterator[Request]:
    """All votes of one judge. `matchups` has the frame of `pairing.pairs` for each matchup that it judges.

    Requests that share a prefix are neighbours: sorted by instruction, then matchup, the two orders of a pair together.
    """
    frames = [frame.with_columns(pl.lit(key).alias("matchup")) for key, frame in matchups.items()]
    together = pl.concat(frames).drop_nulls().sort("instruction_id", "matchup", maintain_order=True)
    choice = LETTERS if settings.verdict == "direct" else ()
    for row in together.iter_rows(named=True):
        left, right = sides(row["matchup"])
        for order in orders(row["instruction_id"], settings.orders):
            first, second = ("left", "right") if order == LEFT_FIRST else ("right", "left")
            prompt = judge_prompt(
                judge,
                settings.prompt,
                instruction=row["instruction"],
                answer_a=row[f"answer_{first}"],
                answer_b=row[f"answer_{second}"],
            )
            tag = Question(left, right, row["instruction_id"], judge.name, order, row["key_left"], row["key_right"])
            yield judge.request(prompt, settings.sampling, tag, choice=choice)


def orders(instruction_id: str, how: str) -> tuple[str, ...]:
    """The orders in which a judge sees the two answers; `alternate` takes one by the (random) instruction id."""
    if how == "both":
        return (LEFT_FIRST, RIGHT_FIRST)
    return (LEFT_FIRST,) if int(instruction_id, 16) % 2 == 0 else (RIGHT_FIRST,)


def read(request: Request, completion: Completion, settings: Battles) -> dict[str, Any]:
    """The vote of one completion: decided, tie, or failed with a reason. `p_left` and `p_right` add up to one unless failed."""
    question: Question = request.tag
    p_first, reason = probability_of_first(completion, settings)
    vote: dict[str, Any] = {"status": "failed", "reason": reason, "verdict": None, "p_left": None, "p_right": None}
    if p_first is not None:
        p_left, p_right = (p_first, 1 - p_first) if question.order == LEFT_FIRST else (1 - p_first, p_first)
        verdict = "tie" if p_left == p_right else "left" if p_left > p_right else "right"
        status = "tie" if verdict == "tie" else "decided"
        vote = {"status": status, "reason": "", "verdict": verdict, "p_left": p_left, "p_right": p_right}
    return {
        "row_id": f"{question.instruction_id}:{question.judge}:{question.order}",
        "instruction_id": question.instruction_id,
        "left": question.left,
        "right": question.right,
        "judge": question.judge,
        "order": question.order,
        "evidence": "opinion",
        "text": completion.text,
        **request_columns(completion),
        "key_left": question.key_left,
        "key_right": question.key_right,
        **vote,
    }


def probability_of_first(completion: Completion, settings: Battles) -> tuple[float | None, str]:
    """The probability that a judge prefers the answer it saw first (1, 0 or 0.5 for a reasoned verdict), or None and why."""
    if settings.verdict == "direct":
        probabilities, reason = choice_probabilities(completion, LETTERS)
        return (probabilities["A"], "") if probabilities else (None, reason)
    verdict, reason = last_line_verdict(completion, "A|B|Tie")
    return (None, reason) if verdict is None else ({"a": 1.0, "b": 0.0, "tie": 0.5}[verdict.lower()], "")
