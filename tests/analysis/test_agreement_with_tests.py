"""Agreement with tests, for simulated judges with known accuracy."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from tests.analysis.test_audit import Opinion, contrary, lengths, truthful, votes
from warrior_dagster.analysis import agreement_with_tests, audit


def with_tests(judges: Mapping[str, Opinion], testers: Mapping[str, Opinion], battles: int = 40) -> pl.DataFrame:
    """The audit of judges with the votes of testers."""
    opinions = votes(judges, battles)
    of_tests = pl.col("verdict").replace_strict({"left": 1.0, "tie": 0.5, "right": 0.0}, return_dtype=pl.Float64)
    executed = votes(testers, battles, ["left_first"]).with_columns(p_left=of_tests, p_right=1 - of_tests)
    return agreement_with_tests.with_tests(audit.audit(opinions, lengths(battles)), opinions, executed)


def row(found: pl.DataFrame, judge: str) -> dict[str, Any]:
    return found.row(by_predicate=pl.col("judge") == judge, named=True)


def silent(number: int, order: str) -> str:
    return "failed"


def test_a_judge_is_measured_by_the_tests_of_other_judges() -> None:
    judges = {"right": truthful, "wrong": contrary}
    found = with_tests(judges, {"right": truthful, "wrong": contrary, "third": truthful})
    assert (row(found, "wrong")["tested"], row(found, "wrong")["tested_of"], row(found, "wrong")["accuracy"]) == (0.0, 40, 0.0)
    alone = row(with_tests(judges, {"right": truthful, "third": contrary}), "right")
    assert (alone["tested"], alone["accuracy"]) == (0.0, 0.0)  # 1 by its own tests


def test_without_other_judges_its_own_tests_count() -> None:
    found = row(with_tests({"only": truthful}, {"only": truthful}), "only")
    assert (found["tested"], found["tested_of"], found["accuracy"]) == (1.0, 40, 1.0)
    assert 0.9 < found["tested_low"] < 1.0


def test_a_battle_without_a_preference_counts_as_half_right() -> None:
    def half(number: int, order: str) -> str:
        return truthful(number, order) if number % 2 else "tie"

    found = row(with_tests({"half": half, "other": truthful}, {"half": silent, "other": truthful}), "half")
    assert (found["tested"], found["tested_of"], found["accuracy"]) == (1.0, 20, 0.75)


def test_tests_without_a_result_measure_no_judge() -> None:
    found = row(with_tests({"one": truthful, "two": truthful}, {"one": silent, "two": silent}), "one")
    assert (found["tested"], found["tested_of"], found["accuracy"]) == (None, 0, None)
