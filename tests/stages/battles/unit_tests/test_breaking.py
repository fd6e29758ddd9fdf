"""Answers are broken in one place of their code, and only those count whose tests then fail."""

import ast
from collections.abc import Iterable, Iterator

import polars as pl
import pytest

from tests.stages.battles.unit_tests.replies import FENCES, LOOP, ONE, fenced
from warrior_dagster.config.battles import Execution
from warrior_dagster.sandbox.code_extraction import extract_code
from warrior_dagster.sandbox.pool import Program, Result
from warrior_dagster.stages.battles import answering
from warrior_dagster.stages.battles.unit_tests import breaking, execution


@pytest.mark.parametrize("name", ["a plain answer", "no label", "no fence", "tildes"])
def test_a_broken_answer_differs_in_one_place_of_its_code_and_still_parses(name: str) -> None:
    answer = FENCES[name]
    found = breaking.broken(answer)
    assert found
    assert found == breaking.broken(answer)
    for text, change in found:
        before, after = extract_code(answer).text, extract_code(text).text
        assert before != after
        assert ast.parse(after)
        assert sum(a != b for a, b in zip(answer.splitlines(), text.splitlines(), strict=True)) == 1
        assert "became" in change


def test_operators_numbers_conditions_and_what_is_returned_are_changed_also_beside_other_letters() -> None:
    code = 'def f(x, n=3):\n    # é <\n    if x < n and f"{x+1}":\n        return "ü" + str(x)\n    return x in [1, True]\n'
    changes = {change for _, change in breaking.broken(fenced(code))}
    for expected in ("`<` became `<=`", "`and` became `or`", "`+` became `-`", "`in` became `not in`", "`3` became `4`",
                     "`True` became `False`", "became `not (x < n and", 'became `None` in line 4'):  # fmt: skip
        assert any(expected in change for change in changes), expected


def test_what_is_no_python_is_not_broken() -> None:
    for answer in ("Use a dictionary.", fenced("const f = 1 + 2;\n", "js"), fenced("def f(:\n"), fenced("x = 1 + 2\n")):
        assert breaking.broken(answer) == []


def run(programs: Iterable[Program]) -> Iterator[Result]:
    """A sandbox in which what was changed fails."""
    for one in programs:
        outcomes = tuple("passed" if one.code in (ONE, LOOP) else "failed" for _ in one.checks)
        yield Result(one.key, outcomes, ("",) * len(outcomes), "", 0.0, "namespaces")  # type: ignore[arg-type]


def test_only_answers_that_pass_tests_are_broken_and_what_was_run_is_not_run_again() -> None:
    answers = pl.DataFrame(
        [
            dict.fromkeys(answering.SCHEMA)
            | {"instruction_id": one, "competitor": "ann", "answer": fenced(code), "status": "ok", "completion_key": f"k{one}"}
            for one, code in (("1", ONE), ("2", LOOP), ("3", ONE))
        ],
        schema=answering.SCHEMA,
    )
    results = pl.DataFrame(
        [
            dict.fromkeys(execution.SCHEMA)
            | {"row_id": f"{one}:{n}", "instruction_id": one, "competitor": "ann", "writer": "bob", "answer_key": f"k{one}"}
            | {"test": f"assert count_vowels('{'a' * n}') == {n}", "outcome": "failed" if one == "3" else "passed"}
            for one in ("1", "2", "3")
            for n in (1, 2)
        ],
        schema=execution.SCHEMA,
    )
    rows, counts = breaking.break_answers(answers, results, results.clear(), 5, run, Execution())
    assert set(rows["instruction_id"]) == {"1", "2"}
    assert set(rows["answer_key"]) == {"k1", "k2"}
    assert set(rows["outcome"]) == {"failed"}
    assert counts.runs == len(rows) == rows["row_id"].n_unique()
    again, counts = breaking.break_answers(answers, results, rows, 5, run, Execution())
    assert (counts.runs, counts.reused) == (0, len(rows))
    assert again.equals(rows)
    assert set(breaking.break_answers(answers, results, rows, 1, run, Execution())[0]["answer_key"]) < {"k1", "k2"}
