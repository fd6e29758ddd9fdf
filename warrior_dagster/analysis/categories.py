"""The category of each selected instruction, according to a judge (METHOD section 7).

Five of the seven categories are the paper's. It does not publish the names of the other two; ours are testing and other.
"""

import logging
from collections.abc import Iterator
from typing import Any

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.dispatch import Backend, DispatchResult, dispatch
from warrior_dagster.inference.prompting import (
    REQUEST_COLUMNS,
    LoadedCompetitor,
    choice_probabilities,
    judge_prompt,
    request_columns,
)
from warrior_dagster.inference.request import Completion, Request

NAMES = ("code generation", "theoretical explanation", "debugging", "optimisation", "code reasoning", "testing", "other")
CATEGORIES = {str(digit): name for digit, name in enumerate(NAMES, 1)}
SCHEMA = {
    **dict.fromkeys(("row_id", "instruction_id", "judge", "category"), pl.String),
    "probability": pl.Float64,
    "reason": pl.String,
    **REQUEST_COLUMNS,
}


def judge_of(arena: Arena, attacker: str) -> str:
    """The judge of a competitor's instructions: the first other one of the roster, so that appending one changes no judge."""
    return next(name for name in arena.roster if name != attacker)


def categorise(arena: Arena, engines: Backend, selected: pl.DataFrame, log: logging.Logger) -> DispatchResult:
    """Have judges categorise selected instructions (instruction_id, competitor, instruction). The rows have SCHEMA."""
    judged_by = {
        judge: selected.filter(pl.col("competitor").is_in([name for name in arena.roster if judge_of(arena, name) == judge]))
        for judge in arena.roster
    }
    return dispatch(
        arena,
        engines,
        [judge for judge, frame in judged_by.items() if len(frame)],
        lambda judge: requests(judge, judged_by[judge.name], arena.analysis.category_prompt),
        read,
        engines.progress("task_categories", len(selected), log),
        "verdicts",
    )


def requests(judge: LoadedCompetitor, instructions: pl.DataFrame, prompt: str) -> Iterator[Request]:
    """One request per instruction."""
    for identity, instruction in instructions.select("instruction_id", "instruction").iter_rows():
        text = judge_prompt(judge, prompt, instruction=instruction)
        yield judge.choice(text, tuple(CATEGORIES), (judge.name, identity))


def read(request: Request, completion: Completion) -> dict[str, Any]:
    """The row of one instruction: its likeliest category and the probability, or null and the reason."""
    judge, identity = request.tag
    probabilities, reason = choice_probabilities(completion, tuple(CATEGORIES))
    row: dict[str, Any] = {"row_id": identity, "instruction_id": identity, "judge": judge, "reason": reason}
    if probabilities:
        digit = max(probabilities, key=lambda digit: (probabilities[digit], -int(digit)))
        row |= {"category": CATEGORIES[digit], "probability": probabilities[digit]}
    return {"category": None, "probability": None} | row | request_columns(completion)
