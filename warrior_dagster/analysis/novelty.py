"""Novelty: the ROUGE-L (Lin, 2004) of each text with the nearest of many references, as the paper measures it.

The values equal those of the package rouge-score, without comparing all pairs. That package sees nothing but Latin letters and
digits; here a character of a script without spaces is a token too, as is usual for ROUGE in Chinese. An inverted index of the
references' tokens counts the tokens that a text shares with each reference in any order. This is an upper bound of their
longest common subsequence, which is computed only where the bound exceeds the best value so far, with 64 cells of the
dynamic-programming table at a time.
"""

import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import Any

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from warrior_dagster.words import SPACELESS

CHUNK = 128
"""Texts per task of the thread pool: enough to make its overhead negligible, few enough to keep memory low."""
A_CHARACTER = re.compile(f"([{SPACELESS}])")

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]


def nearest_references(texts: Sequence[str], references: Sequence[str]) -> pl.DataFrame:
    """Find for each text the reference with the highest ROUGE-L F1.

    With a longest common subsequence of l tokens, F1 of texts with m and n tokens is 2l / (m + n). It needs memory for the
    inputs, the result, an index of the references, and per thread (distinct tokens of a text) x (its tokens) bits.

    Returns one row per text, independent of the others: `rouge_l` (Float64, the value of `RougeScorer(["rougeL"])`) and
    `reference` (Int64, the index; the lowest of those with exactly the same F1). If a text shares no token with any reference,
    `rouge_l` is 0 and `reference` is null.
    """
    vocabulary: defaultdict[str, int] = defaultdict()
    vocabulary.default_factory = vocabulary.__len__
    codes, starts = _encoded(references, vocabulary.__getitem__)
    index = _index(codes, starts, len(vocabulary))

    def search(first: int) -> tuple[Ints, NDArray[np.float64]]:
        # All tokens that no reference has get the same unused code.
        chunk = _encoded(texts[first : first + CHUNK], lambda token: vocabulary.get(token, len(vocabulary)))
        found: tuple[Ints, NDArray[np.float64]] = _search(*chunk, codes, starts, *index)
        return found

    nearest, scores = np.empty(len(texts), dtype=np.int64), np.empty(len(texts))
    with ThreadPoolExecutor(cpu_count()) as pool:
        chunks = range(0, len(texts), CHUNK)
        for first, found in zip(chunks, pool.map(search, chunks), strict=True):
            nearest[first : first + CHUNK], scores[first : first + CHUNK] = found
    reference = pl.when(pl.col("reference") >= 0).then("reference")
    return pl.DataFrame({"rouge_l": scores, "reference": nearest}).with_columns(reference)


def nearest_in_set(instructions: pl.DataFrame, name: str, references: Sequence[str]) -> pl.DataFrame:
    """`nearest_references` of a table's instructions in the reference set `name`.

    Columns: instruction_id, instruction, competitor, row_id, reference_set, rouge_l, and nearest, the text of the reference.
    """
    found = nearest_references(instructions["instruction"].to_list(), references)
    return instructions.select("instruction_id", "instruction", "competitor").with_columns(
        pl.format("{}:{}", "instruction_id", pl.lit(name)).alias("row_id"),
        pl.lit(name).alias("reference_set"),
        found["rouge_l"],
        pl.Series("nearest", references, pl.String).gather(found["reference"]),
    )


def _encoded(texts: Sequence[str], code: Callable[[str], int]) -> tuple[Codes, Ints]:
    """The codes of all tokens and the start of each text: text i is `codes[starts[i]:starts[i + 1]]`."""
    from rouge_score.tokenizers import DefaultTokenizer  # local, because it imports all of nltk

    tokenize = DefaultTokenizer(use_stemmer=False).tokenize
    codes, starts = array("i"), array("q", [0])
    for text in texts:
        for place, part in enumerate(A_CHARACTER.split(text)):  # the odd parts are such characters
            codes.extend(map(code, [part] if place % 2 else tokenize(part)))
        starts.append(len(codes))
    return np.asarray(codes), np.asarray(starts)


def _index(codes: Codes, starts: Ints, distinct: int) -> tuple[Ints, Codes, Codes]:
    """An inverted index: the start of each token's entries, and each entry's reference, ascending, and count of the token."""
    n = len(starts) - 1
    pairs, counts = np.unique(codes.astype(np.int64) * n + np.repeat(np.arange(n), np.diff(starts)), return_counts=True)
    begins = np.searchsorted(pairs, np.arange(distinct + 2) * n)
    return begins, (pairs % max(n, 1)).astype(np.int32), counts.astype(np.int32)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _search(codes: Codes, starts: Ints, others: Codes, edges: Ints, begins: Ints, posted: Codes, counts: Codes) -> Any:
    """The index of each text's nearest reference, -1 for none, and its F1."""
    nearest, scores = np.full(len(starts) - 1, -1, dtype=np.int64), np.zeros(len(starts) - 1)
    rows = np.full(len(begins) - 1, -1, dtype=np.int32)
    shared, lengths = np.empty(len(edges) - 1, dtype=np.int64), np.diff(edges)
    for i in range(len(starts) - 1):
        text = codes[starts[i] : starts[i + 1]]
        tokens, times, masks = _profile(text, rows)
        shared[:] = 0
        for row, token in enumerate(tokens):
            for entry in range(begins[token], begins[token + 1]):
                shared[posted[entry]] += min(times[row], counts[entry])
        # The best F1 is 2 * best / total. Fractions are compared exactly, by their cross products.
        best, total = 0, 1
        for j in range(len(shared)):
            if shared[j] * total <= best * (len(text) + lengths[j]):
                continue
            common = _common(masks, rows, others[edges[j] : edges[j + 1]])
            if common * total > best * (len(text) + lengths[j]):
                nearest[i], best, total = j, common, len(text) + lengths[j]
        if best:
            precision, recall = best / len(text), best / (total - len(text))
            scores[i] = 2 * precision * recall / (precision + recall)  # rounded like rouge-score
        rows[tokens] = -1
    return nearest, scores


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _profile(text: Codes, rows: Codes) -> Any:
    """The distinct tokens, their counts, and a bit mask of the positions of each; `rows[token]` is set to the token's row."""
    tokens, times, distinct = np.empty_like(text), np.zeros_like(text), 0
    for token in text:
        if rows[token] < 0:
            rows[token], tokens[distinct] = distinct, token
            distinct += 1
        times[rows[token]] += 1
    masks = np.zeros((distinct, (len(text) + 63) >> 6), dtype=np.uint64)
    for place in range(len(text)):
        masks[rows[text[place]], place >> 6] |= np.uint64(1) << np.uint64(place & 63)
    return tokens[:distinct], times[:distinct], masks


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _common(masks: Any, rows: Codes, other: Codes) -> int:
    """The length of the longest common subsequence of the text that `masks` and `rows` describe and `other`."""
    # Row by row of the table: a zero bit marks each position where the row increases by one (Hyyrö, 2004).
    steps = np.full(masks.shape[1], ~np.uint64(0))
    for token in other:
        if rows[token] < 0:
            continue
        carry = np.uint64(0)
        for word in range(len(steps)):
            before, matches = steps[word], steps[word] & masks[rows[token], word]
            partial = before + matches
            total = partial + carry
            carry = np.uint64(partial < before) | np.uint64(total < partial)
            steps[word] = total | (before - matches)
    length = 0
    for word in ~steps:
        rest = word
        while rest:
            rest &= rest - np.uint64(1)
            length += 1
    return length
