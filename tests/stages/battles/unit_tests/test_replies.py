"""A reply is a document with a program in it: a right function counts however it is shown, and a wrong one never does."""

import polars as pl
import pytest

from tests.stages.battles.unit_tests.replies import RIGHT, TESTS, WRONG_REPLIES
from tests.stages.battles.unit_tests.test_execution import EMPTY, answers, asserts_of
from warrior_dagster.config.battles import Execution
from warrior_dagster.sandbox.pool import run_all
from warrior_dagster.stages.battles.unit_tests import execution

SETTINGS = Execution(seconds=0.5)


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    """All replies under the tests, in the real sandbox."""
    replies = RIGHT | {f"-{name}": reply for name, reply in WRONG_REPLIES.items()}
    return execution.execute(answers(**replies), asserts_of(judge=TESTS), EMPTY, run_all, SETTINGS)[0]


def passing(rows: pl.DataFrame, names: list[str]) -> list[str]:
    """The replies of which every test passes."""
    all_pass = rows.group_by("competitor").agg((pl.col("outcome") == "passed").all()).filter("outcome")["competitor"]
    return sorted(set(all_pass) & set(names))


def test_every_reply_around_a_right_function_passes(rows: pl.DataFrame) -> None:
    assert len(RIGHT) >= 50
    assert passing(rows, list(RIGHT)) == sorted(RIGHT)


def test_no_reply_with_a_wrong_program_passes(rows: pl.DataFrame) -> None:
    assert passing(rows, [f"-{name}" for name in WRONG_REPLIES]) == []
