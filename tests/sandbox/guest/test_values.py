"""Plain values survive encoding, in bounded time and space; everything else arrives as a reference or not at all."""

import json
from collections import Counter, OrderedDict, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.sandbox.guest.conversation import MALFORMED, Conversation
from warrior_dagster.sandbox.guest.values import NotPlain

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


class End(Conversation):
    """One of two ends in this process, which take no objects."""

    only_here = 0

    def __init__(self, first_number: int) -> None:
        self.first_number = first_number
        super().__init__(-1, -1)

    def refer(self, value: Any) -> Any:
        raise NotPlain(f"a {type(value).__name__}")

    def resolve(self, reference: list[Any]) -> Any:
        raise NotPlain(str(reference))

    def lost(self, reason: str) -> NoReturn:
        raise NotPlain(reason)

    def read(self, message: str) -> Any:
        """The value in a message of the other end."""
        (_, value), changes, dropped = json.loads(message)
        self.apply(changes, dropped)
        return self.decode(value)


def crossed(value: Any) -> Any:
    """The value as the other process gets it."""
    one, other = End(0), End(1)
    return other.read(one.message(["value", one.encode(value)]))


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


VALUES = (
    *("{}", "[]", '["nothing"]', '["int", 3]', '["int", "1", "2"]', '["object", "x"]', '["tuple", 3]', '["frozenset", "ab"]'),
    *('["frozenset", [["shared", 0]]]', '["bytes", "xy"]', '["complex", "1", 2]', '["mine", 1, true]', '["shared", 9]'),
    *('["Fraction", "1/0"]', '["Fraction", "1e9"]', '["Fraction", "1e999999999999"]', '["Decimal", "x"]'),
    *('["Decimal", "sNaN"]', '["Decimal", "1e999999999"]', '["range", 1, 2, 0]', '["range", "a", 2, 1]'),
    *('["ndarray", "O", [1], ["tuple", [1]]]', '["ndarray", "<i8", [3], ["tuple", [1]]]', '["ndarray", "<i8", [1], [1]]'),
    *('["int", "' + "f" * 200_000 + '"]', '["Decimal", "' + "9" * 5000 + '"]'),
)
CHANGES = (
    *(
        "3",
        "[[]]",
        '[[0, "list", []]]',
        '[[0, "list", 3, null]]',
        '[[0, "dict", [[1]], null]]',
        '[[0, "dict", [[1, 2, 3]], null]]',
    ),
    *(
        '[[0, "tuple", [], null]]',
        "[3]",
        '[[0, "list", null, null]]',
        '[[0, "bytearray", "x", null]]',
        '[[0, "object", [], null]]',
    ),
    *('[[0, "set", [["shared", 0]], null]]', '[[0, "dict", [[["shared", 0], 1]], null]]', '[[[], "list", [], null]]'),
    *('[[0, "list", [], null], [0, "set", [], null]]', '[[0, "list", [["nothing"]], null]]', '[[0, ["list"], [], null]]'),
)


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_malformed_value_is_not_decoded(value: str) -> None:
    with pytest.raises(NotPlain):
        End(1).read(f'[["value", {value}], [[0, "list", [], null]], []]')


@pytest.mark.parametrize("changes", CHANGES, ids=range(len(CHANGES)))
def test_malformed_changes_are_not_applied(changes: str) -> None:
    with pytest.raises(MALFORMED):
        End(1).read(f'[["value", 1], {changes}, []]')


CONTAINERS = st.sampled_from(["append", "clear", "nest", "share", "replace"])


@given(st.lists(st.tuples(CONTAINERS, st.booleans(), st.integers(0, 9)), max_size=12))
def test_containers_that_crossed_stay_one_graph_whichever_end_changes_them(steps: list[tuple[str, bool, int]]) -> None:
    ends = End(0), End(1)
    here: list[Any] = [[], {}]
    there = ends[1].read(ends[0].message(["value", ends[0].encode(here)]))
    for kind, at_first, number in steps:
        (mine, end), other = ((here, ends[0]), ends[1]) if at_first else ((there, ends[1]), ends[0])
        if kind == "append":
            mine[0].append(number)
        elif kind == "clear":
            mine[0].clear()
        elif kind == "nest":
            mine[1][number] = [number]
        elif kind == "share":
            mine[1][number] = mine[0]
        else:
            mine.append(mine[-1])
        other.read(end.message(["value", None]))
        assert here == there
        assert [[a is b for a in here] for b in here] == [[a is b for a in there] for b in there]
        assert [value is here[0] for value in here[1].values()] == [value is there[0] for value in there[1].values()]


def test_a_container_that_contains_itself_crosses() -> None:
    held: list[Any] = [1]
    held.append(held)
    copy = crossed(held)
    assert copy[0] == 1
    assert copy[1] is copy


def test_a_list_that_is_nested_twenty_thousand_times_takes_no_stack() -> None:
    held: list[Any] = []
    for _ in range(20_000):
        held = [held]
    copy = crossed(held)
    for _ in range(20_000):
        (copy,) = copy
    assert copy == []
