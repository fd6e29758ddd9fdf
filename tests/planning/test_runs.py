"""The plan counts the runs of code that are known, and of the others no more than there can be."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import polars as pl
import pytest

from tests.stages.battles.unit_tests.replies import ONE, fenced
from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.table import Table, open_warehouse
from warrior_dagster.planning import runs
from warrior_dagster.planning.plan import StagePlan
from warrior_dagster.planning.settled import settled
from warrior_dagster.sandbox.host import Outcome
from warrior_dagster.sandbox.pool import Program, Result
from warrior_dagster.stages.battles import answering
from warrior_dagster.stages.battles.assets import answers
from warrior_dagster.stages.battles.samples.assets import answer_samples, sample_behaviours
from warrior_dagster.stages.battles.unit_tests import breaking, execution, generation
from warrior_dagster.stages.battles.unit_tests.assets import broken_answers, execution_results, generated_tests

MakeArena = Callable[..., Arena]
BATTLES = {"verdict": "direct", "votes": "soft", "evidence": ["execution", "opinion"]}
INSTRUCTIONS = ["00", "01"]
SELECTED = pl.DataFrame({"instruction_id": INSTRUCTIONS, "competitor": ["ann", "bob"]})
THREE = {"sampling": {"temperature": 0.8, "max_tokens": 64}, "samples": 3}


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started to measure one."""
    monkeypatch.setattr(runs, "seconds_of_a_process", lambda _: 1.0)


def answered(arena: Arena, names: tuple[str, ...] = ("ann", "bob", "cyd"), code: str = ONE) -> list[dict[str, Any]]:
    """All samples of some competitors' answers."""
    return [
        {"instruction_id": one, "competitor": name, "status": "ok", "usable": True, "sample": sample}
        | {"answer": fenced(f"# {name} {one} {sample}\n{code}"), "completion_key": f"{name} {one} {sample}"}
        for name in names
        for one in INSTRUCTIONS
        for sample in range(arena.answer_samples(arena.competitor(name)))
    ]


def suites_of(*writers: str) -> list[dict[str, Any]]:
    """Two tests of each writer for each instruction."""
    return [
        {"row_id": f"{one}:{name}:{n}", "instruction_id": one, "writer": name, "status": "ok", "reason": ""}
        | {"test": f"assert count_vowels('{name}{'a' * n}') == {n}", "completion_key": f"{name} {one}"}
        for name in writers
        for one in INSTRUCTIONS
        for n in (1, 2)
    ]


def line(
    arena: Arena, table: Table, given: list[dict[str, Any]], written: list[dict[str, Any]], samples: bool = False
) -> runs.RunsLine:
    """The line of a table, from the rows of answers and tests that the ledger has."""
    of_answers = StagePlan(answer_samples if samples else answers, {}, selected=SELECTED, asked_about=2)
    of_answers.rows = of_answers.battling = pl.DataFrame(given, schema=answering.SAMPLE_SCHEMA)
    if samples:
        known = settled(arena, open_warehouse(arena), given, written)
        of_answers.battling = pl.DataFrame(known, schema=answering.SAMPLE_SCHEMA)
    of_tests = StagePlan(generated_tests, {}, rows=pl.DataFrame(written, schema=generation.SCHEMA))
    return runs.line(arena, open_warehouse(arena), table, {one.table.name: one for one in (of_answers, of_tests)})


def test_before_any_test_is_known_each_sample_of_a_suite_may_have_all_its_tests(make_arena: MakeArena) -> None:
    execution = {"sampling": {"temperature": 0.8}, "samples": 2, "max_tests": 5}
    found = line(make_arena(battles=BATTLES, execution=execution), execution_results, [], [])
    assert found.to_run == found.expected == 2 * 3 * 3 * 2 * 5  # instructions, answers, writers, samples, tests
    assert "at most 30 runs an answer" in found.basis


def test_samples_whose_runs_are_all_known_are_not_expected_again(make_arena: MakeArena) -> None:
    arena = make_arena(battles=BATTLES, answers=THREE)
    found = line(arena, sample_behaviours, answered(arena), suites_of(*arena.roster), samples=True)
    assert found.to_run > 0
    assert found.expected == 0  # though no sample is settled on before they are run


def test_the_answers_of_a_competitor_with_one_sample_are_known_without_its_tests(
    make_arena: MakeArena, bundled_model: Any
) -> None:
    greedy = {"sampling": {"temperature": 0.0, "max_tokens": 64}}
    competitors = [{"name": n, "model": str(bundled_model)} | (greedy if n == "cyd" else {}) for n in ("ann", "bob", "cyd")]
    arena = make_arena(competitors=competitors, battles=BATTLES, answers=THREE)
    known = settled(arena, open_warehouse(arena), answered(arena), [])
    assert {(row["competitor"], row["instruction_id"]) for row in known} == {("cyd", one) for one in INSTRUCTIONS}
    one_usable = [row | {"usable": row["sample"] == 1} for row in answered(arena, ("ann",))]
    assert {row["sample"] for row in settled(arena, open_warehouse(arena), one_usable, [])} == {1}


def test_runs_of_broken_answers_are_at_most_those_of_an_exam_until_the_tests_that_answers_pass_are_known(
    make_arena: MakeArena,
) -> None:
    arena = make_arena(battles=BATTLES | {"exam": 4})
    given, written = answered(arena), suites_of(*arena.roster)
    found = line(arena, broken_answers, given, written)
    assert found.to_run == found.expected == 3 * breaking.TRIED * 2 * 8  # answers, changes, writers, tests
    assert "of 3 answers" in found.basis
    warehouse, results = open_warehouse(arena), {}
    for name in arena.roster:
        own, tests = pl.DataFrame(answered(arena, (name,)), schema=answering.SCHEMA), pl.DataFrame(written, generation.SCHEMA)
        results[name] = execution.execute(own, tests, pl.DataFrame(schema=execution.SCHEMA), passing, arena.execution)[0]
        warehouse.write("execution_results", name, results[name])
    exact = line(arena, broken_answers, given, written)
    assert exact.expected == 0
    assert exact.to_run == 3 * len(breaking.broken(fenced(ONE))[: breaking.TRIED]) * 4  # answers, changes, tests


def passing(programs: Iterable[Program]) -> Iterator[Result]:
    """A sandbox in which everything passes."""
    for one in programs:
        outcomes: list[Outcome] = ["passed" for _ in one.checks]
        yield Result(one.key, tuple(outcomes), ("",) * len(outcomes), "", 0.0, "namespaces")
