"""Opinions: what judges say of two answers that they see."""

from functools import partial
from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster import judge_weights
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import sides
from warrior_dagster.config.serving import Competitor
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import BOTH_SIDES, EVERYONE, FIRST, SAME
from warrior_dagster.materialization.recording import Step, counted, record, split
from warrior_dagster.materialization.table import Requests, table, tokens_of
from warrior_dagster.stages.battles.open_battles import closing_tables, read_open
from warrior_dagster.stages.battles.opinions import exam, judging
from warrior_dagster.stages.battles.pairing import read_pairs
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA, vote_summary

NOT_OF_VOTES = {"evidence", "combine", "weights", "same_model", "opinions", "exam"}
"""The settings of battles that change no vote of a judge."""


def verdict_tokens(arena: Arena, _: Competitor) -> tuple[int, int]:
    """The most tokens of a judge's prompt about two answers, and of its verdict."""
    answer = max(arena.answer_sampling(c).max_tokens for c in arena.competitors)
    return arena.mining.max_tokens + 2 * answer + tokens_of(arena.battles.prompt), arena.battles.verdict_tokens


@table(
    group="battles",
    partitioned_by="matchup",
    columns=tuple(VOTE_SCHEMA),
    reads=lambda arena: {
        "selected_instructions": EVERYONE,
        "answers": BOTH_SIDES,
        **dict.fromkeys(closing_tables(arena.battles), SAME),
    },
    settings=lambda arena: [arena.battles.model_dump(mode="json", exclude=NOT_OF_VOTES), *closing_tables(arena.battles)],
    origins=origins(
        **dict.fromkeys(("row_id", "instruction_id"), "selected_instructions.instruction_id"),
        **dict.fromkeys(("key_left", "key_right"), "answers.completion_key"),
        **dict.fromkeys(
            ("status", "reason", "verdict", "p_left", "p_right", "text", "reasoning"),
            "selected_instructions.instruction answers.answer",
        ),
    ),
    usable=pl.col("status") != "failed",
    usable_row="a vote that could be read",
    if_empty=lambda arena: "ignore" if closing_tables(arena.battles) else "fail",  # no battle may be open
    no_empty_partition=True,
    on_card=True,
    requests=Requests(verdict_tokens, asked=lambda arena, matchup: arena.judges(*sides(matchup))),
    enabled=lambda arena: arena.asks_judges,
)
def judge_votes(step: Step) -> dg.MaterializeResult:
    """Each judge's vote on every battle of a matchup, with its text and its probabilities; a judge whose verdict cannot be read
    abstains, with the reason. With `battles.opinions: open` only on battles that running code leaves open.
    """
    battles = read_open(step.arena, step.warehouse, read_pairs(step.arena, step.warehouse, step.keys))
    judged = judging.vote(step.arena, step.engines, battles, step.log)
    votes = pl.DataFrame(judged.rows, schema=VOTE_SCHEMA)
    return record(
        step,
        {m: votes.filter(left=sides(m)[0], right=sides(m)[1]) for m in step.keys},
        describe=vote_summary,
        result=judged,
    )


@table(
    group="evidence",
    partitioned_by="competitor",
    columns=tuple(exam.SCHEMA),
    meanings={
        "question": "A hash of what is asked; the two orders of a question have the same one.",
        "kind": "How the worse answer came about: `misplaced` (of another instruction), `cut off`, `broken` (its code was"
        " changed), or `real` (an answer that fails tests which the better one passes).",
        "verdict": "The answer that the judge prefers: `better`, `worse` or `tie`; empty if it abstained.",
        "p_better": "The probability that the judge gives the better answer, 0 to 1.",
        "author_better": "The competitor that gave the better answer.",
        "author_worse": "The competitor that gave the worse answer, or the answer that it was made from.",
        "key_better": "The completion key of the better answer.",
        "key_worse": "The completion key of the worse answer, or of the answer that it was made from.",
        "made": "The worse answer, if its text was changed; empty if it is shown as it is.",
        "how": "Why it is the worse answer.",
    },
    reads=lambda arena: {
        **dict.fromkeys(("selected_instructions", "answers"), FIRST),
        **dict.fromkeys(("execution_results", "broken_answers") if arena.runs_tests else (), FIRST),
    },
    settings=lambda arena: [
        arena.battles.model_dump(mode="json", include={"exam", "verdict", "prompt", "sampling"}),
        arena.runs_tests,
    ],
    ordered=lambda arena, judge: [judge] if judge in arena.possible_judges else [],
    origins=origins(
        **dict.fromkeys(("question", "row_id", "how"), "answers.answer execution_results.outcome broken_answers.outcome"),
        instruction_id="selected_instructions.instruction_id",
        **dict.fromkeys(("author_better", "author_worse"), "answers.competitor"),
        **dict.fromkeys(("key_better", "key_worse"), "answers.completion_key"),
        made="answers.answer broken_answers.broken",
        **dict.fromkeys(
            ("status", "reason", "verdict", "p_better", "text", "reasoning"),
            "selected_instructions.instruction answers.answer broken_answers.broken",
        ),
    ),
    usable=pl.col("status") != "failed",
    usable_row="a verdict that could be read",
    no_empty_partition=True,
    if_empty="warn",
    requests=Requests(verdict_tokens),
    enabled=lambda arena: arena.battles.exam > 0,
)
def judge_exams(step: Step) -> dg.MaterializeResult:
    """What each judge says, in both orders, of battles whose better side is known: an answer against one to another
    instruction, against itself cut off or with its code broken, or against a real one that fails its tests. The score is the
    weight of the judge's opinions; a judge that may be guessing has none.
    """
    arena = step.arena
    given = exam.read_material(arena, step.warehouse)
    sat = exam.sit(arena, step.engines, given, step.keys, step.log)
    rows = pl.DataFrame(sat.rows, schema=exam.SCHEMA).sort("row_id")
    return record(step, split(rows, step, "judge"), describe=partial(exam_summary, arena), result=sat)


def exam_summary(arena: Arena, rows: pl.DataFrame) -> dict[str, Any]:
    """The number of a judge's questions, by kind, and what it scored. There are fewer than asked for if material is short."""
    asked = rows.unique("question")
    shares = judge_weights.scores(rows, arena.battles.votes).select(pl.exclude("judge")).to_dicts()
    scored = {name: value for name, value in shares[0].items() if value is not None} if shares else {}
    return {"questions": len(asked), "questions_at_most": arena.battles.exam, "kinds": counted(asked, "kind"), **scored}


TABLES = [judge_exams, judge_votes]
