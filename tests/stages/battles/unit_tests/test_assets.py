"""The checks of execution: each can fail."""

import polars as pl

from warrior_dagster.stages.battles.unit_tests import checks, execution
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA


def ran(*outcomes: str, level: str = "namespaces") -> pl.DataFrame:
    rows = [{"row_id": f"{n}", "outcome": o, "level": "" if o == "not run" else level} for n, o in enumerate(outcomes)]
    return pl.DataFrame(rows, schema=execution.SCHEMA)


def test_runs_without_isolation_cause_a_warning() -> None:
    assert checks.isolated(ran("passed", "not run")).passed
    assert not checks.isolated(pl.concat([ran("passed"), ran("failed", level="limits")])).passed


def test_too_many_timeouts_of_started_runs_cause_a_warning() -> None:
    rows = ran("timeout", "passed", "not run", "not run")
    assert checks.few_timeouts(rows, 0.5).passed
    assert not checks.few_timeouts(rows, 0.4).passed
    assert checks.few_timeouts(ran(), 0.0).passed


def test_tests_that_decide_no_battle_cause_a_warning_and_the_shares_are_metadata() -> None:
    rows = [
        {"row_id": f"{n}", "instruction_id": one, "left": "a", "right": right, "status": status}
        for n, (one, right, status) in enumerate([("1", "b", "decided"), ("1", "c", "failed"), ("2", "b", "failed")])
    ]
    votes = pl.DataFrame(rows, schema=VOTE_SCHEMA)
    check = checks.tests_decide({"a__b": votes})
    assert check.passed
    assert check.metadata["share_of_battles"].value == 1 / 3
    assert check.metadata["share_of_instructions"].value == 1 / 2
    undecided = checks.tests_decide({"a__b": votes.filter(status="failed")})
    assert not undecided.passed
    assert str(undecided.description).startswith("tests decide 0 of ")
