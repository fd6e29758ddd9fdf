"""Plain values survive encoding, and asserts evaluated with them give the verdicts that Python gives."""

import operator
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.long_texts import assert_linear
from warrior_dagster.sandbox.assert_rewriting import MISSING, evaluate_assert, rewrite_asserts
from warrior_dagster.sandbox.value_codec import NotPlain, dumps, loads

ATOMIC = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
)
HASHABLE = st.recursive(ATOMIC, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
PLAIN = st.recursive(
    HASHABLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HASHABLE, inner, max_size=3) | st.sets(HASHABLE, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_a_plain_value_is_decoded_to_an_equal_value_of_the_same_type(value: Any) -> None:
    decoded = loads(dumps(value))
    assert decoded == value
    assert type(decoded) is type(value)
    assert repr(decoded) == repr(value) or isinstance(value, set | frozenset | dict | tuple | list)


@pytest.mark.parametrize("value", [Decimal("1.50"), Fraction(-2, 3), ..., float("inf"), -0.0, "\ud800"])
def test_rare_plain_values_are_decoded_too(value: Any) -> None:
    assert repr(loads(dumps(value))) == repr(value)


def test_an_integer_of_any_length_is_decoded() -> None:
    assert loads(dumps(-(10**5000))) == -(10**5000)


def test_a_subclass_is_encoded_by_what_its_builtin_type_holds() -> None:
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
def test_a_value_that_is_not_plain_or_too_large_is_refused(value: Any) -> None:
    with pytest.raises(NotPlain):
        dumps(value)


@pytest.mark.parametrize(
    "text",
    ["", "nothing", '["int"]', '["int", 3]', '["int", "1", "2"]', '["object", "x"]', "{}", "[]", '["dict", [[1]]]',
     '["set", [["list", []]]]',
     "7", '["Fraction", "1/0"]', '["Fraction", "1e9"]', "[" * 100_000,
     '["set", ' + str([["int", "1"]] * 5000).replace("'", '"') + "]"],
)  # fmt: skip
def test_malformed_text_is_not_decoded(text: str) -> None:
    with pytest.raises(NotPlain):
        loads(text)


@given(PLAIN, PLAIN, st.sampled_from(["==", "!="]))
def test_a_comparison_with_a_literal_gives_the_verdict_of_python(left: Any, right: Any, sign: str) -> None:
    site = rewrite_asserts(f"assert f() {sign} {right!r}").sites[0]
    expected = operator.eq(left, right) if sign == "==" else operator.ne(left, right)
    encoded = [dumps(left), *([dumps(right)] if site.operands[1] is MISSING else [])]  # frozensets and infinity have no literal
    assert evaluate_assert(site, encoded) == expected


def test_the_rewritten_source_contains_no_literal_that_a_value_is_compared_with() -> None:
    check = rewrite_asserts("x = 5\nassert f(x) == [12345] and 0 < g('in') < 54321, 'a message'\nassert h(1) in ('secret',)")
    assert check.source == "x = 5\n__judge__(0, (f(x),))\n__judge__(1, (g('in'),))\n__judge__(2, (h(1),))"
    assert [site.always_reached for site in check.sites] == [True, True, True]
    assert check.names == ["f", "g", "h", "x"]


def test_an_assert_in_a_loop_is_not_always_reached() -> None:
    check = rewrite_asserts("for n in (1, 2):\n    assert f(n) == n\nassert f(3)")
    assert [site.always_reached for site in check.sites] == [False, True]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("f() == 1", False), ("1 == f()", False), ("f() != 1", True), ("f() < 1", False), ("f() is None", False),
     ("f() is not None", True),
     ("f() in (1, 2)", False), ("f() not in (1,)", True), ("1 in f()", None), ("f() == g()", None), ("0 < f() < 2", False)],
)  # fmt: skip
def test_an_object_never_equals_a_plain_value(text: str, verdict: bool | None) -> None:
    site = rewrite_asserts(f"assert {text}").sites[0]
    assert evaluate_assert(site, [""] * sum(operand is MISSING for operand in site.operands)) is verdict


def test_too_few_values_are_refused() -> None:
    with pytest.raises(NotPlain):
        evaluate_assert(rewrite_asserts("assert f() == 1").sites[0], [])


@pytest.mark.parametrize(
    "text", ["assert", f"assert {'(' * 5000}", "x" * 200_000, "__judge__(0, (1,))", "assert f(\0)"], ids=range(5)
)
def test_a_text_that_is_not_a_check_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- the messages differ
        rewrite_asserts(text)


@pytest.mark.parametrize(
    ("text", "last"), [("assert f()", 0), ("assert f() and g()", 1), ("assert f()\ng()", None), ("", None)]
)
def test_the_last_site_is_the_final_assert_if_the_check_ends_with_one(text: str, last: int | None) -> None:
    assert rewrite_asserts(text).last_site == last


@pytest.mark.parametrize("read", [rewrite_asserts, loads])
def test_a_check_and_a_value_are_read_in_linear_time(read: Callable[[str], Any]) -> None:
    assert_linear(read)
