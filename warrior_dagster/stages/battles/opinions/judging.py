"""Pairwise preferences: the request to a judge about two answers, and its completion as a vote (METHOD section 4)."""

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import OPINION, Battles
from warrior_dagster.config.matchups import sides
from warrior_dagster.inference.dispatch import Backend, DispatchResult, dispatch
from warrior_dagster.inference.prompting import (
    LoadedCompetitor,
    choice_probabilities,
    judge_prompt,
    last_line_verdict,
    request_columns,
)
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.stages.battles.votes import decision, opinions_per_battle

LETTERS = ("A", "B")
LEFT_FIRST, RIGHT_FIRST = "left_first", "right_first"


def vote(arena: Arena, backend: Backend, pairs: dict[str, pl.DataFrame], log: logging.Logger) -> DispatchResult:
    """All judges' votes on the matchups of `pairs`, the frames of `pairing.pairs`. The rows have VOTE_SCHEMA."""
    judged_by = {judge: {m: pairs[m] for m in pairs if judge in arena.judges(*sides(m))} for judge in arena.roster}
    battles = {m: frame.drop_nulls().height for m, frame in pairs.items()}
    return dispatch(
        arena,
        backend,
        [judge for judge, matchups in judged_by.items() if matchups],
        lambda judge: requests(judge, judged_by[judge.name], arena.battles),
        partial(read, settings=arena.battles),
        backend.progress("judge_votes", sum(count * opinions_per_battle(arena, m) for m, count in battles.items()), log),
        "verdicts",
    )


def requests(judge: LoadedCompetitor, matchups: dict[str, pl.DataFrame], settings: Battles) -> Iterator[Request]:
    """All requests to one judge. `matchups` has the frame of `pairing.pairs` for each matchup that it judges.

    Requests that share a prefix are neighbours: sorted by instruction, then matchup, the two orders of a pair together. The tag
    has the columns of the vote that are known in advance.
    """
    frames = [frame.with_columns(pl.lit(key).alias("matchup")) for key, frame in matchups.items()]
    together = pl.concat(frames).drop_nulls().sort("instruction_id", "matchup", maintain_order=True)
    for row in together.iter_rows(named=True):
        left, right = sides(row["matchup"])
        battle = {"left": left, "right": right} | {key: row[key] for key in ("instruction_id", "key_left", "key_right")}
        for order in orders(row["instruction_id"], settings.orders):
            shown = [row[f"answer_{side}"] for side in ("left", "right")]
            first, second = shown if order == LEFT_FIRST else reversed(shown)
            tag = battle | {"judge": judge.name, "order": order}
            yield question(judge, settings, row["instruction"], first, second, tag)


def question(judge: LoadedCompetitor, settings: Battles, instruction: str, first: str, second: str, tag: Any) -> Request:
    """The request to a judge which of two answers to an instruction is better."""
    prompt = judge_prompt(judge, settings.prompt, instruction=instruction, answer_a=first, answer_b=second)
    return judge.verdict(prompt, settings, LETTERS, tag)


def orders(instruction_id: str, how: str) -> tuple[str, ...]:
    """The orders in which a judge sees the two answers: `both`, or `alternate`, one by the (random) instruction id."""
    both = (LEFT_FIRST, RIGHT_FIRST)
    return both if how == "both" else (both[int(instruction_id, 16) % 2],)


def read(request: Request, completion: Completion, settings: Battles) -> dict[str, Any]:
    """The vote of one completion: decided, tie, or failed with a reason. `p_left` and `p_right` add up to one unless failed."""
    tag: dict[str, str] = request.tag
    p_first, reason = probability_of_first(completion, settings)
    p_second = None if p_first is None else 1 - p_first
    return {
        "row_id": f"{tag['instruction_id']}:{tag['judge']}:{tag['order']}",
        **tag,
        "evidence": OPINION,
        **(decision(p_first, p_second, reason) if tag["order"] == LEFT_FIRST else decision(p_second, p_first, reason)),
        "text": completion.text,
        "reasoning": completion.reasoning,
        **request_columns(completion),
    }


def probability_of_first(completion: Completion, settings: Battles) -> tuple[float | None, str]:
    """The probability that a judge prefers the answer it saw first (1, 0 or 0.5 for a reasoned verdict), or None and why."""
    if settings.verdict == "direct":
        probabilities, reason = choice_probabilities(completion, LETTERS)
        return (probabilities["A"], "") if probabilities else (None, reason)
    verdict, reason = last_line_verdict(completion, "A|B|Tie")
    return (None, reason) if verdict is None else ({"a": 1.0, "b": 0.0, "tie": 0.5}[verdict.lower()], "")
