"""Encodes Python's plain values as bounded JSON: the only form in which values cross between a check and the code under test.

Decoding runs no code of the sender. A subclass of a builtin type is encoded by what the builtin type holds, so an object that
claims to equal everything arrives as its real content, or as a reference, which equals nothing.
"""

import sys
from collections.abc import Callable
from typing import Any, Protocol

MAX_CHARS = 1_000_000  # of a message
MAX_DIGITS = 100_000  # of an int, in hexadecimal
MAX_DECIMAL_DIGITS = 1_000  # of a Decimal or Fraction, whose arithmetic takes quadratic time or worse
MAX_EXPONENT = 10_000  # of a Decimal: comparing 1E+999999999 with an int makes an int of that length
REFERENCES = ("mine", "yours", "named", "shared", "derived")
IMMUTABLE = (str, int, float, tuple, frozenset, bytes, complex)
MUTABLE = (list, dict, set, bytearray)
VIEWS = ("keys", "values", "items")  # of a dictionary
NUMERIC_KINDS = "biufc"  # of NumPy's data types: booleans, integers, floats and complex numbers

Encoded = list[Any] | str | int | float | bool | None


class NotPlain(ValueError):
    """The value is not plain, or too large."""


class Sender(Protocol):
    """What encoding needs of a conversation."""

    def reference(self, value: Any) -> Encoded:
        """The reference of a mutable container or of an object that is not plain. Raises NotPlain if there is none."""

    def derived(self, value: Any, plain: Encoded) -> Encoded:
        """What crosses of a value whose class is derived from a builtin type, given what that type holds."""


def encode(value: Any, sender: Sender) -> Encoded:
    """A value as JSON can hold it. Small numbers, strings and None are themselves, every other type is [name, content].

    A subclass is encoded by the builtin type's own methods, as it may override them. Raises NotPlain.
    """
    kind = type(value)
    if value is None or kind in (bool, str, int, float, tuple):
        return encode_as(kind, value, sender)
    if kind is range:
        return ["range", *(encode(number, sender) for number in (value.start, value.stop, value.step))]
    if value is ...:
        return ["..."]
    for base in IMMUTABLE:
        if issubclass(kind, base):
            plain = encode_as(base, value, sender)
            return plain if kind is base else sender.derived(value, plain)
    return encode_rare(value, sender)


def encode_as(base: type, value: Any, sender: Sender) -> Encoded:  # noqa: PLR0911 -- one return per type
    """What a builtin type holds of a value."""
    if base is str:
        return str.__str__(value)
    if base is int:
        number = int.__index__(value)
        if -(1 << 63) <= number < 1 << 63:
            return number
        return ["int", f"{number:x}"] if number.bit_length() <= 4 * MAX_DIGITS else sender.reference(value)
    if base is float:
        return float.__pos__(value)
    if base is tuple:
        return ["tuple", [encode(item, sender) for item in tuple.__iter__(value)]]
    if base is frozenset:
        return ["frozenset", [encode(item, sender) for item in frozenset.__iter__(value)]]
    if base is bytes:
        return ["bytes", bytes.hex(value)]
    if base is complex:
        exact = complex.__pos__(value)
        return ["complex", exact.real, exact.imag]
    assert value is None or isinstance(value, bool)
    return value


def encode_rare(value: Any, sender: Sender) -> Encoded:
    """Decimals and fractions, NumPy's numbers as Python's, and its arrays of numbers by type, shape and content."""
    decimal, fractions, numpy = map(sys.modules.get, ("decimal", "fractions", "numpy"))
    if decimal and issubclass(type(value), decimal.Decimal):
        return ["Decimal", str(decimal.Decimal(value))] if decimal_is_bounded(value) else sender.reference(value)
    if fractions and issubclass(type(value), fractions.Fraction):
        parts = [vars(fractions.Fraction)[part].__get__(value) for part in ("_numerator", "_denominator")]
        return ["Fraction", *parts] if fraction_is_bounded(*parts) else sender.reference(value)
    for name in VIEWS:
        if type(value) is type(getattr({}, name)()):
            return ["view", name, *content(dict(value.mapping), sender)]
    if numpy and issubclass(type(value), numpy.ndarray | numpy.generic) and value.dtype.kind in NUMERIC_KINDS:
        if issubclass(type(value), numpy.generic):
            return encode(value.item(), sender)
        return ["ndarray", value.dtype.str, list(value.shape), encode(tuple(value.ravel().tolist()), sender)]
    return sender.reference(value)


def decode(encoded: Any, resolve: Callable[[list[Any]], Any]) -> Any:  # noqa: PLR0911
    """The inverse of `encode`. `resolve` gives the object of a reference. Raises NotPlain for everything else."""
    if encoded is None or isinstance(encoded, bool | str | int | float):
        return encoded
    match encoded:
        case ["tuple" | "frozenset" as name, list(items)]:
            return (tuple if name == "tuple" else frozenset)([decode(item, resolve) for item in items])
        case [str(name), *_] if name in REFERENCES:
            return resolve(encoded)
        case ["int", str(digits)] if len(digits) <= MAX_DIGITS + 1:  # and a sign
            return int(digits, 16)
        case ["bytes", str(digits)]:
            return bytes.fromhex(digits)
        case ["complex", int() | float() as real, int() | float() as imaginary]:
            return complex(real, imaginary)
        case ["range", start, stop, step]:
            return range(*(decode(number, resolve) for number in (start, stop, step)))
        case ["..."]:
            return ...
        case ["view", str(name), "dict", list(pairs)] if name in VIEWS:
            return getattr({decode(key, resolve): decode(value, resolve) for key, value in pairs}, name)()
        case ["Decimal" | "Fraction" | "ndarray", *_]:
            return decode_rare(encoded, resolve)
    raise NotPlain(f"not a plain value: {str(encoded)[:80]}")


def decode_rare(encoded: list[Any], resolve: Callable[[list[Any]], Any]) -> Any:
    """The inverse of `encode_rare`, for what it names. Imports what it needs: at the top, every fork would hold it."""
    match encoded:
        case ["Decimal", str(text)] if len(text) <= 2 * MAX_DECIMAL_DIGITS:
            from decimal import Decimal

            if decimal_is_bounded(value := Decimal(text)):
                return value
        case ["Fraction", int(numerator), int(denominator)] if fraction_is_bounded(numerator, denominator):
            from fractions import Fraction

            return Fraction(numerator, denominator)
        case ["ndarray", str(kind), list(shape), items]:
            import numpy  # where the caller named it; elsewhere an ImportError

            return numpy.array(decode(items, resolve), numeric_type(kind)).reshape(shape)
    raise NotPlain(f"not a plain value: {str(encoded)[:80]}")


def mutable_type(value: Any) -> type | None:
    """The builtin type of a mutable container; None for any other value."""
    return next((base for base in MUTABLE if issubclass(type(value), base)), None)


def content(container: Any, sender: Sender) -> list[Any]:
    """The name of a mutable container's builtin type, and its content as JSON can hold it. Raises NotPlain as `encode` does."""
    base: Any = mutable_type(container)
    if base is bytearray:
        return ["bytearray", bytearray.hex(container)]
    if base is dict:
        return ["dict", [[encode(key, sender), encode(value, sender)] for key, value in dict.items(container)]]
    return [base.__name__, [encode(item, sender) for item in base.__iter__(container)]]


def named_container(name: Any) -> type:
    """A mutable builtin type. Raises NotPlain for anything but the name of one."""
    for base in MUTABLE:
        if name == base.__name__:
            return base
    raise NotPlain("no such container")


def replace_content(container: Any, name: Any, encoded: Any, resolve: Callable[[list[Any]], Any]) -> None:
    """Give a mutable container the content of another process's copy of it. Raises NotPlain, or what `decode` raises."""
    base: Any = mutable_type(container)
    if base is None or name != base.__name__:
        raise NotPlain("a container of another type")
    if base is bytearray:
        bytearray.__setitem__(container, slice(None), bytes.fromhex(encoded))
        return
    items = [tuple(decode(one, resolve) for one in item) if base is dict else decode(item, resolve) for item in encoded]
    base.clear(container)
    (base.extend if base is list else base.update)(container, items)


def numeric_type(text: str) -> Any:
    """A NumPy data type of numbers. Raises NotPlain for any other."""
    import numpy

    kind = numpy.dtype(text)
    if kind.kind not in NUMERIC_KINDS:
        raise NotPlain(f"not a type of numbers: {text}")
    return kind


def decimal_is_bounded(value: Any) -> bool:
    """Whether comparing a Decimal takes a moment only, and never raises."""
    if value.is_snan():
        return False
    return not value.is_finite() or (
        len(value.as_tuple().digits) <= MAX_DECIMAL_DIGITS and abs(value.adjusted()) <= MAX_EXPONENT
    )


def fraction_is_bounded(numerator: int, denominator: int) -> bool:
    """Whether reducing a fraction takes a moment only."""
    return max(numerator.bit_length(), denominator.bit_length()) <= 3 * MAX_DECIMAL_DIGITS
