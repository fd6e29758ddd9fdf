"""A rejected sample is the one that settling named, never another text with its number."""

from collections.abc import Callable

import polars as pl
import pytest

from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.stages.battles import answering
from warrior_dagster.stages.battles.samples.settling import SETTLED_SCHEMA
from warrior_dagster.stages.export.records import with_own_samples

SAMPLES = {
    "answers": {"samples": 2},
    "battles": {"evidence": ["execution", "opinion"]},
    "export": {"dpo_rejected": "own_sample"},
}


def test_samples_that_are_newer_than_the_answers_are_an_error_that_says_what_to_do(make_arena: Callable[..., Arena]) -> None:
    arena = make_arena(**SAMPLES)
    warehouse = open_warehouse(arena)
    for name in arena.roster:
        rows = [
            {"instruction_id": "00", "competitor": name, "answer": f"text {n}", "sample": n, "completion_key": f"{name} {n}"}
            for n in range(2)
        ]
        warehouse.write("answer_samples", name, answering.sample_rows(rows))
    answer = {"instruction_id": "00", "competitor": "ann", "sample": 1, "completion_key": "ann 1", "least_like": 0}
    answers = pl.DataFrame([answer], schema=SETTLED_SCHEMA)
    assert with_own_samples(answers, warehouse, arena)["own_sample"].to_list() == ["text 0"]
    with pytest.raises(LookupError, match="answers: 1 are not of the present samples; materialize answers first"):
        with_own_samples(answers.with_columns(completion_key=pl.lit("an earlier one")), warehouse, arena)
