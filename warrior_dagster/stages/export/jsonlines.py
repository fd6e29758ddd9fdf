"""JSON Lines from Arrow, a whole column at a time, at the speed of memory.

A table is taken apart into pieces, texts that a number of its rows have next, in order. They are gone through twice: to find
how long each row is, and to write each at the cursor of its row. Other threads go on meanwhile.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

_CODES = np.arange(256, dtype=np.uint8)
"""What is written in the place of each byte, after a backslash if it is escaped; after u there are four digits."""
_CODES[:32] = ord("u")
_CODES[np.frombuffer(b"\b\f\n\r\t", dtype=np.uint8)] = np.frombuffer(b"bfnrt", dtype=np.uint8)
_ESCAPED = np.isin(np.arange(256), [*range(32), ord('"'), ord("\\")])
_LONG = _ESCAPED & np.equal(_CODES, ord("u"))
_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
COUNTED = 128
"""Bytes that are counted before the count is moved from eight bits, which hold 255, to more."""


class _Piece(NamedTuple):
    rows: Ints
    data: Bytes
    starts: Ints
    ends: Ints
    """`data[starts[i]:ends[i]]` comes next in row `rows[i]`."""
    quoted: bool
    """Whether it is a string, to stand in quotes and to be escaped, rather than JSON already."""


def json_lines(table: pa.Table) -> memoryview:
    """The lines of the rows of `table`, UTF-8, each with its line end.

    Columns of strings, booleans, integers, floats, and lists or structs of them. A float has the digits that it takes to read
    the same float back; NaN and infinities, which JSON lacks, are null. A table of no columns is not for here.
    """
    if len(table) == 0:
        return memoryview(b"")
    every, chunks = np.arange(len(table)), table.combine_chunks().to_struct_array().chunks
    whole = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)  # which would copy a single one, too
    pieces = [*_pieces(whole, every, every), _literal("\n", every)]
    lengths = np.zeros(len(table), dtype=np.int64)
    for piece in pieces:
        _measure(lengths, *piece)
    out, cursors = np.empty(lengths.sum(), dtype=np.uint8), np.cumsum(lengths) - lengths
    for piece in pieces:
        _write(out, cursors, *piece)
    return out.data


def _pieces(array: Any, items: Ints, rows: Ints) -> Iterator[_Piece]:
    """Of row `rows[i]` the item `items[i]` of `array`. Each row comes once."""
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_finite(array), array, pa.scalar(None, array.type))
    if array.null_count:
        there = array.is_valid().to_numpy(zero_copy_only=False)[items]
        yield _literal("null", rows[~there])
        items, rows = items[there], rows[there]
    if pa.types.is_struct(array.type):
        for number, field in enumerate(array.type):
            yield _literal(("," if number else "{") + json.dumps(field.name) + ":", rows)
            yield from _pieces(array.field(number), items, rows)
        yield _literal("}", rows)
    elif pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        offsets = array.offsets.to_numpy().astype(np.int64)
        firsts, lengths = offsets[items], offsets[items + 1] - offsets[items]
        yield _literal("[", rows)
        for place in range(lengths.max(initial=0)):
            longer = lengths > place
            if place:
                yield _literal(",", rows[longer])
            yield from _pieces(array.values, firsts[longer] + place, rows[longer])
        yield _literal("]", rows)
    else:
        quoted = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
        # Numbers by Polars: Arrow would write 1 for 1.0, which is read back as an integer.
        texts = (array if quoted else pl.Series(values=array).cast(pl.String).to_arrow()).cast(pa.large_string())
        _, places, data = texts.buffers()
        offsets = np.frombuffer(places, dtype=np.int64)[texts.offset :] if places else np.zeros(1, dtype=np.int64)
        yield _Piece(rows, np.frombuffer(data or b"", dtype=np.uint8), offsets[items], offsets[items + 1], quoted)


def _literal(text: str, rows: Ints) -> _Piece:
    data, starts = np.frombuffer(text.encode(), dtype=np.uint8), np.zeros(len(rows), dtype=np.int64)
    return _Piece(rows, data, starts, starts + len(data), False)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _measure(lengths: Ints, rows: Ints, data: Bytes, starts: Ints, ends: Ints, quoted: bool) -> None:
    """Adds the length of each row's text."""
    u8 = np.uint8
    for i in range(len(rows)):
        text = data[starts[i] : ends[i]]
        length = np.int64(len(text))
        if quoted:
            length += 2
            for first in range(0, len(text), COUNTED):
                some, escaped, long = text[first : first + COUNTED], u8(0), u8(0)
                for k in range(len(some)):  # Free of branches and of wider numbers, so that many bytes are counted at a time.
                    byte = some[k]
                    escaped = u8(escaped + u8((byte < u8(32)) | (byte == u8(34)) | (byte == u8(92))))
                    long = u8(long + u8((byte < u8(8)) | (byte == u8(11)) | ((byte > u8(13)) & (byte < u8(32)))))
                length += np.int64(escaped) + 4 * np.int64(long)
        lengths[rows[i]] += length


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _write(out: Bytes, cursors: Ints, rows: Ints, data: Bytes, starts: Ints, ends: Ints, quoted: bool) -> None:
    """Writes each row's text at its cursor, which moves on."""
    one = np.uintp(1)  # Unsigned, or else each place is first looked at for being negative.
    for i in range(len(rows)):
        at, text = np.uintp(cursors[rows[i]]), data[starts[i] : ends[i]]
        if quoted:
            out[at] = 34
            at += one
            for k in range(len(text)):
                byte = text[k]
                out[at] = 92  # Stays where the byte is escaped: no branch, which few bytes take.
                at += np.uintp(_ESCAPED[byte])
                out[at] = _CODES[byte]
                at += one
                if _LONG[byte]:
                    out[at] = out[at + one] = 48
                    out[at + np.uintp(2)] = _DIGITS[byte >> 4]
                    out[at + np.uintp(3)] = _DIGITS[byte & 15]
                    at += np.uintp(4)
            out[at] = 34
            at += one
        else:
            for k in range(len(text)):
                out[at] = text[k]
                at += one
        cursors[rows[i]] = at
