"""Which answers competitors settle on, as far as that is known before anything is sent or run."""

from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.sandbox.pool import Observation, ObservedProgram
from warrior_dagster.stages.battles.answering import sample_rows
from warrior_dagster.stages.battles.behaviours import observing
from warrior_dagster.stages.battles.behaviours.inputs import inputs
from warrior_dagster.stages.battles.samples import settling
from warrior_dagster.stages.battles.sandbox_runs import NOT_RUN, TO_RUN, earlier
from warrior_dagster.stages.battles.unit_tests import generation
from warrior_dagster.warehouse.tables import Warehouse


def settled(
    arena: Arena, warehouse: Warehouse, answered: list[dict[str, Any]], written: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The answers that are known, rows of settling.SETTLED_SCHEMA: all samples are in the ledger, and where there is a choice
    all tests of the competitor too, and what has to be observed was observed by an earlier run.

    `answered` and `written` are the rows of the samples and of the tests that the ledger has.
    """
    samples, tests = sample_rows(answered), pl.DataFrame(written, schema=generation.SCHEMA)
    before = earlier(warehouse, "sample_behaviours", arena.roster, observing.SCHEMA)
    found = [pl.DataFrame(schema=settling.SETTLED_SCHEMA)]
    for one in arena.competitors:
        own, of_writer = samples.filter(competitor=one.name), tests.filter(writer=one.name)
        answers = own.filter(pl.len().over("instruction_id") == arena.answer_samples(one))
        without_tests = settling.several(answers).join(whole_suites(arena, of_writer), on="instruction_id", how="anti")
        answers = answers.join(without_tests, on="instruction_id", how="anti")
        observed, _ = settling.observe(answers, inputs(of_writer, arena.execution.inputs), before, dry_run, arena.execution)
        open_ones = observed.filter(level=TO_RUN)
        found.append(settling.settle(answers.join(open_ones, on="instruction_id", how="anti"), observed))
    return pl.concat(found).to_dicts()


def whole_suites(arena: Arena, tests: pl.DataFrame) -> pl.DataFrame:
    """Which instructions have all tests of which writer: instruction_id, writer. `tests` has rows of generation.SCHEMA."""
    asked = pl.col("completion_key").drop_nulls().n_unique().alias("asked")
    suites = tests.group_by("instruction_id", "writer").agg(asked)
    return suites.filter(pl.col("asked").is_in([0, arena.execution.samples]))  # nobody is asked for what cannot be run


def dry_run(programs: Iterable[ObservedProgram]) -> Iterator[Observation]:
    """Runs nothing, and marks what would be run by its level."""
    for one in programs:
        count = len(one.calls)
        yield Observation(one.key, (NOT_RUN,) * count, ("",) * count, "", 0.0, TO_RUN)
