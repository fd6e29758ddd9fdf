"""Execution in the graph: requests, runs and votes, the work that an appended competitor adds, and the report."""

import shutil
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from rich.console import Console

from benchmarks.increment import needed, paid
from tests.conftest import FinishedRun, scripted_engines, small_settings
from tests.runs import EVERYTHING, materialize
from tests.stages.battles.unit_tests.scripts import code_writers
from tests.test_graph import keys, tables
from tests.test_graph import materialize as requested
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import sides
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.orchestration.catalog import arena_assets
from warrior_dagster.planning.cost import plan
from warrior_dagster.planning.plan import walk
from warrior_dagster.planning.runs import RunsLine, planned_runs
from warrior_dagster.report.lineage import lineages
from warrior_dagster.report.page import report
from warrior_dagster.report.terminal import show_lineage
from warrior_dagster.stages.battles import sandbox_runs
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

MakeArena = Callable[..., Arena]
BOTH = {"verdict": "direct", "votes": "soft", "evidence": ["opinion", "execution"], "combine": "sum"}
TESTED = ("generated_tests", "execution_results", "execution_votes")


def to_send(arena: Arena) -> dict[str, int]:
    ledger = LedgerReader(arena.warehouse)
    return {line.stage: line.to_send for line in plan(arena, ledger, Warehouse(arena.warehouse))}


def battles(arena: Arena) -> Counter[str]:
    """Materialize all assets that send requests or run code. Returns the keys that were sent."""
    return keys(requested(arena, ("competitors", None), ("matchups", None)))


@pytest.fixture(scope="module")
def battled(tmp_path_factory: pytest.TempPathFactory, bundled_model: Path, bundled_embedder: Path) -> Arena:
    """An arena of three competitors whose battles are decided by opinions and tests. Tests must not change it."""
    settings = small_settings(tmp_path_factory.mktemp("battled"), bundled_model, bundled_embedder, ("ann", "bob", "cyd"))
    arena = Arena.model_validate(settings | {"battles": BOTH})
    with pytest.MonkeyPatch.context() as patch:
        code_writers(patch)
        battles(arena)
    return arena


@pytest.fixture
def battled_copy(battled: Arena, make_arena: MakeArena) -> MakeArena:
    """Makes arenas on a copy of that warehouse; keyword arguments replace top-level values."""
    shutil.copytree(battled.warehouse, make_arena().warehouse)
    return lambda *roster, **values: make_arena(*roster, **({"battles": BOTH} | values))


def rows(arena: Arena, table: str) -> pl.DataFrame:
    return Warehouse(arena.warehouse).read(table)


@pytest.mark.long
def test_every_usable_answer_is_run_and_an_appended_competitor_adds_only_its_own_work(
    battled_copy: MakeArena, make_arena: MakeArena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_writers(monkeypatch)
    small = battled_copy()
    grown = battled_copy((*small.roster, "dan"))
    fresh = to_send(make_arena(battles=BOTH, warehouse=str(tmp_path / "empty")))
    assert fresh["generated_tests"] == fresh["answers"] == 3 * 9
    before = {name: rows(small, name) for name in TESTED}
    tests, run, votes = before.values()
    selected = len(rows(small, "selected_instructions"))
    assert tests.select("instruction_id", "writer").n_unique() == 3 * selected
    assert set(tests["status"]) == {"ok", "dropped", "none"}
    usable = rows(small, "answers").filter("usable")
    assert len(run) == sum(usable.filter(instruction_id=one).height for one in tests.filter(status="ok")["instruction_id"])
    assert {"passed", "failed", "not run"} <= set(run["outcome"])
    assert all(row["judge"] not in (row["left"], row["right"]) for row in votes.iter_rows(named=True))
    outcomes = rows(small, "battle_outcomes")
    assert len(outcomes) == 3 * selected
    assert set(outcomes["from_execution"]) == {0.0, 2.0}
    assert outcomes["from_opinion"].to_list() == pytest.approx([2.0] * len(outcomes))

    ran, had = runs_counted(monkeypatch), paid(grown)
    sent = battles(grown)
    assert set(sent) == needed(grown) - had
    assert max(sent.values()) == 1
    assert set(to_send(grown).values()) == {0}
    after = {name: rows(grown, name) for name in TESTED}
    for name in ("generated_tests", "execution_results"):
        mine = before[name].select("partition", "row_id")
        assert after[name].join(mine, on=["partition", "row_id"], how="semi").equals(before[name]), name
    started = after["execution_results"].filter(pl.col("outcome") != "not run")["run_key"]
    assert sum(ran) == len(set(started) - set(run["run_key"])) > 0
    ran.clear()
    with scripted_engines(grown, [], []) as engines:
        materialize(grown, engines, ("execution_results", None), ("execution_votes", None))
    assert sum(ran) == 0
    assert all(rows(grown, name).equals(after[name]) for name in after)


def runs_counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that receives the number of tests of each answer that is run from now on."""
    ran, verdicts = list[int](), sandbox_runs.verdicts

    def counted(pending: list[sandbox_runs.PendingProgram], *rest: Any) -> dict[str, sandbox_runs.Verdict]:
        ran.extend(len(program.texts) for program in pending)
        return verdicts(pending, *rest)

    monkeypatch.setattr(sandbox_runs, "verdicts", counted)
    return ran


def test_tests_decide_alone_if_possible_and_checks_audit_and_report_show_it(
    make_arena: MakeArena, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_writers(monkeypatch)
    arena = make_arena(("ann", "bob", "cyd", "dan"), battles=BOTH | {"evidence": ["execution", "opinion"], "combine": "first"})
    with scripted_engines(arena, [], []) as engines:
        runs = materialize(arena, engines, *EVERYTHING, checks=True)
    checks = {check.check_name: check for run in runs for check in run.get_asset_check_evaluations()}
    for name in ("runs_are_isolated", "few_timeouts", "tests_decide"):
        assert checks[name].passed, name
        assert checks[name].severity == dg.AssetCheckSeverity.WARN
    assert checks["tests_decide"].metadata["share_of_battles"].value
    warehouse = Warehouse(arena.warehouse)
    found = tables(arena)
    votes = found["execution_votes"]
    decided = votes.filter(pl.col("status") != "failed")
    by_tests = found["battle_outcomes"].filter(decided_by="execution")
    assert len(by_tests)
    assert by_tests.join(decided, on=["instruction_id", "left", "right"], how="anti").is_empty()
    assert (by_tests["from_execution"] > 0).all()
    assert (by_tests["from_opinion"] == 0).all()
    others = (
        found["battle_outcomes"]
        .join(votes.filter(status="decided"), on=["instruction_id", "left", "right"], how="anti")
        .drop_nulls("outcome")
    )
    assert (others["from_opinion"] > 0).all()
    audited = warehouse.read("judge_audit", [WHOLE])
    assert audited["tested_of"].sum() > 0
    assert audited.filter(pl.col("tested_of") > 0)["accuracy"].is_between(0, 1).all()
    ledger = LedgerReader(arena.warehouse)
    one = lineages(arena, warehouse, ledger, [decided["instruction_id"][0]])[0]
    page = report(arena, warehouse, ledger, "today")
    own = [vote for vote in one["votes"] if vote["evidence"] == "execution"]
    assert len(own) == 6 * 2
    assert all(vote["judge"] not in sides("__".join((vote["left"], vote["right"]))) for vote in own)
    assert any(vote["asked"] and "assert double(4) == 8" in vote["asked"]["prompt"] for vote in own)
    assert one["tests"]
    assert all(set(test["outcomes"]) <= set(arena.roster) and test["test"].startswith("assert") for test in one["tests"])
    assert "Tests (${row.tests.length})" in page
    show_lineage(Console(file=(shown := StringIO()), width=400), one)
    assert one["tests"][0]["test"] in shown.getvalue()


def test_an_arena_with_opinions_alone_has_no_execution_in_its_assets_rows_and_versions(
    make_arena: MakeArena, finished_run: FinishedRun
) -> None:
    def versions(**values: object) -> dict[str, str]:
        battles = {"verdict": "direct", "votes": "soft"} | values.pop("battles", {})  # type: ignore[operator]
        assets = arena_assets(Scope(make_arena(battles=battles, **values)))
        found = {k.to_user_string(): v or "" for a in assets for k, v in a.code_versions_by_key.items()}
        return found | {"arena_report": ""}  # it shows all settings

    plain = versions()
    assert not set(TESTED) & set(plain)
    unused = {"evidence": ["opinion"], "weights": {"execution": 5.0}}
    assert versions(battles=unused, execution={"seconds": 9.0, "prompt": "$instruction"}) == plain
    changed = versions(battles={"evidence": ["opinion", "execution"], "combine": "sum"})
    read_votes, with_cards = {"battle_outcomes", "judge_audit", "answer_scores"}, {"sft_dataset", "dpo_dataset", "kto_dataset"}
    assert {name for name in plain if plain[name] != changed[name]} == read_votes | with_cards
    assert changed != versions(battles={"evidence": ["opinion", "execution"], "combine": "sum", "weights": {"execution": 5.0}})
    assert "from_execution" not in rows(finished_run.arena, "battle_outcomes").columns
    assert "tested" not in rows(finished_run.arena, "judge_audit").columns


def test_judges_without_any_test_cause_a_warning_and_opinions_decide(make_arena: MakeArena) -> None:
    arena = make_arena(battles=BOTH)
    with scripted_engines(arena, [], []) as engines:
        runs = materialize(arena, engines, ("competitors", None), ("matchups", None), checks=True)
    failed = [check for run in runs for check in run.get_asset_check_evaluations() if not check.passed]
    assert {(check.asset_key.to_user_string(), check.check_name) for check in failed} == {
        ("generated_tests", "not_empty"), ("execution_votes", "tests_decide")
    }  # fmt: skip
    assert {check.severity for check in failed} == {dg.AssetCheckSeverity.WARN}
    assert rows(arena, "execution_results").is_empty()
    assert set(rows(arena, "execution_votes")["status"]) == {"failed"}
    assert rows(arena, "battle_outcomes")["from_execution"].sum() == 0


UNTIL_TESTED = [
    (name, None)
    for name in (
        *("mined_instructions", "unique_instructions", "instruction_difficulty", "instruction_embeddings"),
        *("selected_instructions", "answers", "generated_tests"),
    )
]
OPEN = {"verdict": "direct", "votes": "soft", "evidence": ["execution", "opinion"]}


def test_judges_are_asked_about_open_battles_alone_and_a_newcomer_repeats_nothing(
    make_arena: MakeArena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_writers(monkeypatch)
    roster = ("ann", "bob", "cyd")
    arena = make_arena(roster, battles=OPEN | {"opinions": "open"})
    requested(arena, *UNTIL_TESTED)
    first = {line.stage: line for line in plan(arena, LedgerReader(arena.warehouse), Warehouse(arena.warehouse))}["judge_votes"]
    assert first.estimated == first.to_send > 0
    assert "expected: at most, as some of these battles may need none" in first.basis
    requested(arena, ("execution_results", None))
    planned = {line.stage: line for line in plan(arena, LedgerReader(arena.warehouse), Warehouse(arena.warehouse))}[
        "judge_votes"
    ]
    assert planned.estimated == 0
    assert "battles need no opinion" in planned.basis
    assert planned.to_send < first.to_send
    assert keys(requested(arena, ("matchups", None))).total() == planned.to_send
    votes, outcomes = rows(arena, "judge_votes"), rows(arena, "battle_outcomes")
    judged = outcomes.join(votes, on=["instruction_id", "left", "right"], how="semi")
    assert 0 < len(judged) < len(outcomes.drop_nulls("outcome"))
    assert (judged["decided_by"] != "execution").all()
    assert (outcomes.filter(decided_by="opinion")["from_opinion"] > 0).all()
    assert (outcomes.filter(decided_by="execution")["from_opinion"] == 0).all()

    everyone = make_arena(roster, battles=OPEN, warehouse=str(tmp_path / "everyone"))
    shutil.copytree(arena.warehouse, everyone.warehouse)
    requested(everyone, ("matchups", None))
    columns = ["instruction_id", "left", "right", "local_left", "outcome", "decided_by"]
    assert rows(everyone, "battle_outcomes").select(columns).equals(outcomes.select(columns))

    grown, had = make_arena((*roster, "dan"), battles=OPEN | {"opinions": "open"}), paid(arena)
    sent = keys(requested(grown, *UNTIL_TESTED))
    # The newcomer's tests and answers may change the votes of tests on the battles of the others too.
    lines = plan(grown, LedgerReader(grown.warehouse), Warehouse(grown.warehouse))
    assert [line.estimated == line.to_send > 0 for line in lines if line.stage == "judge_votes"] == [True]
    sent += keys(requested(grown, ("execution_results", None)))
    exact = to_send(grown)
    of_matchups = battles(grown)
    assert of_matchups.total() == exact["judge_votes"] == sum(exact.values())
    sent += of_matchups
    assert set(sent) == needed(grown) - had
    assert max(sent.values()) == 1
    assert set(to_send(grown).values()) == {0}


def test_the_plan_says_how_many_runs_are_left(
    battled_copy: MakeArena, make_arena: MakeArena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_writers(monkeypatch)

    def planned(arena: Arena) -> RunsLine:
        warehouse = Warehouse(arena.warehouse)
        (found,) = planned_runs(arena, warehouse, walk(arena, LedgerReader(arena.warehouse), warehouse))
        return found

    fresh = planned(make_arena(battles=BOTH, warehouse=str(tmp_path / "empty")))
    assert fresh.to_run == fresh.expected == 9 * 3 * 3 * 8  # instructions, answers, writers, tests
    assert "at most 24 runs an answer" in fresh.basis
    small = battled_copy()
    done = planned(small)
    assert (done.to_run, done.expected, done.seconds) == (0, 0, 0.0)
    assert done.done == len(rows(small, "execution_results").filter(pl.col("outcome") != "not run"))
    grown = battled_copy((*small.roster, "dan"))
    before = planned(grown)
    assert before.expected > 0
    assert "runs an answer, as so far" in before.basis
    requested(grown, *((name, None) for name in ("mined_instructions", "unique_instructions", "instruction_difficulty")))
    requested(grown, *((name, None) for name in ("instruction_embeddings", "selected_instructions")))
    requested(grown, ("answers", None), ("generated_tests", None))
    known, ran = planned(grown), runs_counted(monkeypatch)
    assert known.expected == 0
    assert known.seconds
    requested(grown, ("execution_results", None))
    assert sum(ran) >= known.to_run > 0  # an answer that cannot be loaded runs once more as its definitions
    assert planned(grown).to_run == 0


def test_a_missing_request_or_run_is_an_error_that_names_the_asset(
    battled_copy: MakeArena, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_writers(monkeypatch)
    more = battled_copy(selection={"centres": 5})
    warehouse = Warehouse(more.warehouse)
    warehouse.invalidate("execution_votes", warehouse.partitions("execution_votes"))
    steps = [("selected_instructions", None), ("answers", None)]
    with scripted_engines(more, [], []) as engines:
        materialize(more, engines, *steps)
        with pytest.raises(LookupError, match="materialize generated_tests first"):
            materialize(more, engines, ("execution_votes", None))
        materialize(more, engines, ("generated_tests", None))
        with pytest.raises(LookupError, match="materialize execution_results first"):
            materialize(more, engines, ("execution_votes", None))
        materialize(more, engines, ("execution_results", None), ("judge_votes", None))
        with pytest.raises(LookupError, match="execution_votes was never materialized"):
            materialize(more, engines, ("battle_outcomes", None))
