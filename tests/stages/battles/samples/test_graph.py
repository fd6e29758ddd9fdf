"""Several samples in the graph: the requests and runs that more samples and an appended competitor add, and the exports."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from rich.console import Console

from benchmarks.increment import needed, paid
from tests.conftest import scripted_engines
from tests.runs import EVERYTHING, materialize, stale
from tests.stages.battles.unit_tests.scripts import code_writers
from tests.test_graph import keys
from tests.test_graph import materialize as requested
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.request import Request
from warrior_dagster.planning.cost import plan
from warrior_dagster.report.lineage import lineages
from warrior_dagster.report.terminal import show_lineage
from warrior_dagster.sandbox.pool import Observation, ObservedProgram, observe_all
from warrior_dagster.stages.battles.samples import assets
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

MakeArena = Callable[..., Arena]
BATTLES = {"verdict": "direct", "votes": "soft", "evidence": ["execution", "opinion"]}
TESTS = {"sampling": {"temperature": 0.8, "max_tokens": 64}}
ONE = {"answers": {"sampling": {"max_tokens": 64}}, "execution": TESTS, "battles": BATTLES}
THREE = {
    "answers": {"sampling": {"max_tokens": 64}, "samples": 3},
    "execution": TESTS | {"samples": 2},
    "battles": BATTLES,
    "export": {"dpo_rejected": "own_sample", "undecided": "keep"},
}
SETTLING = ("answer_samples", "sample_behaviours", "answers", "generated_tests")
GREEDY = "cyd"


@pytest.fixture
def roster(bundled_model: Path) -> Callable[..., list[dict[str, Any]]]:
    """Competitors by their names, of which one is greedy."""

    def competitors(*names: str) -> list[dict[str, Any]]:
        greedy = {"sampling": {"temperature": 0.0, "max_tokens": 64}}
        return [
            {"name": n, "model": str(bundled_model), "system_prompt": f"You are {n}."} | (greedy if n == GREEDY else {})
            for n in names
        ]

    return competitors


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Receives the number of inputs of each program that is run."""
    ran = list[int]()

    def counted(programs: Iterable[ObservedProgram], **how: Any) -> Iterator[Observation]:
        listed = list(programs)
        ran.extend(len(one.calls) for one in listed)
        return observe_all(listed, **how)

    monkeypatch.setattr(assets, "observe_all", counted)
    return ran


def to_send(arena: Arena) -> dict[str, int]:
    lines = plan(arena, LedgerReader(arena.warehouse), Warehouse(arena.warehouse))
    return dict(sum((Counter({line.stage: line.to_send}) for line in lines), Counter[str]()))


def rows(arena: Arena, tables: Sequence[str]) -> dict[str, pl.DataFrame]:
    return {name: Warehouse(arena.warehouse).read(name) for name in tables}


def test_more_samples_and_an_appended_competitor_ask_and_run_exactly_what_is_new(
    make_arena: MakeArena, roster: Callable[..., list[dict[str, Any]]], observed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    code_writers(monkeypatch)
    names = ("ann", "bob", GREEDY)
    one = make_arena(competitors=roster(*names), **ONE)
    requested(one, ("competitors", None), ("matchups", None))
    before, had = rows(one, ("answers", "generated_tests")), paid(one)
    answered, asked = len(before["answers"]), before["generated_tests"].drop_nulls("completion_key")
    several = make_arena(competitors=roster(*names), **THREE)

    expected = to_send(several)
    greedy = before["answers"].filter(competitor=GREEDY).height
    assert expected["answer_samples"] == 2 * (answered - greedy)
    assert expected["generated_tests"] == asked["completion_key"].n_unique()
    sent = keys(requested(several, ("competitors", None), ("matchups", None)))
    assert set(sent) == needed(several) - had
    assert max(sent.values()) == 1
    assert not {name for name, count in to_send(several).items() if count}
    now = rows(several, SETTLING)
    samples, settled, tests = (now[name] for name in ("answer_samples", "answers", "generated_tests"))
    assert samples.group_by("competitor").len().sort("competitor")["len"].to_list() == [answered, answered, greedy]
    firsts = samples.filter(sample=0).with_columns(row_id="instruction_id").drop("sample")
    assert_frame_equal(firsts, before["answers"], check_column_order=False, check_row_order=False)
    assert_frame_equal(tests.join(asked, on="row_id", how="semi"), asked)
    assert len(settled) == answered
    assert {"agreement", "first sample"} == set(settled["settled_by"])
    chosen = settled.select("competitor", "instruction_id", "sample", "completion_key", "answer")
    assert len(chosen.join(samples, on=chosen.columns)) == answered
    assert settled["sample"].n_unique() > 1

    grown, had = make_arena(competitors=roster(*names, "dan"), **THREE), paid(several)
    observed.clear()
    sent = keys(requested(grown, ("competitors", None)))
    planned = to_send(grown)
    votes = keys(requested(grown, ("matchups", None)))
    assert votes.total() == planned["judge_votes"] == sum(planned.values()) > 0
    sent += votes
    assert set(sent) == needed(grown) - had
    assert max(sent.values()) == 1
    after = rows(grown, SETTLING)
    for name in SETTLING:
        on = ["partition", "row_id"]
        assert_frame_equal(after[name].join(now[name], on=on, how="semi"), now[name])
    ran = after["sample_behaviours"].filter(pl.col("outcome") != "not run")["run_key"]
    new = set(ran) - set(now["sample_behaviours"]["run_key"])
    assert len(new) > 0
    assert sum(observed) == 2 * len(new)
    assert not {name for name, count in to_send(grown).items() if count}

    observed.clear()
    log: list[Request] = []
    with scripted_engines(grown, log, []) as engines:
        materialize(grown, engines, ("sample_behaviours", None), ("answers", None))
    assert (observed, log) == ([], [])
    assert_frame_equal(rows(grown, ["answers"])["answers"], after["answers"])


def test_a_settled_answer_battles_is_exported_with_its_own_worst_sample_and_is_shown(
    make_arena: MakeArena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_writers(monkeypatch)
    arena = make_arena(**(THREE | {"export": THREE["export"] | {"folder": str(tmp_path / "exports")}}))  # type: ignore[operator]
    with scripted_engines(arena, [], []) as engines:
        runs = materialize(arena, engines, *EVERYTHING, checks=True)
    failed = {check.check_name for run in runs for check in run.get_asset_check_evaluations() if not check.passed}
    assert not failed & {"rows_are_unique", "only_the_best_is_shown", "no_benchmark_inside", "numbers_add_up", "not_empty"}
    assert stale(arena) == {}
    warehouse = Warehouse(arena.warehouse)
    answers, samples = (warehouse.read(name, arena.roster) for name in ("answers", "answer_samples"))
    pairs = warehouse.read("dpo_dataset", [WHOLE])
    gold = warehouse.read("answer_scores", [WHOLE]).filter("gold").select("instruction_id", "competitor")
    with_other = gold.join(answers.filter(status="ok").drop_nulls("least_like"), on=["instruction_id", "competitor"])
    assert set(pairs["instruction_id"]) == set(with_other["instruction_id"])
    assert len(pairs)
    assert (pairs["rejected_competitor"] == pairs["chosen_competitor"]).all()
    assert pairs["rejected_score"].null_count() == len(pairs)
    texts = {(row["instruction_id"], row["competitor"], row["sample"]): row["answer"] for row in samples.to_dicts()}
    for pair in pairs.to_dicts():
        whose = pair["instruction_id"], pair["chosen_competitor"]
        (row,) = answers.filter(instruction_id=whose[0], competitor=whose[1]).to_dicts()
        assert row["least_agreement"] < 1
        assert pair["chosen"][-1]["content"] == texts[*whose, row["sample"]]
        assert pair["rejected"][-1]["content"] == texts[*whose, row["least_like"]]

    one = answers.filter(pl.col("sample") > 0)["instruction_id"][0]
    (lineage,) = lineages(arena, warehouse, LedgerReader(arena.warehouse), [one])
    settled = dict(answers.filter(instruction_id=one).select("competitor", "sample").iter_rows())
    assert {row["competitor"]: row["asked"]["sample"] for row in lineage["answers"]} == settled
    show_lineage(Console(file=(shown := StringIO()), width=400), lineage)
    assert all(row["answer"].splitlines()[0] in shown.getvalue() for row in lineage["answers"])
