"""Plain values pass through JSON unchanged, and what is judged by them is what Python would say."""

import operator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.sandbox.assert_rewriting import MISSING, judged, taken_apart
from warrior_dagster.sandbox.value_codec import Opaque, dumps, loads

LONE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
)
HASHABLE = st.recursive(LONE, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
PLAIN = st.recursive(
    HASHABLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HASHABLE, inner, max_size=3) | st.sets(HASHABLE, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_a_plain_value_comes_back_as_it_was(value: Any) -> None:
    back = loads(dumps(value))
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value) or isinstance(value, set | frozenset | dict | tuple | list)


@pytest.mark.parametrize("value", [Decimal("1.50"), Fraction(-2, 3), ..., float("inf"), -0.0, "\ud800"])
def test_rare_plain_values_come_back_too(value: Any) -> None:
    assert repr(loads(dumps(value))) == repr(value)


def test_a_number_of_any_length_comes_back() -> None:
    assert loads(dumps(-(10**5000))) == -(10**5000)


def test_a_subclass_goes_by_what_the_builtin_type_holds() -> None:
    class Liar(int):
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

        def __format__(self, spec: str) -> str:
            return "2"

    class Lists(list[int]):
        def __iter__(self) -> Any:
            return iter([1, 2])

    assert loads(dumps(Liar(7))) == 7
    assert loads(dumps(Lists([5]))) == [5]


@pytest.mark.parametrize(
    "value",
    [object(), [object()], {1: int}, range(3), "x" * 1_100_000, set(range(5000)), Fraction(1, 2**9999)],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_plain_or_too_large_is_not_told(value: Any) -> None:
    with pytest.raises(Opaque):
        dumps(value)


@pytest.mark.parametrize(
    "text",
    ["", "nothing", '["int"]', '["int", 3]', '["int", "1", "2"]', '["object", "x"]', "{}", "[]", '["dict", [[1]]]',
     '["set", [["list", []]]]',
     "7", '["Fraction", "1/0"]', "[" * 100_000, '["set", ' + str([["int", "1"]] * 5000).replace("'", '"') + "]"],
)  # fmt: skip
def test_nothing_else_is_read_as_a_value(text: str) -> None:
    with pytest.raises(Opaque):
        loads(text)


@given(PLAIN, PLAIN, st.sampled_from(["==", "!="]))
def test_a_comparison_with_a_literal_is_judged_as_python_does(left: Any, right: Any, sign: str) -> None:
    site = taken_apart(f"assert f() {sign} {right!r}").sites[0]
    compared = operator.eq if sign == "==" else operator.ne
    told = [dumps(left), *([dumps(right)] if site.operands[1] is MISSING else [])]  # frozensets and infinity are no literals
    assert judged(site, told) == compared(left, right)


def test_the_sandbox_gets_no_literal_that_a_value_is_compared_with() -> None:
    check = taken_apart("x = 5\nassert f(x) == [12345] and 0 < g('in') < 54321, 'a message'\nassert h(1) in ('secret',)")
    assert check.source == "x = 5\n__judge__(0, (f(x),))\n__judge__(1, (g('in'),))\n__judge__(2, (h(1),))"
    assert [site.always for site in check.sites] == [True, True, True]
    assert check.names == ["f", "g", "h", "x"]


def test_an_assert_within_something_is_told_from_one_that_is_always_reached() -> None:
    check = taken_apart("for n in (1, 2):\n    assert f(n) == n\nassert f(3)")
    assert [site.always for site in check.sites] == [False, True]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("f() == 1", False), ("1 == f()", False), ("f() != 1", True), ("f() < 1", False), ("f() is None", False),
     ("f() is not None", True),
     ("f() in (1, 2)", False), ("f() not in (1,)", True), ("1 in f()", None), ("f() == g()", None), ("0 < f() < 2", False)],
)  # fmt: skip
def test_an_object_never_equals_a_plain_value(text: str, verdict: bool | None) -> None:
    site = taken_apart(f"assert {text}").sites[0]
    assert judged(site, [""] * sum(operand is MISSING for operand in site.operands)) is verdict


def test_too_few_values_are_no_verdict() -> None:
    with pytest.raises(Opaque):
        judged(taken_apart("assert f() == 1").sites[0], [])


@pytest.mark.parametrize(
    "text", ["assert", f"assert {'(' * 5000}", "x" * 200_000, "__judge__(0, (1,))", "assert f(\0)"], ids=range(5)
)
def test_what_is_no_check_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- a SyntaxError is one
        taken_apart(text)


@pytest.mark.parametrize(
    ("text", "last"), [("assert f()", 0), ("assert f() and g()", 1), ("assert f()\ng()", None), ("", None)]
)
def test_it_is_known_after_which_assert_nothing_is_left_to_run(text: str, last: int | None) -> None:
    assert taken_apart(text).last == last
