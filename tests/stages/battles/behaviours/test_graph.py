"""Behaviour in the graph: every usable answer is run, the work that an appended competitor adds, and what decides battles."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import polars as pl
import pytest

from tests.conftest import scripted_engines
from tests.runs import materialize
from tests.stages.battles.unit_tests.scripts import code_writers
from warrior_dagster.config.arena import Arena
from warrior_dagster.stages.battles import sandbox_runs
from warrior_dagster.warehouse.tables import Warehouse

BATTLES = {"verdict": "direct", "votes": "soft", "evidence": ["execution", "behaviour", "opinion"]}


def battle(arena: Arena) -> dict[str, pl.DataFrame]:
    """Materialize all that the outcomes need; the tables of behaviour, and what they are made from."""
    with scripted_engines(arena, [], []) as engines:
        runs = materialize(arena, engines, ("competitors", None), ("matchups", None), checks=True)
    checks = {check.check_name: check for run in runs for check in run.get_asset_check_evaluations()}
    assert checks["behaviours_decide"].passed
    assert checks["behaviours_decide"].severity == dg.AssetCheckSeverity.WARN
    assert all(check.passed for check in checks.values() if check.severity == dg.AssetCheckSeverity.ERROR)
    warehouse = Warehouse(arena.warehouse)
    return {name: warehouse.read(name) for name in ("answers", "answer_behaviours", "behaviour_votes", "battle_outcomes")}


def runs_counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that receives the run keys of all tests and inputs that are run from now on."""
    ran, verdicts = list[str](), sandbox_runs.verdicts

    def counted(pending: list[sandbox_runs.PendingProgram], *rest: Any) -> dict[str, sandbox_runs.Verdict]:
        ran.extend(key for program in pending for key in program.texts)
        return verdicts(pending, *rest)

    monkeypatch.setattr(sandbox_runs, "verdicts", counted)
    return ran


def test_every_usable_answer_is_observed_and_an_appended_competitor_repeats_no_run(
    make_arena: Callable[..., Arena], monkeypatch: pytest.MonkeyPatch
) -> None:
    code_writers(monkeypatch)
    ran = runs_counted(monkeypatch)
    before = battle(make_arena(battles=BATTLES))
    observed, votes, outcomes = (before[name] for name in ("answer_behaviours", "behaviour_votes", "battle_outcomes"))
    with_inputs = observed["instruction_id"].unique().to_list()
    usable = before["answers"].filter(pl.col("usable") & pl.col("instruction_id").is_in(with_inputs))
    answers = ["instruction_id", "competitor"]
    assert usable.select(answers).sort(answers).equals(observed.select(answers).unique().sort(answers))
    assert {"returned", "not run"} <= set(observed["outcome"])
    counts = (
        observed.group_by(answers).agg(pl.col("input").n_unique()).group_by("instruction_id").agg(pl.col("input").n_unique())
    )
    assert set(counts["input"]) == {1}  # all answers to an instruction have the same inputs
    assert len(votes) == votes.select("instruction_id", "left", "right").n_unique() == len(outcomes.drop_nulls("outcome"))
    by_behaviour = outcomes.filter(decided_by="behaviour")
    decided = votes.filter(status="decided")
    assert len(by_behaviour)
    assert by_behaviour.join(decided, on=["instruction_id", "left", "right"], how="anti").is_empty()
    assert outcomes["agreement"].drop_nulls().is_between(0, 1).all()
    assert len(outcomes["agreement"].drop_nulls())

    first = set(ran)
    ran.clear()
    after = battle(make_arena(("ann", "bob", "cyd", "dan"), battles=BATTLES))
    assert ran
    assert not first & set(ran)
    again = after["answer_behaviours"].join(observed, on=["partition", "row_id"], how="semi")
    assert again.equals(observed)
