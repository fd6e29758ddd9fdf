"""How near each text is to the nearest of many references by ROUGE-L (Lin, 2004): what the paper shows its data to be new by.

The value is that of the package rouge-score; here no pair is compared that cannot be the nearest. An inverted index of the
references' tokens counts what a text shares with each of them in any order, which bounds their longest common subsequence from
above; only where the bound exceeds the best so far is the subsequence itself measured, 64 cells of its table at a time.
"""

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

CHUNK = 128
"""Texts that a thread takes at a time: enough that starting costs nothing, few enough that their tokens hardly take memory."""

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]


def nearest_references(texts: Sequence[str], references: Sequence[str]) -> pl.DataFrame:
    """Find for each text the reference with the highest ROUGE-L F1.

    With a longest common subsequence of l of the m and n tokens of the two, that is 2l / (m + n). Memory is that of the inputs,
    the result, an index of the references, and in each thread a bit for each distinct token of a text times its tokens.

    Args:
        texts: the texts, each of which is judged on its own.
        references: what they are compared with.

    Returns:
        A row a text: `rouge_l` (Float64, what `RougeScorer(["rougeL"])` gives for the text and that reference) and `reference`
        (Int64, its index; the lowest of those with exactly the same F1). A text that shares no token with any reference, as one
        without tokens, is at 0 from all of them and near none: its `reference` is null.
    """
    vocabulary: defaultdict[str, int] = defaultdict()
    vocabulary.default_factory = vocabulary.__len__
    codes, starts = _encoded(references, vocabulary.__getitem__)
    index = _index(codes, starts, len(vocabulary))

    def search(first: int) -> tuple[Ints, NDArray[np.float64]]:
        # One code that no reference has stands for all tokens that none has.
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


def against(instructions: pl.DataFrame, name: str, references: Sequence[str]) -> pl.DataFrame:
    """`nearest_references` of a table's instructions in one named set: instruction_id, instruction, competitor, reference_set,
    rouge_l, and `nearest`, the text of the reference.
    """
    found = nearest_references(instructions["instruction"].to_list(), references)
    texts = pl.Series("nearest", references, pl.String)
    return instructions.select("instruction_id", "instruction", "competitor").with_columns(
        pl.format("{}:{}", "instruction_id", pl.lit(name)).alias("row_id"),
        pl.lit(name).alias("reference_set"),
        found["rouge_l"],
        texts.gather(found["reference"]).alias("nearest"),
    )


def _encoded(texts: Sequence[str], code: Callable[[str], int]) -> tuple[Codes, Ints]:
    """The codes of all tokens, and where each text's begin: text i is `codes[starts[i]:starts[i + 1]]`."""
    from rouge_score.tokenizers import DefaultTokenizer  # here, for it reads a whole library of language tools

    tokenize = DefaultTokenizer(use_stemmer=False).tokenize
    codes, starts = array("i"), array("q", [0])
    for text in texts:
        codes.extend(map(code, tokenize(text)))
        starts.append(len(codes))
    return np.asarray(codes), np.asarray(starts)


def _index(codes: Codes, starts: Ints, distinct: int) -> tuple[Ints, Codes, Codes]:
    """Where each token's entries begin, and of each entry the reference, ascending, and how often the token is in it."""
    n = len(starts) - 1
    pairs, counts = np.unique(codes.astype(np.int64) * n + np.repeat(np.arange(n), np.diff(starts)), return_counts=True)
    begins = np.searchsorted(pairs, np.arange(distinct + 2) * n)
    return begins, (pairs % max(n, 1)).astype(np.int32), counts.astype(np.int32)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _search(codes: Codes, starts: Ints, others: Codes, edges: Ints, begins: Ints, posted: Codes, counts: Codes) -> Any:
    """The nearest reference of each text, -1 for none, and its F1."""
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
        # The best F1 is 2 * best / total. Fractions are compared by their cross products, which are exact.
        best, total = 0, 1
        for j in range(len(shared)):
            if shared[j] * total <= best * (len(text) + lengths[j]):
                continue
            common = _common(masks, rows, others[edges[j] : edges[j + 1]])
            if common * total > best * (len(text) + lengths[j]):
                nearest[i], best, total = j, common, len(text) + lengths[j]
        if best:
            precision, recall = best / len(text), best / (total - len(text))
            scores[i] = 2 * precision * recall / (precision + recall)  # rounded as rouge-score rounds it
        rows[tokens] = -1
    return nearest, scores


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _profile(text: Codes, rows: Codes) -> Any:
    """The distinct tokens, how often each is there, and for each a row of bits, set where it is; `rows[token]` is its row."""
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
    """The length of the longest common subsequence of the text that `masks` and `rows` describe and another one."""
    # One row of the table after the other: a zero bit stands for each place where it steps up by one (Hyyrö, 2004).
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
