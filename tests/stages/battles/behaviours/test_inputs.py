"""Inputs: which calls of tests count, and what their variants are like."""

import ast
import os
import subprocess
import sys
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.stages.battles.behaviours.inputs import LONGEST_CALL, SCHEMA, calls, inputs, inputs_of
from warrior_dagster.stages.battles.behaviours.mutations import mutated
from warrior_dagster.stages.battles.unit_tests import generation

LITERALS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1000, 1000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def written(tests: dict[str, list[str]], identity: str = "00") -> pl.DataFrame:
    rows = [generation.row(identity, writer, n, t, "ok", "") for writer, own in tests.items() for n, t in enumerate(own)]
    return pl.DataFrame(rows, schema=generation.SCHEMA)


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ("assert double(4) == 8", ["double(4)"]),
        ("assert f(-1, [2, (3.5, None)], key={'a': {1, 2}}) is True", ["f(-1, [2, (3.5, None)], key={'a': {1, 2}})"]),
        ("assert f(g(3)) == h(4)", ["g(3)", "h(4)"]),  # f's argument is no literal
        ("assert sorted(f([2, 1])) == list(range(2))", ["f([2, 1])"]),  # Python's own functions are not observed
        ("assert f(set()) == f(10 ** 5) == f(*[1]) == f(**{}) == f(x)", []),
        ("assert [f(n) for n in (1, 2)] == [g(1) for g in (f, h)]", []),
        ("assert Stack().push(1)", ["Stack()"]),
        ("assert f(1) == f(1)", ["f(1)", "f(1)"]),
        (f"assert f('{'x' * LONGEST_CALL}')", []),
        ("assert f(", []),
    ],
)
def test_inputs_are_the_calls_of_unknown_functions_with_literal_arguments(test: str, found: list[str]) -> None:
    assert list(calls(test)) == found


def test_calls_come_first_in_the_order_of_the_tests_and_variants_fill_what_is_left() -> None:
    found = inputs_of("00", ["assert f(3, 'ab') == 1", "assert f(7, 'c') == 2", "assert f(3, 'ab') != 9"], 10)
    assert found[:2] == ["f(3, 'ab')", "f(7, 'c')"]
    assert len(found) == len(set(found)) == 10
    assert inputs_of("00", ["assert f(3) == 1", "assert f(4) == 2"], 1) == ["f(3)"]
    assert inputs_of("00", ["assert f() == 1", "assert f([]) == 2"], 10) == ["f()", "f([])"]  # nothing to change


def test_dropped_tests_give_no_inputs() -> None:
    tests = written({"ann": ["assert f(1)", "assert f(2)"]}).with_columns(status=pl.Series(["dropped", "ok"]))
    assert inputs(tests, 1).rows() == [("00", "ann", "f(2)", 0)]
    assert inputs(tests.filter(status="dropped"), 5).schema == pl.Schema(SCHEMA)


@given(st.lists(LITERALS, min_size=1, max_size=3), st.integers(1, 15))
def test_every_input_is_a_call_that_yields_itself(arguments: list[Any], most: int) -> None:
    test = f"assert f({', '.join(map(repr, arguments))}) == 1"
    found = inputs_of("00", [test], most)
    assert len(found) <= most
    for call in found:
        assert list(calls(f"assert {call}")) == [call]


def kind(value: Any) -> Any:
    return type(value).__name__


@given(LITERALS, st.integers(0, 2**32))
def test_a_variant_keeps_the_type_and_about_the_size(value: Any, seed: int) -> None:
    other = ast.literal_eval(ast.unparse(mutated(ast.parse(repr(value), mode="eval").body, Random(seed))))
    assert kind(other) == kind(value)
    if isinstance(value, int):
        assert abs(other) <= 10 * abs(value) + 10
    if isinstance(value, str | list | tuple | dict):
        assert len(other) <= 2 * len(value) + 2


@given(st.permutations(["ann", "bob", "cyd"]))
def test_a_writer_that_is_appended_or_moved_changes_no_input_of_the_others(order: list[str]) -> None:
    tests = {"ann": ["assert f(1) == 1"], "bob": ["assert f(1) == 1", "assert g([1, 2])"], "cyd": ["assert f('a') == 2"]}
    everybody = inputs(written({name: tests[name] for name in order}), 6)
    for name, own in tests.items():
        assert everybody.filter(writer=name).equals(inputs(written({name: own}), 6))


def test_inputs_do_not_depend_on_the_hash_seed() -> None:
    test = "assert f({'a', 'b', 'c', 'd'}, {'x': 1, 'y': 2}) == 1"
    code = f"from warrior_dagster.stages.battles.behaviours.inputs import inputs_of; print(inputs_of('00', [{test!r}], 20))"
    run = [sys.executable, "-c", code]
    found = {subprocess.check_output(run, env={**os.environ, "PYTHONHASHSEED": seed}) for seed in ("1", "2")}
    assert len(found) == 1
