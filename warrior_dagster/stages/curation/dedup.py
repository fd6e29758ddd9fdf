"""Near-duplicate instructions by the Jaccard similarity of their shingles (METHOD, section 3).

The paper's code uses MinHash LSH, which on short instructions drops texts that are far less similar than the threshold and
misses others. The exact join in `jaccard.py` is also faster (docs/deduplication.md). Each decision depends on earlier texts
only, so a roster can grow without changing what its earlier competitors keep.

The same task in another programming language is another request, and differs in one word. So near duplicates are those among
the instructions that were mined for one language.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from warrior_dagster.config.stages import Deduplication
from warrior_dagster.stages.curation.columns import INSTRUCTION
from warrior_dagster.stages.curation.jaccard import first_matches
from warrior_dagster.words import SPACELESS, pieces

SAMPLE_ORDER = ["sample", "language", "temperature", "top_p"]
"""Within a competitor the lowest sample number comes first, so that mining more samples only appends."""
SLICE = 50_000
"""Texts split into words at a time. This bounds the memory."""

Ints = NDArray[np.int64]


def mark_duplicates(mined: pl.DataFrame, roster: Sequence[str], settings: Deduplication) -> pl.DataFrame:
    """The usable instructions of all competitors, with `kept`, `duplicate_of` (an instruction id) and `similarity`.

    Sorted by roster, then by sample. `duplicate_of` and `similarity` are null where an instruction is kept. A text that was
    mined for several languages is one request: the first one is kept.
    """
    usable = mined.filter(status="ok").sort(pl.col("competitor").cast(pl.Enum(list(roster))), *SAMPLE_ORDER)
    found = find_duplicates(
        usable["instruction"],
        threshold=settings.threshold,
        shingle_words=settings.shingle_words,
        languages=usable["language"],
    )
    rows = usable.hstack(found).with_row_index("row").with_columns(original=pl.coalesce("duplicate_of", "row"))
    first = pl.col("original").min().over(pl.col("instruction").gather("original"))
    kept = pl.col("original") == pl.col("row")
    return rows.with_columns(original=first).select(
        *INSTRUCTION,
        "completion_key",
        kept=kept,
        similarity=pl.when(~kept).then(pl.col("similarity").fill_null(1.0)),
        duplicate_of=pl.when(~kept).then(pl.col("instruction_id").gather("original")),
    )


def find_duplicates(
    texts: Sequence[str] | pl.Series, *, threshold: float, shingle_words: int = 1, languages: pl.Series | None = None
) -> pl.DataFrame:
    """Find for each text the earlier text that it duplicates, if any.

    A text is a duplicate if its set of shingles has a Jaccard similarity of at least `threshold`, in (0, 1], with that of an
    earlier kept text, of the same language where there are `languages`; the earliest such text is reported. A shingle is
    `shingle_words` consecutive words: what white space separates, and in scripts without spaces pairs of characters
    (`words.pieces`). A shorter text is one shingle, so texts without words duplicate one another.

    Returns one row per text: `duplicate_of` (Int64, index of the kept text, null if this one is kept) and `similarity`
    (Float64, the exact Jaccard similarity of the two, null if kept). Raises ValueError for an argument out of range.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be in (0, 1], got {threshold}")
    if shingle_words < 1:
        raise ValueError(f"shingle_words must be positive, got {shingle_words}")
    starts, elements = shingle_sets(texts, shingle_words, languages)
    matches, similarities = first_matches(starts, elements, threshold)
    found = pl.DataFrame({"duplicate_of": matches, "similarity": similarities})
    return found.with_columns(pl.when(pl.col("duplicate_of") >= 0).then(pl.all()))


def shingle_sets(
    texts: Sequence[str] | pl.Series, size: int = 1, languages: pl.Series | None = None
) -> tuple[Ints, NDArray[np.int32]]:
    """`starts` (n + 1,) and `elements` (total,) for `first_matches`: the distinct shingles of each text, numbered rarest first.

    Text i has the ascending numbers `elements[starts[i]:starts[i + 1]]`, at least one. A shingle has a number of its own in
    each language, so that texts of two languages share none.
    """
    row, code = _shingles(*_words(texts), size)
    if languages is not None:
        number = languages.rank("dense").cast(pl.Int64) - 1
        code = code * languages.n_unique() + number.to_numpy()[row]
    frequency = np.bincount(code)
    rarity = np.empty(len(frequency), dtype=np.int64)
    rarity[np.argsort(frequency, kind="stable")] = np.arange(len(frequency))
    pairs = row << 32 | rarity[code]
    pairs.sort()
    pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])] if len(pairs) else pairs
    return np.searchsorted(pairs >> 32, np.arange(len(texts) + 1)), (pairs & 0xFFFFFFFF).astype(np.int32)


def _words(texts: Sequence[str] | pl.Series) -> tuple[Ints, Ints]:
    """Each word's text index and the word's number, in order of the texts. A text without words has one empty word."""

    def split(first: int) -> tuple[Ints, pa.DictionaryArray]:
        part = pl.Series(texts[first : first + SLICE], dtype=pl.String).to_arrow(compat_level=pl.CompatLevel.oldest())
        words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(part))  # splits where str.split does
        return first + pc.list_parent_indices(words).to_numpy(), words.values.dictionary_encode()

    with ThreadPoolExecutor(cpu_count()) as pool:
        rows, words = zip(*pool.map(split, range(0, max(len(texts), 1), SLICE)), strict=True)
    numbered = pa.chunked_array(words).unify_dictionaries()  # a word has the same number in all slices
    codes = np.concatenate([part.indices.to_numpy() for part in numbered.chunks]).astype(np.int64)
    return _cut(np.concatenate(rows), codes, pl.Series(numbered.chunk(0).dictionary, dtype=pl.String))


def _cut(row: Ints, word: Ints, distinct: pl.Series) -> tuple[Ints, Ints]:
    """The same with each word replaced by its pieces (`words.pieces`). Word number i is `distinct[i]`."""
    if not distinct.str.contains(f"[{SPACELESS}]").any():
        return row, word
    numbers = dict[str, int]()
    cut = pl.Series([[numbers.setdefault(piece, len(numbers)) for piece in pieces(one)] for one in distinct])
    exploded = pl.DataFrame({"row": row, "word": cut.gather(word)}).explode("word")
    return exploded["row"].to_numpy(), exploded["word"].to_numpy()


def _shingles(row: Ints, word: Ints, size: int) -> tuple[Ints, Ints]:
    """Each shingle's text index and the shingle's number. A text that is too short is padded to one shingle."""
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
