"""The exact greedy join behind deduplication: of each set, the earliest kept one that resembles it, and none is missed.

Prefix filtering (Chaudhuri et al., 2006; PPJoin, Xiao et al., 2008) in place of MinHash. With the elements of all sets in one
order, rarest first, two sets of sizes n and m with a Jaccard similarity of t or more share at least a = t / (1 + t) (n + m)
elements, so that their first shared one comes no later than place n - a of the one and m - a of the other. So only rare
elements are looked up. What meets there is tested by a bitmap of each set, which bounds what they share, before the sets are
compared.
"""

from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

BLOCK = 8192
"""Sets that are looked up side by side, in threads, before the ones to keep are chosen one after the other."""
THREADS = min(16, cpu_count() or 1)
"""Each keeps a number a set."""
BITS = 4
"""Bits of a bitmap for each element of a set of mean size: few enough to scan, enough to tell most sets apart."""
SLACK = 1e-6
"""Bounds are loosened by this, against rounding; the similarity itself is compared as it is."""

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]


class Sets(NamedTuple):
    """Set i is `elements[starts[i]:starts[i + 1]]`, ascending, with the bitmap `maps[i]`."""

    starts: Ints
    elements: Codes
    maps: NDArray[np.uint64]


class Lists(NamedTuple):
    """The kept sets that may be looked up: one list for each element and size of set (`keys`: element << 32 | size, ascending).

    Those of an element are from `first[element]` to `first[element + 1]`. List k holds the sets `posted[begins[k]:ends[k]]`.
    `grew` is the last block in which a list of an element grew, -1 for never.
    """

    first: Ints
    keys: Ints
    begins: Ints
    ends: Ints
    posted: Codes
    grew: Codes


def first_matches(starts: Ints, elements: Codes, threshold: float) -> tuple[Ints, NDArray[np.float64]]:
    """Of each set, the earliest kept set with a Jaccard similarity of at least `threshold`; a set without one is kept.

    Args:
        starts: shape (n + 1,): set i is `elements[starts[i]:starts[i + 1]]`. No set is empty.
        elements: from 0, distinct and ascending in each set. Any numbering is right; rarest first is fast.
        threshold: in (0, 1].

    Returns:
        Shape (n,) each: the index of the match, -1 where the set is kept, and the exact similarity, nan where it is kept.
    """
    n = len(starts) - 1
    words = max(1, int(np.ceil(BITS * len(elements) / max(n, 1) / 64)))
    sets = Sets(starts, elements, _bitmaps(starts, elements, words))
    lists = _lists(sets, threshold)
    matches, similarities = np.full(n, -1, dtype=np.int64), np.full(n, np.nan)
    visited = np.full((THREADS, n), -1, dtype=np.int32)
    with ThreadPoolExecutor(THREADS) as pool:
        for first in range(0, n, BLOCK):
            edges = np.linspace(first, min(first + BLOCK, n), THREADS + 1).astype(np.int64)
            parts = [
                pool.submit(_look_up, edges[i], edges[i + 1], sets, lists, threshold, visited[i], matches, similarities)
                for i in range(THREADS)
            ]
            for part in parts:
                part.result()
            own = lists._replace(begins=lists.ends.copy())  # what grows in this block
            _keep(edges[0], edges[-1], sets, own, threshold, first // BLOCK, visited[0], matches, similarities)
    return matches, similarities


def _lists(sets: Sets, threshold: float) -> Lists:
    """Empty lists, with room for every set."""
    keys = _prefixes(sets.starts, sets.elements, threshold)
    keys.sort()
    begins = np.flatnonzero(np.diff(keys, prepend=-1))
    posted = np.empty(len(keys), dtype=np.int32)
    distinct = sets.elements.max(initial=-1) + 1
    first = np.searchsorted(keys[begins] >> 32, np.arange(distinct + 1))
    return Lists(first, keys[begins], begins, begins.copy(), posted, np.full(distinct, -1, dtype=np.int32))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _prefix(size: int, threshold: float) -> int:
    """How many of its rarest elements a set is looked up by, whatever the size of the other."""
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
    """For each set a map of `64 * words` bits with the bits of its elements set."""
    maps = np.zeros((len(starts) - 1, words), dtype=np.uint64)
    for i in range(len(starts) - 1):
        for place in range(starts[i], starts[i + 1]):
            bit = (np.uint64(elements[place]) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)) % np.uint64(64 * words)
            maps[i, bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))
    return maps


@njit(inline="always")  # type: ignore[untyped-decorator]
def _missing(mine: Any, maps: Any, other: int) -> Any:
    """Bits of `mine` that the map `other` lacks: at least so many elements are not shared."""
    missing = np.uint64(0)
    for word in range(len(mine)):
        v = mine[word] & ~maps[other, word]
        v = v - (v >> np.uint64(1) & np.uint64(0x5555555555555555))
        v = (v & np.uint64(0x3333333333333333)) + (v >> np.uint64(2) & np.uint64(0x3333333333333333))
        missing += (v + (v >> np.uint64(4)) & np.uint64(0x0F0F0F0F0F0F0F0F)) * np.uint64(0x0101010101010101) >> np.uint64(56)
    return np.int64(missing)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _shared(a: Codes, b: Codes, least: float) -> Any:
    """The number of elements that two ascending arrays share; less than `least` as soon as that is certain."""
    x, y, shared = 0, 0, 0
    while x < len(a) and y < len(b) and shared + min(len(a) - x, len(b) - y) >= least:
        u, v = a[x], b[y]
        shared += u == v
        x += u <= v
        y += v <= u
    return shared


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _earliest(i: int, sets: Sets, lists: Lists, threshold: float, since: int, visited: Codes) -> Any:
    """The earliest match of set i in the lists, and its similarity; -1 and nan for none. No list grew before block `since`."""
    starts, elements = sets.starts, sets.elements
    mine, own, size = elements[starts[i] : starts[i + 1]], sets.maps[i], starts[i + 1] - starts[i]
    share = threshold / (1.0 + threshold)
    best, similarity = len(starts), np.nan
    for place in range(_prefix(size, threshold)):
        if lists.grew[mine[place]] < since:
            continue
        # From here on at most `size - place` elements are shared, which is too few for sets larger than this.
        largest = min(size / threshold, (size - place) / share - size) + SLACK
        for key in range(lists.first[mine[place]], lists.first[mine[place] + 1]):
            other_size = lists.keys[key] & 0xFFFFFFFF
            if other_size < threshold * size - SLACK:
                continue
            if other_size > largest:
                break
            least = share * (size + other_size) - SLACK
            for entry in range(lists.begins[key], lists.ends[key]):
                if _missing(own, sets.maps, lists.posted[entry]) > size - least:
                    continue
                other = lists.posted[entry]
                if other >= best:
                    break  # the rest of the list is later still
                if visited[other] == i:
                    continue
                visited[other] = i
                shared = _shared(mine, elements[starts[other] : starts[other + 1]], least)
                if shared >= least and shared / (size + other_size - shared) >= threshold:
                    best, similarity = other, shared / (size + other_size - shared)
                    break
    return (best, similarity) if best < len(starts) else (-1, np.nan)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _look_up(
    first: int, last: int, sets: Sets, lists: Lists, threshold: float, visited: Codes, matches: Ints, similarities: Any
) -> None:
    """The matches of sets `first` to `last` among those that were kept in earlier blocks."""
    for i in range(first, last):
        matches[i], similarities[i] = _earliest(i, sets, lists, threshold, 0, visited)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _keep(
    first: int,
    last: int,
    sets: Sets,
    lists: Lists,
    threshold: float,
    block: int,
    visited: Codes,
    matches: Ints,
    similarities: Any,
) -> None:
    """Match the sets of a block that are left with one another, in order; what stays without a match is put in the lists."""
    for i in range(first, last):
        if matches[i] < 0:
            matches[i], similarities[i] = _earliest(i, sets, lists, threshold, block, visited)
        if matches[i] >= 0:
            continue
        start, size = sets.starts[i], sets.starts[i + 1] - sets.starts[i]
        for element in sets.elements[start : start + _prefix(size, threshold)]:
            low, high = lists.first[element], lists.first[element + 1]
            key = low + np.searchsorted(lists.keys[low:high], np.int64(element) << 32 | size)
            lists.posted[lists.ends[key]] = i
            lists.ends[key] += 1
            lists.grew[element] = block
