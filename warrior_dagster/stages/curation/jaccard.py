"""An exact greedy similarity join for deduplication: the earliest kept set that is similar to each set.

It uses prefix filtering (Chaudhuri et al., 2006; PPJoin, Xiao et al., 2008). Elements are ordered from the rarest. Two sets of
sizes n and m with a Jaccard similarity of at least t share at least a = t / (1 + t) (n + m) elements. So their first shared
element is at position n - a or earlier in one, and m - a or earlier in the other, and only these rare elements are looked up.
A bitmap of each set gives an upper bound on what two sets share, which is tested before the sets are compared.
"""

from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

BLOCK = 8192
"""Sets that threads look up in parallel, before the sets to keep are chosen sequentially."""
THREADS = min(16, cpu_count() or 1)
"""Each thread needs one number per set."""
BITS = 4
"""Bits of a bitmap per element of a set of mean size: few enough to scan fast, enough to distinguish most sets."""
SLACK = 1e-6
"""Bounds are loosened by this because of rounding. The similarity itself is compared exactly."""

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]


class Sets(NamedTuple):
    """Set i is `elements[starts[i]:starts[i + 1]]`, ascending, with the bitmap `bitmaps[i]`."""

    starts: Ints
    elements: Codes
    bitmaps: NDArray[np.uint64]


class PostingLists(NamedTuple):
    """Inverted index of the kept sets: a list for each element and set size (`keys`: element << 32 | size, ascending).

    The lists of an element are `first[element]` to `first[element + 1]`. List k holds the sets `posted[begins[k]:ends[k]]`.
    `grown` is the last block in which a list of an element grew, -1 for never.
    """

    first: Ints
    keys: Ints
    begins: Ints
    ends: Ints
    posted: Codes
    grown: Codes


def first_matches(starts: Ints, elements: Codes, threshold: float) -> tuple[Ints, NDArray[np.float64]]:
    """Find for each set the earliest kept set with a Jaccard similarity of at least `threshold`; a set without one is kept.

    Set i of n is `elements[starts[i]:starts[i + 1]]`: numbers from 0, distinct and ascending, at least one. Any numbering is
    correct; rarest first is fast. Returns the index of each set's match (-1 if the set is kept) and the exact similarity (nan).
    """
    n = len(starts) - 1
    words = max(1, int(np.ceil(BITS * len(elements) / max(n, 1) / 64)))
    sets = Sets(starts, elements, _bitmaps(starts, elements, words))
    lists = _empty_lists(sets, threshold)
    matches, similarities = np.full(n, -1, dtype=np.int64), np.full(n, np.nan)
    visited = np.full((THREADS, n), -1, dtype=np.int32)
    with ThreadPoolExecutor(THREADS) as pool:
        for first in range(0, n, BLOCK):
            edges = np.linspace(first, min(first + BLOCK, n), THREADS + 1).astype(np.int64)
            parts = [
                pool.submit(
                    _match_earlier_blocks, edges[i], edges[i + 1], sets, lists, threshold, visited[i], matches, similarities
                )
                for i in range(THREADS)
            ]
            for part in parts:
                part.result()
            own = lists._replace(begins=lists.ends.copy())  # only what is added in this block
            _match_within_block(edges[0], edges[-1], sets, own, threshold, first // BLOCK, visited[0], matches, similarities)
    return matches, similarities


def _empty_lists(sets: Sets, threshold: float) -> PostingLists:
    """Empty lists, with room for every set."""
    keys = _prefixes(sets.starts, sets.elements, threshold)
    keys.sort()
    begins = np.flatnonzero(np.diff(keys, prepend=-1))
    posted = np.empty(len(keys), dtype=np.int32)
    distinct = sets.elements.max(initial=-1) + 1
    first = np.searchsorted(keys[begins] >> 32, np.arange(distinct + 1))
    return PostingLists(first, keys[begins], begins, begins.copy(), posted, np.full(distinct, -1, dtype=np.int32))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _prefix(size: int, threshold: float) -> int:
    """How many of its rarest elements a set must be looked up by, for any size of the other set."""
    return min(size, int(size - np.ceil(threshold * size - SLACK) + 1))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _prefixes(starts: Ints, elements: Codes, threshold: float) -> Any:
    total = 0
    for i in range(len(starts) - 1):
        total += _prefix(starts[i + 1] - starts[i], threshold)
    keys, filled = np.empty(total, dtype=np.int64), 0
    for i in range(len(starts) - 1):
        size = starts[i + 1] - starts[i]
        for place in range(starts[i], starts[i] + _prefix(size, threshold)):
            keys[filled] = np.int64(elements[place]) << 32 | size
            filled += 1
    return keys


@njit(cache=True)  # type: ignore[untyped-decorator]
def _bitmaps(starts: Ints, elements: Codes, words: int) -> Any:
    """For each set a bitmap of `64 * words` bits with the bits of its elements set."""
    bitmaps = np.zeros((len(starts) - 1, words), dtype=np.uint64)
    for i in range(len(starts) - 1):
        for place in range(starts[i], starts[i + 1]):
            bit = (np.uint64(elements[place]) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)) % np.uint64(64 * words)
            bitmaps[i, bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))
    return bitmaps


@njit(inline="always")  # type: ignore[untyped-decorator]
def _unshared_bits(mine: Any, bitmaps: Any, other: int) -> Any:
    """Number of bits of `mine` that bitmap `other` lacks: at least this many elements are not shared."""
    missing = np.uint64(0)
    for word in range(len(mine)):
        v = mine[word] & ~bitmaps[other, word]
        v = v - (v >> np.uint64(1) & np.uint64(0x5555555555555555))
        v = (v & np.uint64(0x3333333333333333)) + (v >> np.uint64(2) & np.uint64(0x3333333333333333))
        missing += (v + (v >> np.uint64(4)) & np.uint64(0x0F0F0F0F0F0F0F0F)) * np.uint64(0x0101010101010101) >> np.uint64(56)
    return np.int64(missing)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _shared(a: Codes, b: Codes, least: float) -> Any:
    """The number of elements that two ascending arrays share. Stops early once it must be less than `least`."""
    x, y, shared = 0, 0, 0
    while x < len(a) and y < len(b) and shared + min(len(a) - x, len(b) - y) >= least:
        u, v = a[x], b[y]
        shared += u == v
        x += u <= v
        y += v <= u
    return shared


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _earliest_match(i: int, sets: Sets, lists: PostingLists, threshold: float, since: int, visited: Codes) -> Any:
    """The earliest match of set i in lists that grew in block `since` or later, and its similarity; -1 and nan for none."""
    starts, elements = sets.starts, sets.elements
    mine, own, size = elements[starts[i] : starts[i + 1]], sets.bitmaps[i], starts[i + 1] - starts[i]
    share = threshold / (1.0 + threshold)
    best, similarity = len(starts), np.nan
    for place in range(_prefix(size, threshold)):
        if lists.grown[mine[place]] < since:
            continue
        # At most `size - place` elements can still be shared, which is too few for sets larger than this.
        largest = min(size / threshold, (size - place) / share - size) + SLACK
        for key in range(lists.first[mine[place]], lists.first[mine[place] + 1]):
            other_size = lists.keys[key] & 0xFFFFFFFF
            if other_size < threshold * size - SLACK:
                continue
            if other_size > largest:
                break
            least = share * (size + other_size) - SLACK
            for entry in range(lists.begins[key], lists.ends[key]):
                if _unshared_bits(own, sets.bitmaps, lists.posted[entry]) > size - least:
                    continue
                other = lists.posted[entry]
                if other >= best:
                    break  # the rest of the list is later
                if visited[other] == i:
                    continue
                visited[other] = i
                shared = _shared(mine, elements[starts[other] : starts[other + 1]], least)
                if shared >= least and shared / (size + other_size - shared) >= threshold:
                    best, similarity = other, shared / (size + other_size - shared)
                    break
    return (best, similarity) if best < len(starts) else (-1, np.nan)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _match_earlier_blocks(
    first: int, last: int, sets: Sets, lists: PostingLists, threshold: float, visited: Codes, matches: Ints, similarities: Any
) -> None:
    """Match sets `first` to `last` with those kept in earlier blocks."""
    for i in range(first, last):
        matches[i], similarities[i] = _earliest_match(i, sets, lists, threshold, 0, visited)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _match_within_block(
    first: int, last: int, sets: Sets, lists: PostingLists, threshold: float, block: int, visited: Codes, matches: Ints,
    similarities: Any,
) -> None:  # fmt: skip
    """Match the unmatched sets of a block with one another, in order, and add those without a match to the lists."""
    for i in range(first, last):
        if matches[i] < 0:
            matches[i], similarities[i] = _earliest_match(i, sets, lists, threshold, block, visited)
        if matches[i] >= 0:
            continue
        start, size = sets.starts[i], sets.starts[i + 1] - sets.starts[i]
        for element in sets.elements[start : start + _prefix(size, threshold)]:
            low, high = lists.first[element], lists.first[element + 1]
            key = low + np.searchsorted(lists.keys[low:high], np.int64(element) << 32 | size)
            lists.posted[lists.ends[key]] = i
            lists.ends[key] += 1
            lists.grown[element] = block
