"""What materializing an arena would cost, before any engine starts: the whole method walked through on the ledger alone.

Where everything upstream is in the ledger, the requests of a stage are known to the letter, and so is what is missing. Where
it is not, the plan goes on with the number to be expected: what was usable so far is taken to be usable in the same share
from now on, and everything where nothing is known yet, which is the most it can be. Such numbers are counted as estimated.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import polars as pl

from warrior_dagster.analysis import categories
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.inference.dispatch import Asked
from warrior_dagster.inference.ledger.writer import Ledger
from warrior_dagster.planning.forecast import Forecast, Lack, LedgerAlone
from warrior_dagster.stages.battles import answering
from warrior_dagster.stages.battles.opinions import judging
from warrior_dagster.stages.battles.unit_tests import generation
from warrior_dagster.stages.curation import difficulty, selection
from warrior_dagster.stages.mining import sampling
from warrior_dagster.warehouse.tables import Warehouse

LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class StagePlan:
    """A stage's forecast by model, and how many further samples are expected of each model beyond what is known."""

    stage: str
    forecasts: dict[str, Forecast]
    expected: Counter[str] = field(default_factory=Counter)
    how: str = ""
    """What the expectation rests on."""


def walk(arena: Arena, ledger: Ledger, warehouse: Warehouse) -> list[StagePlan]:
    """The stages that ask models, in order. Raises RuntimeError naming a competitor that cannot be asked at all."""
    asker = LedgerAlone(ledger)
    roster = arena.roster
    model = {c.name: c.model for c in arena.competitors}

    mined = done(sampling.mine(arena, asker, roster, LOG))
    mining = StagePlan("mined_instructions", asker.take_stage())
    to_come = tally((lack.tag.competitor, lack.samples) for lack in lacks(mining))

    samples = pl.DataFrame(mined.rows, schema=sampling.SCHEMA)
    unique = selection.mark_duplicates(samples, roster, arena.deduplication).filter("kept").select(selection.INSTRUCTION)
    to_come, how = expected(to_come, len(unique), len(samples), "samples became instructions")

    rated = done(difficulty.rate(arena, asker, unique, LOG))
    rating = StagePlan("instruction_difficulty", asker.take_stage(), how=how)
    for name, count in to_come.items():
        for judge in arena.panel(name):
            rating.expected[model[judge]] += count
    unrated = {lack.tag[1] for lack in lacks(rating)}
    known = difficulty.difficulty(unique, rated.rows, arena.difficulty.keep).filter(~pl.col("instruction_id").is_in(unrated))
    to_come += Counter(unique.filter(pl.col("instruction_id").is_in(unrated))["competitor"].to_list())
    to_come, how = expected(to_come, known.filter("kept").height, len(known), "instructions were kept for their difficulty")

    selected, to_come, to_embed = centres(arena, warehouse, known.filter("kept"), to_come)
    how = how or to_embed
    sorting = [categories_plan(arena, asker, selected, to_come, how)] if arena.analysis.categories else []
    testing = [tests_plan(arena, asker, selected, to_come, how)] if arena.runs_tests else []
    answered = done(answering.answer(arena, asker, selected, roster, LOG))
    answers = StagePlan("answers", asker.take_stage(), how=how)
    for name in roster:
        answers.expected[model[name]] += to_come.total()

    given = {(row["competitor"], row["instruction_id"]) for row in answered.rows}
    unanswered = {(name, one) for name in roster for one in selected["instruction_id"]} - given
    battles = {m: battled(arena, m, selected, answered.rows, unanswered) for m in matchup_keys(roster)}
    done(judging.vote(arena, asker, battles, LOG))
    votes = StagePlan("judge_votes", asker.take_stage(), how=how or "one of two answers is still to come")
    for matchup in battles:
        attackers = sides(matchup) if arena.battles.instructions == "attackers" else roster
        in_scope = selected.filter(pl.col("competitor").is_in(attackers))["instruction_id"]
        still = sum(any((side, one) in unanswered for side in sides(matchup)) for one in in_scope)
        still += sum(to_come[name] for name in attackers)
        judges = arena.judges(*sides(matchup))
        for judge in judges:
            votes.expected[model[judge]] += still * judging.votes_a_battle(arena, matchup) // len(judges)
    return [mining, rating, *sorting, *testing, answers, votes]


def categories_plan(arena: Arena, asker: LedgerAlone, selected: pl.DataFrame, to_come: Counter[str], how: str) -> StagePlan:
    """What sorting the selected instructions into kinds of task asks."""
    done(categories.categorise(arena, asker, selected, LOG))
    stage = StagePlan("task_categories", asker.take_stage(), how=how)
    for name, count in to_come.items():
        stage.expected[arena.competitor(categories.judge_of(arena, name)).model] += count
    return stage


def tests_plan(arena: Arena, asker: LedgerAlone, selected: pl.DataFrame, to_come: Counter[str], how: str) -> StagePlan:
    """What everybody is asked to write tests of."""
    done(generation.write(arena, asker, selected, arena.roster, LOG))
    stage = StagePlan("generated_tests", asker.take_stage(), how=how)
    for competitor in arena.competitors:
        stage.expected[competitor.model] += to_come.total()
    return stage


def done(asked: Asked) -> Asked:
    """What was asked, if everybody could be. Raises RuntimeError."""
    if asked.failures:
        raise RuntimeError("\n".join(f"{name}: {reason}" for name, reason in asked.failures.items()))
    return asked


def lacks(stage: StagePlan) -> Iterable[Lack]:
    """All requests of a stage that would be sent."""
    return (lack for forecast in stage.forecasts.values() for lack in forecast.lacks)


def tally(counts: Iterable[tuple[str, int]]) -> Counter[str]:
    """The sum of the numbers of each name."""
    total = Counter[str]()
    for name, count in counts:
        total[name] += count
    return total


def expected(to_come: Counter[str], passed: int, known: int, what: str) -> tuple[Counter[str], str]:
    """How many of what is to come get through a stage, in the share of those that did; and in words what that rests on."""
    if not to_come.total():
        return Counter(), ""
    share, how = (passed / known, f"as {passed} of {known} {what} so far") if known else (1.0, f"at most, if all {what}")
    return Counter({name: ceil(count * share) for name, count in to_come.items()}), how


def centres(
    arena: Arena, warehouse: Warehouse, kept: pl.DataFrame, to_come: Counter[str]
) -> tuple[pl.DataFrame, Counter[str], str]:
    """The selected instructions as far as they are known, how many more of each competitor are to be expected, and why.

    What is not embedded yet is still to come. Of a competitor's centres, those still to come get their share.
    """
    embedded = kept.join(vectors(arena, warehouse), on=["instruction_id", "instruction"], maintain_order="left")
    to_embed = kept.join(embedded, on="instruction_id", how="anti")["competitor"].to_list()
    how = f"{len(to_embed)} instructions are still to be embedded and selected from" if to_embed else ""
    to_come = to_come + Counter(to_embed)
    if embedded.is_empty():
        return kept.clear(), Counter({name: min(arena.selection.centres, count) for name, count in to_come.items()}), how
    chosen = selection.select_centres(embedded, arena.roster, arena.selection, lambda _, rows: rows["vector"].to_numpy())
    parts, new = [], Counter[str]()
    for name in arena.roster:
        there_now = len(embedded.filter(competitor=name))
        size = min(arena.selection.centres, there_now + to_come[name])
        new[name] = ceil(size * to_come[name] / max(there_now + to_come[name], 1))
        parts.append(chosen.filter(competitor=name).head(size - new[name]))
    return pl.concat(parts), new, how


def vectors(arena: Arena, warehouse: Warehouse) -> pl.DataFrame:
    """The vectors that the arena's embedder gave, of whatever competitor: one that was renamed is embedded already."""
    columns = ["instruction_id", "instruction", "vector"]
    if "embedder" not in warehouse.columns("instruction_embeddings"):
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    return (
        warehouse.read("instruction_embeddings", None, [*columns, "embedder"])
        .filter(embedder=selection.embedder(arena.embedding))
        .select(columns)
        .unique(columns[:2], maintain_order=True)
    )


def battled(
    arena: Arena, matchup: str, selected: pl.DataFrame, answers: list[dict[str, Any]], unanswered: set[tuple[str, str]]
) -> pl.DataFrame:
    """The frame of judging.pairs, where an answer that is still to come counts as none."""
    missing = [{"instruction_id": one, "competitor": name, "usable": False} for name, one in unanswered]
    given = pl.DataFrame([*answers, *missing], schema=answering.SCHEMA)
    return judging.pairs(selected, given, *sides(matchup), arena.battles.instructions)
