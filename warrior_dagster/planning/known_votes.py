"""The votes that running code gives, as far as all that they rest on is known before anything is sent or run.

They are made as a materialization makes them, from the outcomes of earlier runs. Votes in the warehouse would not do: an
appended competitor changes those of matchups that it is not in, because its tests and its answers count there too.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import BEHAVIOUR, EXECUTION
from warrior_dagster.config.matchups import sides
from warrior_dagster.planning.settled import dry_run, whole_suites
from warrior_dagster.stages.battles.behaviours import observing
from warrior_dagster.stages.battles.behaviours import voting as behaviour
from warrior_dagster.stages.battles.behaviours.inputs import inputs
from warrior_dagster.stages.battles.open_battles import closing_kinds
from warrior_dagster.stages.battles.sandbox_runs import TO_RUN, earlier
from warrior_dagster.stages.battles.unit_tests import execution, voting
from warrior_dagster.warehouse.tables import Warehouse


class Known(NamedTuple):
    """What answers and tests the ledger has, of the competitors that can be prompted."""

    names: Sequence[str]
    answers: pl.DataFrame
    """Rows of answering.SCHEMA."""
    tests: pl.DataFrame
    """Rows of generation.SCHEMA."""

    def of(self, instructions: pl.DataFrame) -> "Known":
        """Those of some instructions."""
        answers, tests = (frame.join(instructions, on="instruction_id", how="semi") for frame in self[1:])
        return Known(self.names, answers, tests)


def known_votes(
    arena: Arena, warehouse: Warehouse, battles: Mapping[str, pl.DataFrame], known: Known
) -> tuple[pl.DataFrame, dict[str, list[pl.DataFrame]]]:
    """The instructions of which all votes are known, and these votes of the kinds that close battles, by matchup.

    `battles` are the frames of `pairing.pairs`, by matchup.
    """
    kinds, settings, results = closing_kinds(arena.battles), arena.execution, dict[str, pl.DataFrame]()
    complete = instructions_of_all(arena, known)
    known = known.of(complete)
    if EXECUTION in kinds:
        before = earlier(warehouse, "execution_results", arena.roster, execution.SCHEMA)
        results[EXECUTION], _ = execution.execute(known.answers, known.tests, before, execution.dry_run, settings)
    if BEHAVIOUR in kinds:
        before = earlier(warehouse, "answer_behaviours", arena.roster, observing.SCHEMA)
        calls = inputs(known.tests, settings.inputs)
        results[BEHAVIOUR], _ = observing.observe(known.answers, calls, before, dry_run, settings)
    for rows in results.values():
        complete = complete.join(rows.filter(level=TO_RUN), on="instruction_id", how="anti")
    known = known.of(complete)
    results = {kind: rows.join(complete, on="instruction_id", how="semi") for kind, rows in results.items()}
    fought = {m: pairs.join(complete, on="instruction_id", how="semi") for m, pairs in battles.items()}
    votes_of = {EXECUTION: votes_of_tests, BEHAVIOUR: votes_of_behaviour}
    votes = [votes_of[kind](arena, known, rows, fought) for kind, rows in results.items()]
    return complete, {m: [of_kind[m] for of_kind in votes] for m in battles}


def instructions_of_all(arena: Arena, known: Known) -> pl.DataFrame:
    """The instructions with an answer and the tests of all that can be prompted; column instruction_id."""
    of_answers = known.answers.group_by("instruction_id").agg(pl.col("competitor").n_unique().alias("all"))
    of_tests = whole_suites(arena, known.tests).group_by("instruction_id").agg(pl.col("writer").n_unique().alias("all"))
    answered, tested = (frame.filter(all=len(known.names)).select("instruction_id") for frame in (of_answers, of_tests))
    return answered.join(tested, on="instruction_id", how="semi")


def votes_of_tests(
    arena: Arena, known: Known, results: pl.DataFrame, battles: Mapping[str, pl.DataFrame]
) -> dict[str, pl.DataFrame]:
    """The rows of `execution_votes`, by matchup."""
    reports = voting.suite_reports(known.tests, results)
    judges = {m: [name for name in arena.judges(*sides(m)) if name in known.names] for m in battles}
    return {m: voting.vote(pairs, reports, judges[m], *sides(m)) for m, pairs in battles.items()}


def votes_of_behaviour(
    arena: Arena, known: Known, results: pl.DataFrame, battles: Mapping[str, pl.DataFrame]
) -> dict[str, pl.DataFrame]:
    """The rows of `behaviour_votes`, by matchup."""
    models, found = {one.name: one.model for one in arena.competitors}, behaviour.behaviours(results)
    weights = {m: behaviour.peer_weights(models, *sides(m), arena.battles.same_model) for m in battles}
    present = behaviour.inputs_of_each(inputs(known.tests, arena.execution.inputs))
    without = behaviour.reasons_without_inputs(known.tests)
    return {m: behaviour.vote(pairs, found, present, without, *sides(m), weights[m]) for m, pairs in battles.items()}
