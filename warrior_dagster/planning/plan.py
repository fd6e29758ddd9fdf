"""What materializing an arena would send, before any engine starts: a dry run of the whole method on the ledger.

Where everything upstream is in the ledger, the requests of a stage are known exactly, and so are the missing ones. Where it is
not, the plan continues with an expected number: the share that was usable so far is assumed to stay the same, and where nothing
is known yet, everything is assumed to be usable, which is the maximum. Such numbers are counted as estimated.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import polars as pl

from warrior_dagster.analysis import categories
from warrior_dagster.analysis.tables import CATEGORIES
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.inference.dispatch import DispatchResult
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.materialization.table import Table
from warrior_dagster.planning.forecast import DryRunBackend, Forecast, MissingRequest
from warrior_dagster.stages.battles import answering
from warrior_dagster.stages.battles.opinions import judging
from warrior_dagster.stages.battles.opinions.tables import JUDGE_VOTES
from warrior_dagster.stages.battles.pairing import pairs
from warrior_dagster.stages.battles.tables import ANSWERS
from warrior_dagster.stages.battles.unit_tests import generation
from warrior_dagster.stages.battles.unit_tests.tables import GENERATED
from warrior_dagster.stages.battles.votes import opinions_per_battle
from warrior_dagster.stages.curation import dedup, difficulty, embedding, selection
from warrior_dagster.stages.curation.columns import INSTRUCTION
from warrior_dagster.stages.curation.tables import DIFFICULTY, EMBEDDINGS
from warrior_dagster.stages.mining import sampling
from warrior_dagster.stages.mining.tables import MINED
from warrior_dagster.warehouse.tables import Warehouse

LOG = logging.getLogger(__name__)
Ask = Callable[[Arena, DryRunBackend, pl.DataFrame], DispatchResult]


@dataclass(slots=True)
class StagePlan:
    """A stage's forecast by model, and how many further samples are expected of each model beyond what is known."""

    table: Table
    forecasts: dict[str, Forecast]
    expected: Counter[str] = field(default_factory=Counter)
    how: str = ""
    """How the expected numbers are made."""

    @property
    def missing(self) -> Iterable[MissingRequest]:
        """All requests of the stage that would be sent."""
        return (one for forecast in self.forecasts.values() for one in forecast.missing)


@dataclass(frozen=True)
class PerInstruction:
    """A table that needs a request about each selected instruction."""

    table: Table
    ask: Ask
    asked: Callable[[Arena, str], list[str]]
    """The competitors that are asked about an instruction of an attacker."""


def everyone(arena: Arena, _: str) -> list[str]:
    """All competitors."""
    return arena.roster


PER_INSTRUCTION = (
    PerInstruction(
        CATEGORIES,
        lambda arena, backend, selected: categories.categorise(arena, backend, selected, LOG),
        lambda arena, attacker: [categories.judge_of(arena, attacker)],
    ),
    PerInstruction(
        GENERATED, lambda arena, backend, selected: generation.write(arena, backend, selected, arena.roster, LOG), everyone
    ),
    PerInstruction(
        ANSWERS, lambda arena, backend, selected: answering.answer(arena, backend, selected, arena.roster, LOG), everyone
    ),
)


def walk(arena: Arena, ledger: LedgerReader, warehouse: Warehouse) -> list[StagePlan]:
    """The stages that ask models, in order. Raises RuntimeError naming a competitor that cannot be asked at all."""
    backend, model = DryRunBackend(ledger), {c.name: c.model for c in arena.competitors}
    mining, rating, kept, to_come, how = until_rated(arena, backend)
    selected, to_come, to_embed = centres(arena, warehouse, kept, to_come)
    how = how or to_embed
    stages, answers = [mining, rating], list[dict[str, Any]]()
    for one in PER_INSTRUCTION:
        if one.table.enabled(arena):
            result = checked(one.ask(arena, backend, selected))
            stage = StagePlan(one.table, backend.take_stage(), how=how)
            for attacker, count in to_come.items():
                for name in one.asked(arena, attacker):
                    stage.expected[model[name]] += count
            stages.append(stage)
            answers = result.rows if one.table is ANSWERS else answers
    return [*stages, votes_plan(arena, backend, selected, answers, to_come, how)]


def until_rated(arena: Arena, backend: DryRunBackend) -> tuple[StagePlan, StagePlan, pl.DataFrame, Counter[str], str]:
    """Mining and rating; the instructions that are known to be kept, how many more are expected of each attacker, and how."""
    roster, model = arena.roster, {c.name: c.model for c in arena.competitors}
    mined = checked(sampling.mine(arena, backend, roster, LOG))
    mining = StagePlan(MINED, backend.take_stage())
    to_come = tally((one.tag.competitor, one.samples) for one in mining.missing)
    samples = pl.DataFrame(mined.rows, schema=sampling.SCHEMA)
    unique = dedup.mark_duplicates(samples, roster, arena.deduplication).filter("kept").select(INSTRUCTION)
    to_come, how = expected(to_come, len(unique), len(samples), "samples became instructions")

    rated = checked(difficulty.rate(arena, backend, unique, LOG))
    rating = StagePlan(DIFFICULTY, backend.take_stage(), how=how)
    for name, count in to_come.items():
        for judge in arena.panel(name):
            rating.expected[model[judge]] += count
    unrated = pl.col("instruction_id").is_in({one.tag[1] for one in rating.missing})
    known = difficulty.difficulty(unique, rated.rows, arena.difficulty.keep).filter(~unrated)
    to_come += Counter(unique.filter(unrated)["competitor"].to_list())
    kept = known.filter("kept")
    to_come, how = expected(to_come, len(kept), len(known), "instructions were kept for their difficulty")
    return mining, rating, kept, to_come, how


def votes_plan(
    arena: Arena,
    backend: DryRunBackend,
    selected: pl.DataFrame,
    answers: list[dict[str, Any]],
    to_come: Counter[str],
    how: str,
) -> StagePlan:
    """The judges' opinions, from the answers in the ledger; `to_come` are further instructions of each attacker."""
    answered = {(row["competitor"], row["instruction_id"]) for row in answers}
    missing = {(name, one) for name in arena.roster for one in selected["instruction_id"]} - answered
    placeholders = [{"instruction_id": one, "competitor": name, "usable": False} for name, one in missing]
    given = pl.DataFrame([*answers, *placeholders], schema=answering.SCHEMA)
    battles = {m: pairs(selected, given, *sides(m), arena.battles.instructions) for m in matchup_keys(arena.roster)}
    checked(judging.vote(arena, backend, battles, LOG))
    stage = StagePlan(JUDGE_VOTES, backend.take_stage(), how=how or "one of two answers is not in the ledger yet")
    for matchup in battles:
        attackers = sides(matchup) if arena.battles.instructions == "attackers" else arena.roster
        in_scope = selected.filter(pl.col("competitor").is_in(attackers))["instruction_id"]
        count = sum(any((side, one) in missing for side in sides(matchup)) for one in in_scope)
        count += sum(to_come[name] for name in attackers)
        judges = arena.judges(*sides(matchup))
        for judge in judges:
            stage.expected[arena.competitor(judge).model] += count * opinions_per_battle(arena, matchup) // len(judges)
    return stage


def checked(result: DispatchResult) -> DispatchResult:
    """A result without failures. Raises RuntimeError."""
    if result.failures:
        raise RuntimeError("\n".join(f"{name}: {reason}" for name, reason in result.failures.items()))
    return result


def tally(counts: Iterable[tuple[str, int]]) -> Counter[str]:
    """The sum of the numbers of each name."""
    total = Counter[str]()
    for name, count in counts:
        total[name] += count
    return total


def expected(to_come: Counter[str], passed: int, known: int, what: str) -> tuple[Counter[str], str]:
    """How many of the instructions to come pass a stage, in the share of those that did; and how that is known."""
    if not to_come.total():
        return Counter(), ""
    share, how = (passed / known, f"as {passed} of {known} {what} so far") if known else (1.0, f"at most, if all {what}")
    return Counter({name: ceil(count * share) for name, count in to_come.items()}), how


def centres(
    arena: Arena, warehouse: Warehouse, kept: pl.DataFrame, to_come: Counter[str]
) -> tuple[pl.DataFrame, Counter[str], str]:
    """The selected instructions as far as they are known, how many more are expected of each competitor, and why.

    Instructions without a vector are still to come. They get their share of a competitor's centres.
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
        known = len(embedded.filter(competitor=name))
        size = min(arena.selection.centres, known + to_come[name])
        new[name] = ceil(size * to_come[name] / max(known + to_come[name], 1))
        parts.append(chosen.filter(competitor=name).head(size - new[name]))
    return pl.concat(parts), new, how


def vectors(arena: Arena, warehouse: Warehouse) -> pl.DataFrame:
    """The vectors of the arena's embedder, of all competitors: a renamed one's are known under its old name."""
    columns = ["instruction_id", "instruction", "vector"]
    if "embedder" not in warehouse.columns(EMBEDDINGS.name):
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    return (
        warehouse.read(EMBEDDINGS.name, None, [*columns, "embedder"])
        .filter(embedder=embedding.embedder_name(arena.embedding))
        .select(columns)
        .unique(columns[:2], maintain_order=True)
    )
