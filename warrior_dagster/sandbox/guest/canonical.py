"""The text of a plain value: the same for values that are equal in Python, and readable, so close to `repr`.

Plain are the values that may cross between a check and an answer (values.py). An object of a class that derives from a builtin
type counts as what that type holds; objects of other classes, functions, iterators and the like have no text.

Floats that are not integral are rounded to 10 significant digits, or to an integer where these end before the point, so that
sums of the same numbers in another order have the same text. As True equals 1 in Python, the text of both is "1"; nan is "nan".
"""

import math
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from warrior_dagster.sandbox.guest.values import (
    NUMERIC_KINDS,
    VIEWS,
    NotPlain,
    decimal_is_bounded,
    fraction_is_bounded,
)

MAX_TEXT = 2_000  # characters; a longer text is cut, and ends with a hash of the whole
MAX_WHOLE = 1_000_000  # characters of the text before it is cut
MAX_DEPTH = 100  # of containers in containers
MAX_DECIMAL_BITS = 2_000  # of ints; longer ones are written in hexadecimal, which takes linear time
ATOMS = (str, int, float, bytes, bytearray, complex)
CONTAINERS = (list, tuple, dict, set, frozenset)


class TooLarge(ValueError):
    """The value is plain but too large, or nested too deeply."""


def canonical(value: Any) -> str:
    """The text of a value, of at most MAX_TEXT characters. Raises NotPlain with the name of a type, and TooLarge."""
    text = Writer().text(value)
    if len(text) <= MAX_TEXT:
        return text
    import hashlib  # not at the top: seldom needed, and every fork would have it in its memory

    ending = f"... ({len(text)} characters, SHA-256 {hashlib.sha256(text.encode()).hexdigest()[:32]})"
    return text[: MAX_TEXT - len(ending)] + ending


class Writer:
    """Writes the text of a value, and knows how much it has written and how deep it is."""

    def __init__(self) -> None:
        self.left, self.depth = MAX_WHOLE, 0

    def text(self, value: Any) -> str:
        kind = type(value)
        if kind in ATOMS:
            return self.counted(atom(kind, value))
        for base in CONTAINERS:
            if issubclass(kind, base):
                return self.nested(base, value)
        for atomic in ATOMS:
            if issubclass(kind, atomic):
                return self.counted(atom(atomic, value))
        if value is None or value is ...:
            return self.counted("None" if value is None else "...")
        return self.rare(kind, value)

    def rare(self, kind: type, value: Any) -> str:
        """Ranges, views of dictionaries, decimals, fractions, and NumPy's numbers and arrays of numbers."""
        decimal, fractions, numpy = map(sys.modules.get, ("decimal", "fractions", "numpy"))
        if kind is range:
            return self.counted(range_text(value))
        for name in VIEWS:
            if issubclass(kind, type(getattr({}, name)())):
                items = list(getattr(dict(value.mapping), name)())
                return f"dict_values({self.text(items)})" if name == "values" else self.nested(set, items)
        if decimal and issubclass(kind, decimal.Decimal) and decimal_is_bounded(value):
            return self.counted(decimal_text(decimal.Decimal(value)))
        if fractions and issubclass(kind, fractions.Fraction):
            parts = [vars(fractions.Fraction)[part].__get__(value) for part in ("_numerator", "_denominator")]
            if fraction_is_bounded(*parts):
                return self.counted(rational_text(*parts))
        if numpy and issubclass(kind, numpy.generic) and value.dtype.kind in NUMERIC_KINDS:
            return self.text(value.item())
        if numpy and issubclass(kind, numpy.ndarray) and value.dtype.kind in NUMERIC_KINDS:
            check_length(value.size)
            shape = "" if value.size else f", shape={value.shape}"
            return f"array({self.text(value.tolist())}{shape})"
        raise NotPlain(kind.__name__)

    def nested(self, base: type, value: Any) -> str:
        if self.depth == MAX_DEPTH:
            raise TooLarge("nested too deeply")
        self.depth += 1
        self.counted("[]")
        text = container(base, value, self.text)
        self.depth -= 1
        return text

    def counted(self, text: str) -> str:
        self.left -= len(text) + 2  # what separates it from the next
        if self.left < 0:
            raise TooLarge("too large")
        return text


def atom(base: Any, value: Any) -> str:
    """The text of what a builtin type that is no container holds of a value."""
    if base is int:
        return integer_text(int.__index__(value))
    if base is float:
        return float_text(float.__pos__(value))
    if base is complex:
        exact = complex.__pos__(value)
        return complex_text(exact.real, exact.imag)
    check_length(base.__len__(value))
    return str.__repr__(value) if base is str else repr(bytes.fromhex(base.hex(value)))


def container(base: Any, value: Any, text: Callable[[Any], str]) -> str:
    """The text of a container, given how to write what is in it. A frozenset equals a set, so they have one text."""
    if base is dict:
        pairs = sorted(((text(key), text(item)) for key, item in dict.items(value)), key=lambda pair: (order(pair[0]), pair[1]))
        return "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}"
    if base is list:
        return "[" + ", ".join(map(text, list.__iter__(value))) + "]"
    if base is tuple:
        items = list(map(text, tuple.__iter__(value)))
        return f"({items[0]},)" if len(items) == 1 else "(" + ", ".join(items) + ")"
    members: Iterable[Any] = value if type(value) is list else base.__iter__(value)
    texts = sorted(set(map(text, members)), key=order)
    return "{" + ", ".join(texts) + "}" if texts else "set()"


def order(text: str) -> tuple[float, str]:
    """A key to sort texts by: numbers by size, then all others."""
    try:
        number = float(text)
    except ValueError:
        number = float("inf")
    return float("inf") if math.isnan(number) else number, text


def integer_text(number: int) -> str:
    return str(number) if number.bit_length() <= MAX_DECIMAL_BITS else hex(number)


def float_text(number: float) -> str:
    if not math.isfinite(number):
        return repr(number)
    if not number.is_integer():
        number = float(f"{number:.10g}") if abs(number) < 1e10 else float(round(number))
    return integer_text(int(number)) if number.is_integer() else repr(number)


def complex_text(real: float, imaginary: float) -> str:
    return f"complex({float_text(real)}, {float_text(imaginary)})" if imaginary else float_text(real)


def decimal_text(number: Any) -> str:
    return rational_text(*number.as_integer_ratio()) if number.is_finite() else float_text(float(number))


def rational_text(numerator: int, denominator: int) -> str:
    """The text of a fraction in lowest terms: that of the int or float that equals it, or else its own, exactly.

    A Fraction equals a Decimal of the same value, so one that has finitely many digits is written as a Decimal.
    """
    if denominator == 1:
        return integer_text(numerator)
    with suppress(OverflowError):  # no float is as large
        if (nearest := numerator / denominator).as_integer_ratio() == (numerator, denominator):
            return float_text(nearest)
    if pow(10, denominator.bit_length(), denominator):
        return f"Fraction({integer_text(numerator)}, {integer_text(denominator)})"
    decimal = sys.modules["decimal"]  # the module of fractions imports it
    exactly = decimal.Context(prec=20_000, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)  # more digits than values.py allows
    return f"Decimal('{exactly.divide(decimal.Decimal(numerator), decimal.Decimal(denominator)).normalize(exactly)}')"


def range_text(numbers: range) -> str:
    """Ranges are equal if they have the same numbers."""
    if not numbers:
        return "range(0, 0)"
    first, last = numbers[0], numbers[-1]
    if first == last:
        return f"range({integer_text(first)}, {integer_text(first + 1)})"
    step = numbers[1] - first
    end = last + (1 if step > 0 else -1)
    return f"range({', '.join(map(integer_text, (first, end) if step == 1 else (first, end, step)))})"


def check_length(length: int) -> None:
    if length > MAX_WHOLE:
        raise TooLarge("too large")
