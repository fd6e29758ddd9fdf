"""Encodes Python's plain values as bounded JSON: the only form in which values cross between a check and the code under test.

Decoding runs no code of the sender. A subclass of a builtin type is encoded by what the builtin type holds, so an object that
claims to equal everything arrives as its real content, or as a reference, which equals nothing.
"""

import sys
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

MAX_CHARS = 1_000_000  # of a message
MAX_DIGITS = 100_000  # of an int, in hexadecimal
MAX_DECIMAL_DIGITS = 1_000  # of a Decimal or Fraction, whose arithmetic takes quadratic time or worse
MAX_EXPONENT = 10_000  # of a Decimal: comparing 1E+999999999 with an int makes an int of that length
REFERENCES = ("mine", "yours", "named")
NUMERIC_KINDS = "biufc"  # of NumPy's data types: booleans, integers, floats and complex numbers

Encoded = list[Any] | str | int | float | bool | None


class NotPlain(ValueError):
    """The value is not plain, or too large."""


def encode(value: Any, refer: Callable[[Any], Encoded]) -> Encoded:  # noqa: PLR0911 -- one return per type
    """A value as JSON can hold it. Small numbers, strings and None are themselves, every other type is [name, content].

    `refer` gives the reference of an object that is not plain, or raises NotPlain.
    """
    kind = type(value)
    if value is None or kind in (bool, str):
        return value  # type: ignore[no-any-return]
    # Call the builtin types' own methods: a subclass may override them.
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        number = int.__index__(value)
        if -(1 << 63) <= number < 1 << 63:
            return number
        return ["int", f"{number:x}"] if number.bit_length() <= 4 * MAX_DIGITS else refer(value)
    if issubclass(kind, float):
        return float.__pos__(value)
    for base in (list, tuple, set, frozenset):
        if issubclass(kind, base):
            return [base.__name__, [encode(item, refer) for item in base.__iter__(value)]]
    if issubclass(kind, dict):
        return ["dict", [[encode(k, refer), encode(v, refer)] for k, v in dict.items(value)]]
    if issubclass(kind, bytes | bytearray):
        return ["bytes", bytes.hex(value)] if issubclass(kind, bytes) else ["bytearray", bytearray.hex(value)]
    if kind is complex:
        return ["complex", value.real, value.imag]
    if kind is range:
        return ["range", *(encode(number, refer) for number in (value.start, value.stop, value.step))]
    if value is ...:
        return ["..."]
    return encode_rare(value, refer)


def encode_rare(value: Any, refer: Callable[[Any], Encoded]) -> Encoded:
    """Decimals and fractions, NumPy's numbers as Python's, and its arrays of numbers by type, shape and content."""
    if type(value) in (Decimal, Fraction) and is_bounded(value):
        return [type(value).__name__, str(value)]
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic) and value.dtype.kind in NUMERIC_KINDS:
        if isinstance(value, numpy.generic):
            return encode(value.item(), refer)
        return ["ndarray", value.dtype.str, list(value.shape), encode(value.ravel().tolist(), refer)]
    return refer(value)


def decode(encoded: Any, resolve: Callable[[list[Any]], Any]) -> Any:  # noqa: PLR0911
    """The inverse of `encode`. `resolve` gives the object of a reference. Raises NotPlain for everything else."""
    if encoded is None or isinstance(encoded, bool | str | int | float):
        return encoded
    match encoded:
        case [str(name), list(items)] if name in ("list", "tuple", "set", "frozenset"):
            container = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[name]
            return container([decode(item, resolve) for item in items])
        case ["dict", list(pairs)]:
            return {decode(key, resolve): decode(value, resolve) for key, value in pairs}
        case [str(name), *_] if name in REFERENCES:
            return resolve(encoded)
        case ["int", str(digits)] if len(digits) <= MAX_DIGITS + 1:  # and a sign
            return int(digits, 16)
        case ["bytes" | "bytearray" as name, str(digits)]:
            return (bytes if name == "bytes" else bytearray).fromhex(digits)
        case ["complex", int() | float() as real, int() | float() as imaginary]:
            return complex(real, imaginary)
        case ["range", start, stop, step]:
            return range(*(decode(number, resolve) for number in (start, stop, step)))
        case ["..."]:
            return ...
        case ["Decimal", str(text)] if len(text) <= 2 * MAX_DECIMAL_DIGITS:
            return bounded(Decimal(text))
        case ["Fraction", str(text)] if len(text) <= 2 * MAX_DECIMAL_DIGITS + 2:
            # Not `Fraction(text)`, which also reads exponents: "1e999999999" would fill the memory.
            numerator, _, denominator = text.partition("/")
            return bounded(Fraction(int(numerator), int(denominator or 1)))
        case ["ndarray", str(kind), list(shape), items]:
            import numpy  # where the caller named it; elsewhere an ImportError

            return numpy.array(decode(items, resolve), numeric_type(kind)).reshape(shape)
    raise NotPlain(f"not a plain value: {str(encoded)[:80]}")


def numeric_type(text: str) -> Any:
    """A NumPy data type of numbers. Raises NotPlain for any other."""
    import numpy

    kind = numpy.dtype(text)
    if kind.kind not in NUMERIC_KINDS:
        raise NotPlain(f"not a type of numbers: {text}")
    return kind


def bounded(value: Decimal | Fraction) -> Decimal | Fraction:
    """The value. Raises NotPlain if it cannot be compared in a moment."""
    if not is_bounded(value):
        raise NotPlain("a number with too many digits")
    return value


def is_bounded(value: Decimal | Fraction) -> bool:
    """Whether comparing the number takes a moment only, and never raises."""
    if isinstance(value, Fraction):
        return max(value.numerator.bit_length(), value.denominator.bit_length()) <= 3 * MAX_DECIMAL_DIGITS
    if value.is_snan():
        return False
    return not value.is_finite() or (
        len(value.as_tuple().digits) <= MAX_DECIMAL_DIGITS and abs(value.adjusted()) <= MAX_EXPONENT
    )
