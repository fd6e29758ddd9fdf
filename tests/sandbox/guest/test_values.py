"""Plain values survive encoding, in bounded time and space; everything else arrives as a reference or not at all."""

import json
from collections import Counter, OrderedDict, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.sandbox.guest.values import NotPlain, decode, encode

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


def refuse(value: Any) -> Any:
    raise NotPlain(f"a {type(value).__name__}")


def crossed(value: Any) -> Any:
    """The value as the other process gets it."""
    return decode(json.loads(json.dumps(encode(value, refuse))), refuse)


@given(PLAIN)
def test_a_plain_value_is_decoded_to_an_equal_value_of_the_same_type(value: Any) -> None:
    assert crossed(value) == value
    assert type(crossed(value)) is type(value)


@pytest.mark.parametrize(
    "value",
    [Decimal("1.50"), Decimal("NaN"), Decimal("-Infinity"), Fraction(-2, 3), ..., float("inf"), float("nan"), -0.0, "\ud800",
     bytearray(b"ab"), range(3, 9, 2), -(10**5000), 1 << 63, -(1 << 63)],
    ids=range(14),
)  # fmt: skip
def test_rare_plain_values_are_decoded_too(value: Any) -> None:
    assert type(crossed(value)) is type(value)
    assert crossed(value) == value or repr(crossed(value)) == repr(value)


def test_a_subclass_is_encoded_by_what_its_builtin_type_holds() -> None:
    class Liar(int):
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

        def __index__(self) -> int:
            return 2

        def __format__(self, spec: str) -> str:
            return "2"

    class Text(str):
        def __str__(self) -> str:
            return "another"

    class Real(float):
        def __pos__(self) -> float:
            return 2.0

    class Lists(list[int]):
        def __iter__(self) -> Any:
            return iter([1, 2])

    class Pairs(dict[str, int]):
        def items(self) -> Any:
            return [("b", 2)]

    for liar, plain in ((Liar(7), 7), (Text("a"), "a"), (Real(1.5), 1.5), (Lists([5]), [5]), (Pairs(a=1), {"a": 1})):
        assert crossed(liar) == plain
        assert type(crossed(liar)) is type(plain)


def test_common_subclasses_of_the_standard_library_are_plain() -> None:
    Pair = namedtuple("Pair", "one other")

    class Colour(IntEnum):
        RED = 1

    assert crossed([Pair(1, 2), OrderedDict(a=1), Counter("aab"), Colour.RED]) == [(1, 2), {"a": 1}, {"a": 2, "b": 1}, 1]


def test_numbers_and_arrays_of_numpy_are_plain() -> None:
    array = np.array([[1, 2], [3, 4]], dtype=np.int16)
    assert (crossed(array) == array).all()
    assert crossed(array).dtype == array.dtype
    assert [crossed(np.int64(3)), crossed(np.float32(0.5)), crossed(np.bool_(True))] == [3, 0.5, True]
    with pytest.raises(NotPlain):
        crossed(np.array([object()]))


@pytest.mark.parametrize(
    "value",
    [
        object(),
        [object()],
        {1: int},
        1 << 500_000,
        Fraction(1, 2**9999),
        Decimal("sNaN"),
        Decimal("1E+99999999"),
        Decimal(10) ** -20000,
    ],
    ids=range(8),
)
def test_a_value_that_is_not_plain_or_too_large_is_refused(value: Any) -> None:
    with pytest.raises(NotPlain):
        crossed(value)


MALFORMED = (
    *("{}", "[]", '["nothing"]', '["int", 3]', '["int", "1", "2"]', '["object", "x"]', '["dict", [[1]]]', '["dict", 3]'),
    *('["set", [["list", []]]]', '["list", {"a": 1}]', '["bytes", "xy"]', '["complex", "1", 2]', '["mine", 1, true]'),
    *('["Fraction", "1/0"]', '["Fraction", "1e9"]', '["Fraction", "1e999999999999"]', '["Decimal", "x"]'),
    *('["Decimal", "sNaN"]', '["Decimal", "1e999999999"]', '["range", 1, 2, 0]', '["range", "a", 2, 1]'),
    *('["ndarray", "O", [1], ["list", [1]]]', '["ndarray", "<i8", [3], ["list", [1]]]'),
    *('["int", "' + "f" * 200_000 + '"]', '["Decimal", "' + "9" * 5000 + '"]'),
)


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_content_is_not_decoded(text: str) -> None:
    with pytest.raises((ValueError, TypeError, ArithmeticError)):
        decode(json.loads(text), refuse)
