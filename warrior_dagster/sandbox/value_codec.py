"""Encodes Python's plain values as JSON and decodes them: the only form in which values leave the sandbox.

Decoding runs no code. A subclass of a builtin type is encoded by what the builtin type holds, so an object that claims to equal
everything arrives as its real content, or not at all.
"""

import json
import operator
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar

MAX_CHARS = 1_000_000
MAX_DIGITS = 1_000  # of a Decimal or Fraction: reducing a fraction takes quadratic time
MAX_ENTRIES = 4_096  # of a set or dict: values can be chosen to collide in their hashes, which takes quadratic time

ASSERT_HOOK = "__judge__"  # the function that a rewritten assert calls in the sandbox
WHILE_LOADING = " while loading"  # suffix of how a process ended, if it ended before its code was loaded
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "Eq": operator.eq, "NotEq": operator.ne, "Lt": operator.lt, "LtE": operator.le, "Gt": operator.gt, "GtE": operator.ge,
    "Is": operator.is_, "IsNot": operator.is_not,
    "In": lambda item, held: item in held, "NotIn": lambda item, held: item not in held,
}  # fmt: skip

Encoded = list[Any] | str | bool | None
Content = TypeVar("Content", str, list[Any])


class NotPlain(ValueError):
    """The value is not plain, or too large."""


def dumps(value: Any) -> str:
    """The value as one line of JSON of at most MAX_CHARS characters. Raises NotPlain."""
    try:
        text = json.dumps(encode(value))
    except RecursionError as error:  # a list that contains itself also ends here
        raise NotPlain("nested too deeply") from error
    if len(text) > MAX_CHARS:
        raise NotPlain("too large")
    return text


def loads(text: str) -> Any:
    """The value that `dumps` encoded. Raises NotPlain for any other text."""
    try:
        return decode(json.loads(text))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError) as error:
        raise NotPlain(f"not a plain value: {text[:80]}") from error


def encode(value: Any) -> Encoded:  # noqa: PLR0911 -- one return per type
    """Strings, booleans and None as themselves, every other type as [name, content]. Raises NotPlain."""
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value  # type: ignore[no-any-return]
    if value is ...:
        return ["..."]
    # Call the builtin types' own methods: a subclass may override them.
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
        return ["dict", at_most(MAX_ENTRIES, "entries", [[encode(k), encode(v)] for k, v in dict.items(value)])]
    for base in (list, tuple, set, frozenset):
        if issubclass(kind, base):
            content = [encode(item) for item in base.__iter__(value)]
            return [base.__name__, content if base in (list, tuple) else at_most(MAX_ENTRIES, "entries", content)]
    if kind is Decimal or kind is Fraction:
        return [kind.__name__, at_most(MAX_DIGITS, "digits", str(value))]
    raise NotPlain(f"a {kind.__name__} is not a plain value")


def decode(encoded: Encoded) -> Any:  # noqa: PLR0911
    """The inverse of `encode`. Raises NotPlain, and what the constructors raise for malformed content."""
    if encoded is None or isinstance(encoded, bool | str):
        return encoded
    name, *content = encoded
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
            return {decode(k): decode(v) for k, v in at_most(MAX_ENTRIES, "entries", pairs)}
        case "list" | "tuple", [items]:
            return (list if name == "list" else tuple)(map(decode, items))
        case "set" | "frozenset", [items]:
            return (set if name == "set" else frozenset)(map(decode, at_most(MAX_ENTRIES, "entries", items)))
        case "Decimal", [text]:
            return Decimal(at_most(MAX_DIGITS, "digits", text))
        case "Fraction", [text]:
            # Not `Fraction(text)`, which also reads exponents: "1e999999999" would fill the memory.
            numerator, _, denominator = at_most(MAX_DIGITS, "digits", text).partition("/")
            return Fraction(int(numerator), int(denominator or 1))
    raise NotPlain(f"no such kind of value: {name}")


def at_most(length: int, what: str, content: Content) -> Content:
    """The content. Raises NotPlain if it is longer."""
    if len(content) > length:
        raise NotPlain(f"too many {what}")
    return content
