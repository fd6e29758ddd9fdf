"""The requests that materializing an arena would send, without starting an engine: a dry run of the method on the ledger.

If everything upstream is in the ledger, the missing requests of a stage are known exactly. If not, their number is estimated:
the share of usable rows is assumed to stay the same, or to be 1, the maximum, if there are no rows yet. Beside that estimate
stands the most that there can be.
"""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from warrior_dagster.analysis import categories
from warrior_dagster.analysis.assets import task_categories
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.inference.dispatch import DispatchResult
from warrior_dagster.inference.ledger.earlier_folders import with_earlier_folders
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.materialization.table import Table
from warrior_dagster.planning.forecast import DryRunBackend, Forecast, MissingRequest
from warrior_dagster.planning.known_votes import Known
from warrior_dagster.planning.openness import Openness, openness
from warrior_dagster.planning.settled import settled
from warrior_dagster.planning.to_come import ToCome, centres, passed_on
from warrior_dagster.stages.battles import answering
from warrior_dagster.stages.battles.assets import answers
from warrior_dagster.stages.battles.opinions import exam, judging
from warrior_dagster.stages.battles.opinions.assets import judge_exams, judge_votes
from warrior_dagster.stages.battles.pairing import pairs
from warrior_dagster.stages.battles.samples.assets import answer_samples
from warrior_dagster.stages.battles.unit_tests import generation
from warrior_dagster.stages.battles.unit_tests.assets import generated_tests
from warrior_dagster.stages.battles.votes import opinions_per_battle
from warrior_dagster.stages.curation import dedup, difficulty
from warrior_dagster.stages.curation.assets import instruction_difficulty
from warrior_dagster.stages.curation.columns import INSTRUCTION
from warrior_dagster.stages.mining import sampling
from warrior_dagster.stages.mining.assets import mined_instructions
from warrior_dagster.warehouse.tables import Warehouse

LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Further:
    """What one model will be asked in a stage about what is not known yet: as expected, and at most."""

    prompts: int = 0
    completions: int = 0
    most_prompts: int = 0
    most_completions: int = 0

    def add(self, prompts: int, most_prompts: int, samples: int = 1) -> None:
        """Add prompts with so many samples each."""
        self.prompts += prompts
        self.completions += prompts * samples
        self.most_prompts += most_prompts
        self.most_completions += most_prompts * samples


@dataclass(slots=True)
class StagePlan:
    """A stage's forecast by model, and what is expected to be asked of each model beside it."""

    table: Table
    forecasts: dict[str, Forecast]
    further: dict[str, Further] = field(default_factory=lambda: defaultdict(Further))
    how: str = ""
    """How the expected numbers are estimated."""
    saves: str = ""
    """Which requests are not needed, and why."""
    rows: pl.DataFrame = field(default_factory=pl.DataFrame)
    """The rows of answers and tests that the ledger gives."""
    selected: pl.DataFrame = field(default_factory=pl.DataFrame)
    """The instructions of these."""
    battling: pl.DataFrame = field(default_factory=pl.DataFrame)
    """Of answers, those that are known to battle."""
    asked_about: int = 0
    """The instructions, known or still expected, that the stage has requests about."""
    failures: dict[str, str] = field(default_factory=dict)
    """Why competitors cannot be prompted, by name, at the first stage that finds it out. The plan is that of the others."""

    @property
    def missing(self) -> Iterable[MissingRequest]:
        """All known requests that would be sent."""
        return (one for forecast in self.forecasts.values() for one in forecast.missing)


def walk(arena: Arena, ledger: LedgerReader, warehouse: Warehouse) -> list[StagePlan]:
    """The stages that send requests, in order."""
    arena, backend, failures = with_earlier_folders(arena, ledger), DryRunBackend(ledger), dict[str, str]()
    mining, rating, kept, to_come, how = until_rated(arena, backend, failures)
    selected, to_come, to_embed = centres(arena, warehouse, kept, to_come)
    how = how or to_embed

    def everyone(_: str) -> list[str]:
        return arena.roster

    def one_judge(attacker: str) -> list[str]:
        return [categories.judge_of(arena, attacker)]

    of_answers = answers if answers.enabled(arena) else answer_samples
    about_each: tuple[tuple[Table, dict[str, Any], Callable[[str], list[str]], Callable[[], DispatchResult]], ...] = (
        (task_categories, categories.SCHEMA, one_judge, lambda: categories.categorise(arena, backend, selected, LOG)),
        (generated_tests, generation.SCHEMA, everyone, lambda: generation.write(arena, backend, selected, arena.roster, LOG)),
        (
            of_answers,
            answering.SAMPLE_SCHEMA,
            everyone,
            lambda: answering.answer(arena, backend, selected, arena.roster, LOG),
        ),
    )
    stages, rows = [mining, rating], dict[str, list[dict[str, Any]]]()
    for table, schema, competitors_of, make_rows in about_each:
        if table.enabled(arena):
            made = make_rows()
            stage = planned(table, backend, made, failures, how)
            rows[table.name] = made.rows
            stage.rows, stage.selected = pl.DataFrame(made.rows, schema=schema), selected
            stage.asked_about = len(selected) + to_come.expected.total()
            for one in arena.roster:
                expect(stage, arena, competitors_of(one), to_come.expected[one], to_come.most[one], failures)
            stages.append(stage)
    answered = rows[of_answers.name]
    if of_answers is answer_samples:
        answered = settled(arena, warehouse, answered, rows[generated_tests.name])
    stages[-1].battling = pl.DataFrame(answered, schema=answering.SAMPLE_SCHEMA)
    if judge_exams.enabled(arena):
        stages.append(exams_plan(arena, backend, warehouse, selected, answered, to_come, how, failures))
    if judge_votes.enabled(arena):
        written = rows.get(generated_tests.name, [])
        stages.append(votes_plan(arena, backend, warehouse, selected, answered, written, to_come, how, failures))
    return stages


def until_rated(
    arena: Arena, backend: DryRunBackend, failures: dict[str, str]
) -> tuple[StagePlan, StagePlan, pl.DataFrame, ToCome, str]:
    """Mining and rating, the known kept instructions, the number of further ones of each attacker, and its estimate's basis."""
    mined = sampling.mine(arena, backend, arena.roster, LOG)
    mining, to_mine = planned(mined_instructions, backend, mined, failures), Counter[str]()
    for one in mining.missing:
        to_mine[one.tag["competitor"]] += one.samples
    samples = pl.DataFrame(mined.rows, schema=sampling.SCHEMA)
    unique = dedup.mark_duplicates(samples, arena.roster, arena.deduplication).filter("kept").select(INSTRUCTION)
    to_come, how = passed_on(ToCome(to_mine, to_mine), len(unique), len(samples), "samples became instructions")

    rated = difficulty.rate(arena, backend, unique, LOG)
    rating = planned(instruction_difficulty, backend, rated, failures, how)
    questions = 2 if arena.difficulty.off_topic == "drop" else 1
    for name in arena.roster:
        prompts, most = (questions * count[name] for count in to_come)
        expect(rating, arena, arena.panel(name), prompts, most, failures)
    unrated = pl.col("instruction_id").is_in({one.tag[1] for one in rating.missing})
    known = difficulty.difficulty(unique, rated.rows, arena.difficulty).filter(~unrated)
    to_come = to_come.plus(Counter(unique.filter(unrated)["competitor"].to_list()))
    kept = known.filter("kept")
    to_come, how = passed_on(to_come, len(kept), len(known), "instructions were kept for their difficulty")
    return mining, rating, kept, to_come, how


def exams_plan(
    arena: Arena,
    backend: DryRunBackend,
    warehouse: Warehouse,
    selected: pl.DataFrame,
    rows: list[dict[str, Any]],
    to_come: ToCome,
    how: str,
    failures: dict[str, str],
) -> StagePlan:
    """The judges' exams: exactly if all that their questions are made from is there, else as many questions as there may be.

    The answers' `rows` are those in the ledger; what tests say of them is read from the warehouse.
    """
    founders, tables = arena.founders, ("execution_results", "broken_answers") if arena.runs_tests else ()
    of_founders = selected.filter(pl.col("competitor").is_in(founders))
    answers = pl.DataFrame(rows, schema=answering.SCHEMA).filter(pl.col("competitor").is_in(founders))
    answers = answers.join(of_founders, on="instruction_id", how="semi")
    run = [warehouse.read_existing(table, founders) for table in tables]
    known = not any(to_come.expected[name] for name in founders) and len(answers) == len(of_founders) * len(founders)
    try:
        given = None if not known or any(one is None for one in run) else exam.material(of_founders, answers, founders, *run)
    except LookupError:
        given = None
    papers = [] if given is None else arena.roster
    sat = exam.sit(arena, backend, given or exam.Material({}, answers), papers, LOG)
    stage = planned(
        judge_exams, backend, sat, failures, how or "at most; its questions are made of answers and results to come"
    )
    if given is None:
        for name in arena.possible_judges:  # of those that would send the same, each has a paper without its own answers
            expect(stage, arena, [name], 2 * arena.battles.exam, 2 * arena.battles.exam, failures)
    return stage


def votes_plan(
    arena: Arena,
    backend: DryRunBackend,
    warehouse: Warehouse,
    selected: pl.DataFrame,
    rows: list[dict[str, Any]],
    written: list[dict[str, Any]],
    to_come: ToCome,
    how: str,
    failures: dict[str, str],
) -> StagePlan:
    """The judges' opinions on the answers that are known, the `rows`; `written` are the rows of the tests that are known, and
    `to_come` further instructions of each attacker.

    Matchups of competitors that cannot be prompted are left out: there will be no answer to judge.
    """
    answered = {(row["competitor"], row["instruction_id"]) for row in rows}
    missing = {(name, one) for name in arena.roster for one in selected["instruction_id"]} - answered
    placeholders = [{"instruction_id": one, "competitor": name, "usable": False} for name, one in missing]
    given = pl.DataFrame([*rows, *placeholders], schema=answering.SCHEMA)
    battles = {m: pairs(selected, given, *sides(m), arena.battles.instructions) for m in matchup_keys(arena.roster)}
    battles = {m: frame for m, frame in battles.items() if not failures.keys() & set(sides(m))}
    able, of_answers = [name for name in arena.roster if name not in failures], pl.DataFrame(rows, schema=answering.SCHEMA)
    parts = openness(arena, warehouse, battles, Known(able, of_answers, pl.DataFrame(written, schema=generation.SCHEMA)))
    voted = judging.vote(arena, backend, parts.open, LOG)
    unanswered = how or ("one of two answers is not known yet" if missing else "")
    stage = planned(judge_votes, backend, voted, failures, "; ".join(filter(None, (unanswered, parts.how))))
    stage.saves = parts.saves
    expect_at_most(stage, arena, backend, parts)
    for matchup in battles:
        attackers = sides(matchup) if arena.battles.instructions == "attackers" else arena.roster
        in_scope = selected.filter(pl.col("competitor").is_in(attackers))["instruction_id"]
        count = sum(any((side, one) in missing for side in sides(matchup)) for one in in_scope)
        judges = arena.judges(*sides(matchup))
        orders = opinions_per_battle(arena, matchup) // len(judges)
        prompts, most = (orders * (count + sum(further[name] for name in attackers)) for further in to_come)
        expect(stage, arena, judges, prompts, most, failures)
    return stage


def expect_at_most(stage: StagePlan, arena: Arena, backend: DryRunBackend, parts: Openness) -> None:
    """Expect opinions on the battles of which it is not known yet whether they need any."""
    if not parts.unknown:
        return
    judging.vote(arena, backend, parts.unknown, LOG)
    for model, possible in backend.take_stage().items():
        stage.further[model].add(len(possible.missing), len(possible.missing))  # one sample each
        possible.missing.clear()
        stage.forecasts.setdefault(model, Forecast()).add(possible)


def planned(table: Table, backend: DryRunBackend, result: DispatchResult, failures: dict[str, str], how: str = "") -> StagePlan:
    """The stage whose dry run just ended. The competitors that it could not prompt are added to `failures`."""
    new = {name: reason for name, reason in result.failures.items() if name not in failures}
    failures |= new
    return StagePlan(table, backend.take_stage(), how=how, failures=new)


def expect(stage: StagePlan, arena: Arena, names: Iterable[str], prompts: int, most: int, failures: Collection[str]) -> None:
    """Expect further prompts, and at most so many, to each of some competitors that can be prompted. Those that would send the
    same are one.
    """
    requests = stage.table.requests
    assert requests
    possible = [arena.competitor(name) for name in names if name not in failures]
    for one in {json.dumps(requests.settings(arena, one), sort_keys=True): one for one in reversed(possible)}.values():
        stage.further[one.model].add(prompts, most, requests.samples(arena, one))
