"""Python's plain values as JSON, and back: all that a sandbox may tell of what tested code returned.

Reading it runs nothing and builds only values of builtin types (and Decimal and Fraction). A subclass of a builtin type goes
by what the builtin type holds, so an object that says it equals everything arrives as what it is, or not at all.
"""

import json
import operator
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

MOST_CHARS = 1_000_000
MOST_DIGITS = 1_000
MOST_HASHED = 4_096
"""Entries of a set or dict: values can be chosen to have the same hash, which makes the time to build one quadratic."""

HOOK = "__judge__"
"""What an assert becomes a call of in the sandbox."""
LOADING = " while loading"
"""What the sandbox adds to how a process ended before its code was loaded."""
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "Eq": operator.eq, "NotEq": operator.ne, "Lt": operator.lt, "LtE": operator.le, "Gt": operator.gt, "GtE": operator.ge,
    "Is": operator.is_, "IsNot": operator.is_not,
    "In": lambda item, held: item in held, "NotIn": lambda item, held: item not in held,
}  # fmt: skip

Encoded = list[Any] | str | bool | None


class Opaque(ValueError):
    """Not a plain value, or too large a one."""


def dumps(value: Any) -> str:
    """A line of JSON, at most MOST_CHARS long. Raises Opaque."""
    try:
        text = json.dumps(encode(value))
    except RecursionError as error:  # also of a list that holds itself
        raise Opaque("nested too deeply") from error
    if len(text) > MOST_CHARS:
        raise Opaque("too large")
    return text


def loads(text: str) -> Any:
    """The value. Raises Opaque for anything that `dumps` does not write."""
    try:
        return decode(json.loads(text))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError) as error:
        raise Opaque(f"not a plain value: {text[:80]}") from error


def encode(value: Any) -> Encoded:  # noqa: PLR0911 -- one line a type
    """Text, booleans and None as themselves, every other type as [name, content]. Raises Opaque."""
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value  # type: ignore[no-any-return]
    if value is ...:
        return ["..."]
    # The builtin types' own methods, because a subclass may have others.
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return ["int", int.__format__(value, "x")]
    if issubclass(kind, float):
        return ["float", float.hex(value)]
    if kind is complex:
        return ["complex", value.real.hex(), value.imag.hex()]
    if issubclass(kind, bytes | bytearray):
        return ["bytes", bytes.hex(value) if issubclass(kind, bytes) else bytearray.hex(value)]
    if issubclass(kind, dict):
        return ["dict", hashed([[encode(k), encode(v)] for k, v in dict.items(value)])]
    for base in (list, tuple, set, frozenset):
        if issubclass(kind, base):
            content = [encode(item) for item in base.__iter__(value)]
            return [base.__name__, content if base in (list, tuple) else hashed(content)]
    if kind is Decimal or kind is Fraction:
        return [kind.__name__, short(str(value))]
    raise Opaque(f"a {kind.__name__} is not a plain value")


def decode(said: Encoded) -> Any:  # noqa: PLR0911
    """The reverse of `encode`."""
    if said is None or isinstance(said, bool | str):
        return said
    name, *content = said
    match name, content:
        case "...", []:
            return ...
        case "int", [digits]:
            return int(digits, 16)
        case "float", [digits]:
            return float.fromhex(digits)
        case "complex", [real, imaginary]:
            return complex(float.fromhex(real), float.fromhex(imaginary))
        case "bytes", [digits]:
            return bytes.fromhex(digits)
        case "dict", [pairs]:
            return {decode(k): decode(v) for k, v in hashed(pairs)}
        case "list" | "tuple", [items]:
            return (list if name == "list" else tuple)(map(decode, items))
        case "set" | "frozenset", [items]:
            return (set if name == "set" else frozenset)(map(decode, hashed(items)))
        case "Decimal", [text]:
            return Decimal(short(text))
        case "Fraction", [text]:
            return Fraction(short(text))
    raise Opaque(f"no such kind of value: {name}")


def short(text: str) -> str:
    """A fraction's digits, if not too many: the time to reduce it is quadratic."""
    if len(text) > MOST_DIGITS:
        raise Opaque("too many digits")
    return text


def hashed(items: list[Any]) -> list[Any]:
    """The entries of a set or dict, if not too many."""
    if len(items) > MOST_HASHED:
        raise Opaque("too many entries")
    return items
