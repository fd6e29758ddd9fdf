"""Values that are equal in Python have one text, and others have not."""

import math
import random
from collections import Counter, OrderedDict, defaultdict, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.sandbox.guest.canonical import MAX_TEXT, TooLarge, canonical
from warrior_dagster.sandbox.guest.values import NotPlain

NUMBERS = (
    st.integers()
    | st.booleans()
    | st.integers(-(2**40), 2**40).map(float)
    | st.integers(-1000, 1000).map(lambda n: n / 8)
    | st.integers(-1000, 1000).map(lambda n: Fraction(n, 24))
    | st.integers(-1000, 1000).map(lambda n: Decimal(n) / 8)
    | st.integers(-3, 3).map(lambda n: complex(n, n % 2))
)
HASHABLE = st.recursive(
    NUMBERS | st.text(max_size=3) | st.binary(max_size=2) | st.none() | st.builds(range, *[st.integers(1, 4)] * 3),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
VALUES = st.recursive(
    HASHABLE | st.sets(HASHABLE, max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(HASHABLE, inner, max_size=3),
    max_leaves=10,
)


@given(VALUES, VALUES)
def test_values_have_one_text_exactly_if_they_are_equal(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == (one == other)


@given(HASHABLE, HASHABLE)
def test_small_values_have_one_text_exactly_if_they_are_equal(one: Any, other: Any) -> None:
    assert (canonical([one]) == canonical([other])) == (one == other)


@given(st.lists(st.tuples(HASHABLE, VALUES), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_sets_and_dictionaries_does_not_matter(pairs: list[tuple[Any, Any]], chance: random.Random) -> None:
    items = list(dict(pairs).items())
    shuffled = chance.sample(items, len(items))
    assert canonical(dict(items)) == canonical(dict(shuffled)) == canonical(OrderedDict(shuffled))
    assert canonical({key for key, _ in items}) == canonical(frozenset(key for key, _ in shuffled))


@given(st.lists(st.floats(0.001, 1000.0), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_floats_that_differ_by_the_order_of_a_sum_have_one_text_or_are_neighbours(
    numbers: list[float], chance: random.Random
) -> None:
    one, other = (float(canonical(sum(items))) for items in (numbers, chance.sample(numbers, len(numbers))))
    assert math.isclose(one, other, rel_tol=2e-10)
    assert math.isclose(one, sum(numbers), rel_tol=1e-9)


class Colour(IntEnum):
    RED = 1


class Text(str):
    def __repr__(self) -> str:
        return "anything"

    def __len__(self) -> int:
        return 10**9


Pair = namedtuple("Pair", "one other")


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "1"), (1.0, "1"), (-0.0, "0"), (0.1 + 0.2, "0.3"), (1 / 3, "0.3333333333"), (1e-7, "1e-07"),
     (123456789012.00002, "123456789012"), (2.0**60, str(2**60)), (float("nan"), "nan"), (-math.inf, "-inf"),
     (Decimal("NaN"), "nan"), (Decimal("1E+2"), "100"), (Decimal("0.10"), "Decimal('0.1')"),
     (Fraction(1, 10), "Decimal('0.1')"), (Fraction(1, 2), "0.5"), (Fraction(1, 3), "Fraction(1, 3)"),
     (complex(2, 0), "2"), (1j, "complex(0, 1)"), ("it's", '"it\'s"'), ("\ud800\n", "'\\ud800\\n'"),
     (bytearray(b"x"), "b'x'"), (None, "None"), (..., "..."), ((), "()"), ((1,), "(1,)"), ([1, (2,)], "[1, (2,)]"),
     (set(), "set()"), ({10, 9, 1, "a"}, "{1, 9, 10, 'a'}"), ({2: 1, 1: 2}, "{1: 2, 2: 1}"),
     (Counter("aab"), "{'a': 2, 'b': 1}"), (defaultdict(list, a=[1]), "{'a': [1]}"), (Pair(1, 2), "(1, 2)"),
     (Colour.RED, "1"), (Text("held"), "'held'"), (range(3), "range(0, 3)"), (range(0, 4, 2), "range(0, 3, 2)"),
     (range(5, 5), "range(0, 0)"), ({1: 2}.keys(), "{1}"), ({1: 2}.items(), "{(1, 2)}"), ({1: 2}.values(), "dict_values([2])")],
)  # fmt: skip
def test_texts_are_readable(value: Any, text: str) -> None:
    assert canonical(value) == text


@pytest.mark.parametrize("value", [iter([]), (n for n in [1]), object(), len, int, [lambda: 1], {1: object()}, map(str, [])])
def test_what_is_not_plain_has_no_text(value: Any) -> None:
    with pytest.raises(NotPlain):
        canonical(value)


def test_a_long_text_is_cut_and_still_tells_values_apart() -> None:
    texts = {canonical("a" * 50_000 + end) for end in "bc"} | {canonical(list(range(5_000)))}
    assert len(texts) == 3
    assert all(len(text) == MAX_TEXT and "SHA-256" in text for text in texts)
    assert canonical("a" * 50_000) == canonical("a" * 50_000)


def looped() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def doubled() -> list[Any]:
    items: list[Any] = []
    for _ in range(60):
        items = [items, items]
    return items


@pytest.mark.parametrize("value", [looped(), doubled(), "a" * 2_000_000, [0] * 1_000_000, b"a" * 2_000_000])
def test_what_is_too_large_or_too_deep_is_refused_in_a_moment(value: Any) -> None:
    with pytest.raises(TooLarge):
        canonical(value)


def test_long_ints_have_texts_of_their_own() -> None:
    assert canonical(10**2_000) == canonical(Decimal("1E+2000")) != canonical(10**2_000 + 1)


def test_arrays_count_by_shape_and_content() -> None:
    numpy = pytest.importorskip("numpy")
    assert canonical(numpy.array([[1, 2]])) == canonical(numpy.array([[1.0, 2.0]])) == "array([[1, 2]])"
    assert canonical(numpy.float64(0.5)) == "0.5"
    assert canonical(numpy.zeros((0, 3))) != canonical(numpy.zeros((0, 2)))
