"""Pairwise verdicts: what a judge is asked, how its words become a vote, and how votes become a battle's outcome (METHOD 4)."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import sides
from warrior_dagster.config.stages import Battles
from warrior_dagster.inference.dispatch import Asked, Asker, ask_each
from warrior_dagster.inference.prompting import TRACE, Seat, choice_probabilities, judge_prompt, last_line_verdict, trace
from warrior_dagster.inference.request import Completion, Request

LETTERS = ("A", "B")
LEFT_FIRST, RIGHT_FIRST = "left_first", "right_first"
TIE_WITHIN = 1e-9
"""Local scores this near one half are ties: sums of probabilities are not exact."""

VOTE_SCHEMA = {
    "row_id": pl.String,
    "instruction_id": pl.String,
    "left": pl.String,
    "right": pl.String,
    "judge": pl.String,
    "order": pl.String,
    "evidence": pl.String,
    "status": pl.String,
    "reason": pl.String,
    "verdict": pl.String,
    "p_left": pl.Float64,
    "p_right": pl.Float64,
    "text": pl.String,
    **TRACE,
    "key_left": pl.String,
    "key_right": pl.String,
}
"""key_left and key_right are the completion keys of the two answers that the vote was given on."""


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


def pairs(selected: pl.DataFrame, answers: pl.DataFrame, left: str, right: str, which: str) -> pl.DataFrame:
    """The instructions that a matchup battles on, with both answers: instruction_id, attacker, instruction, answer_left,
    key_left, answer_right, key_right; an answer and its key are null where that competitor gave none that can be judged.

    Raises LookupError if an instruction was never put to one of the two: `answers` is older than the selection.
    """
    if which == "attackers":
        selected = selected.filter(pl.col("competitor").is_in([left, right]))
    frame = selected.select("instruction_id", pl.col("competitor").alias("attacker"), "instruction")
    for side, name in (("left", left), ("right", right)):
        given = answers.filter(pl.col("competitor") == name)
        if missing := len(frame.join(given, on="instruction_id", how="anti")):
            raise LookupError(f"answers: {name} was not asked {missing} selected instructions; materialize answers first")
        columns = pl.col("answer").alias(f"answer_{side}"), pl.col("completion_key").alias(f"key_{side}")
        frame = frame.join(given.filter("usable").select("instruction_id", *columns), on="instruction_id", how="left")
    return frame.sort("instruction_id")


def vote(arena: Arena, engines: Asker, battled: dict[str, pl.DataFrame], log: logging.Logger) -> Asked:
    """All judges' votes on some matchups, of which `battled` has the frames of `pairs`; rows of VOTE_SCHEMA."""
    judges = {m: arena.judges(*sides(m)) for m in battled}
    sittings = {judge: {m: battled[m] for m in battled if judge in judges[m]} for judge in arena.roster}
    return ask_each(
        arena,
        engines,
        [judge for judge, sitting in sittings.items() if sitting],
        lambda seat: requests(seat, sittings[seat.name], arena.battles),
        partial(read, settings=arena.battles),
        engines.progress("votes", sum(f.drop_nulls().height * votes_a_battle(arena, m) for m, f in battled.items()), log),
    )


def votes_a_battle(arena: Arena, matchup: str) -> int:
    """How many votes each battle of a matchup gets, abstentions included."""
    return len(arena.judges(*sides(matchup))) * (2 if arena.battles.orders == "both" else 1)


def requests(judge: Seat, matchups: dict[str, pl.DataFrame], settings: Battles) -> Iterator[Request]:
    """All votes of one judge. `matchups` has the frame of `pairs` for each matchup that this judge judges.

    What shares a beginning goes together: by instruction, then the matchups, the orders of one pair back to back.
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
    asked: Question = request.tag
    p_first, reason = probability_of_first(completion, settings)
    vote: dict[str, Any] = {"status": "failed", "reason": reason, "verdict": None, "p_left": None, "p_right": None}
    if p_first is not None:
        p_left, p_right = (p_first, 1 - p_first) if asked.order == LEFT_FIRST else (1 - p_first, p_first)
        verdict = "tie" if p_left == p_right else "left" if p_left > p_right else "right"
        status = "tie" if verdict == "tie" else "decided"
        vote = {"status": status, "reason": "", "verdict": verdict, "p_left": p_left, "p_right": p_right}
    return {
        "row_id": f"{asked.instruction_id}:{asked.judge}:{asked.order}",
        "instruction_id": asked.instruction_id,
        "left": asked.left,
        "right": asked.right,
        "judge": asked.judge,
        "order": asked.order,
        "evidence": "opinion",
        "text": completion.text,
        **trace(completion),
        "key_left": asked.key_left,
        "key_right": asked.key_right,
        **vote,
    }


def probability_of_first(completion: Completion, settings: Battles) -> tuple[float | None, str]:
    """How far a judge prefers the answer it saw first (1, 0 or one half of a reasoned verdict), or None and the reason."""
    if settings.verdict == "direct":
        probabilities, reason = choice_probabilities(completion, LETTERS)
        return (probabilities["A"], "") if probabilities else (None, reason)
    verdict, reason = last_line_verdict(completion, "A|B|Tie")
    return (None, reason) if verdict is None else ({"a": 1.0, "b": 0.0, "tie": 0.5}[verdict.lower()], "")


def check_votes(battled: pl.DataFrame, votes: pl.DataFrame, expected: int, table: str = "judge_votes") -> None:
    """Every battle has the `expected` number of votes of a table, abstentions included, all on the answers that are there now.

    Raises LookupError otherwise: the votes are older than the answers, and a battle nobody judged would pass for a tie.
    """
    on = ["instruction_id", "key_left", "key_right"]
    counts = battled.drop_nulls().join(votes, on=on, how="left").group_by("instruction_id").agg(pl.col("judge").count())
    if wrong := len(counts.filter(pl.col("judge") != expected)):
        raise LookupError(f"{table}: {wrong} battles lack votes on their present answers; materialize {table} first")


def masses(votes: pl.DataFrame, how: str) -> pl.DataFrame:
    """Votes with what each gives the sides as p_left and p_right: hard ones by their verdict, whatever its probability."""
    if how == "soft":
        return votes
    side = {"left": 1.0, "tie": 0.5, "right": 0.0}
    for_left = pl.col("verdict").replace_strict(side, return_dtype=pl.Float64)
    return votes.with_columns(p_left=for_left, p_right=1 - for_left)


def outcomes(battled: pl.DataFrame, votes: pl.DataFrame, left: str, right: str, how: str) -> pl.DataFrame:
    """One row a battle, from the frame of `pairs` and the matchup's votes.

    votes_left and votes_right count what the judges that decided gave each side, a tie half to both; with `how` = soft they
    are probability masses. local_left = votes_left / (votes_left + votes_right), one half where no judge decided.
    outcome is 1, 0.5 or 0 for left, and null where a side gave no answer, so that there was no battle.
    """
    counted = (
        masses(votes, how)
        .sort("row_id")
        .group_by("instruction_id", maintain_order=True)
        .agg(
            pl.col("p_left").sum().alias("votes_left"),
            pl.col("p_right").sum().alias("votes_right"),
            *((pl.col("status") == s).sum().cast(pl.Int64).alias(s) for s in ("decided", "tie", "failed")),
        )
    )
    total = pl.col("votes_left") + pl.col("votes_right")
    battle = pl.col("answer_left").is_not_null() & pl.col("answer_right").is_not_null()
    local = pl.col("local_left")
    outcome = pl.when((local - 0.5).abs() <= TIE_WITHIN).then(0.5).otherwise((local > 0.5).cast(pl.Float64))
    return (
        battled.join(counted, on="instruction_id", how="left", maintain_order="left")
        .with_columns(pl.col("votes_left", "votes_right", "decided", "tie", "failed").fill_null(0))
        .with_columns(pl.when(battle).then(pl.when(total > 0).then(pl.col("votes_left") / total).otherwise(0.5))
                      .alias("local_left"))
        .select(
            pl.col("instruction_id").alias("row_id"), "instruction_id", "attacker",
            pl.lit(left).alias("left"), pl.lit(right).alias("right"),
            "votes_left", "votes_right", "decided", "tie", "failed", "local_left",
            pl.when(battle).then(outcome).alias("outcome"),
        )
    )  # fmt: skip
