"""Near-duplicate instructions by the Jaccard similarity of their shingles (METHOD, section 3).

The released code has MinHash LSH decide. On short instructions that is wrong both ways: at threshold 0.5 it drops texts that
are far less alike and misses others, and for a recall of 0.99 it has to propose so many pairs that verifying them takes far
longer than the exact join in `jaccard.py`, which misses none and needs no seed and no permutations (docs/deduplication.md).

Every decision looks only at texts that come before, which is what lets a roster grow without changing the instructions that its
earlier competitors keep.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from warrior_dagster.stages.curation.jaccard import first_matches

SLICE = 50_000
"""Texts split at a time, which bounds the memory."""

Ints = NDArray[np.int64]


def find_duplicates(texts: Sequence[str] | pl.Series, *, threshold: float, shingle_words: int = 1) -> pl.DataFrame:
    """Say of each text, in order, which earlier text it repeats, if any.

    A text is a duplicate if its set of shingles has a Jaccard similarity of at least `threshold` with that of an
    earlier text that is itself kept; the earliest such text is named. A shingle is `shingle_words` consecutive
    whitespace-separated words. A shorter text is its own only shingle, so texts without words repeat one another.

    Args:
        texts: the texts; the answer for each depends on those before it only.
        threshold: similarity from which on a text is a duplicate, in (0, 1].
        shingle_words: words in a shingle.

    Returns:
        A row a text: `duplicate_of` (Int64, index of the kept text, null if this one is kept) and `similarity`
        (Float64, the exact Jaccard similarity of the two, null if kept).

    Raises:
        ValueError: an argument is out of its range.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be in (0, 1], got {threshold}")
    if shingle_words < 1:
        raise ValueError(f"shingle_words must be positive, got {shingle_words}")
    starts, elements = shingle_sets(texts, shingle_words)
    matches, similarities = first_matches(starts, elements, threshold)
    found = pl.DataFrame({"duplicate_of": matches, "similarity": similarities})
    return found.with_columns(pl.when(pl.col("duplicate_of") >= 0).then(pl.all()))


def shingle_sets(texts: Sequence[str] | pl.Series, size: int = 1) -> tuple[Ints, NDArray[np.int32]]:
    """The distinct shingles of each text, numbered rarest first, as `first_matches` takes them.

    Shapes (n + 1,) and (total,): text i has the ascending numbers `elements[starts[i]:starts[i + 1]]`, at least one.
    """
    row, code = _shingles(*_words(texts), size)
    frequency = np.bincount(code)
    rarity = np.empty(len(frequency), dtype=np.int64)
    rarity[np.argsort(frequency, kind="stable")] = np.arange(len(frequency))
    pairs = row << 32 | rarity[code]
    pairs.sort()
    pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])] if len(pairs) else pairs
    return np.searchsorted(pairs >> 32, np.arange(len(texts) + 1)), (pairs & 0xFFFFFFFF).astype(np.int32)


def _words(texts: Sequence[str] | pl.Series) -> tuple[Ints, Ints]:
    """For each word of each text, in order, the text's row and the word's number; a text without words has an empty one."""

    def split(first: int) -> tuple[Ints, pa.DictionaryArray]:
        part = pl.Series(texts[first : first + SLICE], dtype=pl.String).to_arrow(compat_level=pl.CompatLevel.oldest())
        words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(part))  # where str.split does, control characters included
        return first + pc.list_parent_indices(words).to_numpy(), words.values.dictionary_encode()

    with ThreadPoolExecutor(cpu_count()) as pool:
        rows, words = zip(*pool.map(split, range(0, max(len(texts), 1), SLICE)), strict=True)
    numbered = pa.chunked_array(words).unify_dictionaries()  # the same word has the same number in every slice
    return np.concatenate(rows), np.concatenate([part.indices.to_numpy() for part in numbered.chunks]).astype(np.int64)


def _shingles(row: Ints, word: Ints, size: int) -> tuple[Ints, Ints]:
    """For each shingle the text's row and the shingle's number. A text too short for one is padded to its only one."""
    if size == 1:
        return row, word
    position, padding = np.arange(len(row)), word.max(initial=0) + 1
    end = np.searchsorted(row, row, side="right")
    kept = position[(position + size <= end) | (position == np.searchsorted(row, row))]
    code = word[kept]
    for offset in range(1, size):
        inside = kept + offset < end[kept]
        following = np.where(inside, word[np.minimum(kept + offset, len(word) - 1)], padding)
        code = np.unique(code * (padding + 1) + following, return_inverse=True)[1].astype(np.int64)
    return row[kept], code
