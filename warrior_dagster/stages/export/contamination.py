"""Texts that repeat a benchmark word for word: what is trained on them cannot be measured with it.

Two texts overlap where they share so many consecutive words; of a benchmark's text that is shorter, all of it. Ten words are
what DeepSeek-Coder (arXiv 2401.14196) and Qwen2.5-Coder (arXiv 2409.12186) took for code. Words are compared in lower case and
without what stands between them, so that neither layout nor punctuation hides a copy; numbers alone are no evidence.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

SHORTEST = 3
"""A benchmark's text of fewer words says nothing."""
SLICE = 5_000
"""Texts split into words at a time, which bounds the memory."""
SCHEMA = {
    "row_id": pl.String,
    "instruction_id": pl.String,
    "competitor": pl.String,
    "benchmark": pl.String,
    "task": pl.String,
    "ngram": pl.String,
    "shared": pl.Int64,
}

Ints = NDArray[np.int64]


def overlaps(texts: Sequence[str] | pl.Series, tasks: Sequence[str], *, words: int) -> pl.DataFrame:
    """Find the texts that share `words` consecutive words with a task, or all of a shorter one.

    Exact: tasks are kept as a tree of words, a sorted array a depth, down which all places of the texts walk at once; those
    that find no branch stay behind. Memory is that of the tasks and of a slice of the texts.

    Args:
        texts: the texts.
        tasks: what must not be in them.
        words: how many consecutive words are an overlap, `SHORTEST` or more.

    Returns:
        A row for each text that overlaps, in order: `text` and `task` (Int64, indices), `ngram` (the first words shared, lower
        case), and `shared` (Int64, at how many places of the text an overlap begins). Of several tasks the first is named.
    """
    known = _words(pl.Series(tasks, dtype=pl.String))
    vocabulary = pl.Enum(known["word"].unique().sort())
    trees = _trees(known, vocabulary, words)
    series, found = pl.Series(texts, dtype=pl.String), list[pl.DataFrame]()
    for first in range(0, len(series), SLICE):
        part = _words(series[first : first + SLICE])
        codes, row, end = _coded(part, vocabulary)
        for length, levels, task in trees:
            places, leaves = _walk(codes, end, levels, len(vocabulary.categories))
            ngram = ["".join(part["word"][int(p) : int(p) + length].str.join(" ")) for p in _firsts(row, places)]
            hits = pl.DataFrame({"text": row[places] + first, "place": places, "task": task[leaves]})
            each = hits.group_by("text", maintain_order=True).agg(
                pl.col("place", "task").first(), shared=pl.len().cast(pl.Int64)
            )
            found.append(each.with_columns(ngram=pl.Series(ngram, dtype=pl.String), place=pl.col("place").cast(pl.Int64)))
    if not found:
        return pl.DataFrame(schema={"text": pl.Int64, "task": pl.Int64, "ngram": pl.String, "shared": pl.Int64})
    return (
        pl.concat(found)
        .sort("text", "place", pl.col("ngram").str.len_chars(), descending=[False, False, True])
        .group_by("text", maintain_order=True)
        .agg(pl.col("task", "ngram").first(), pl.col("shared").sum())
    )


def benchmark_overlap(
    records: pl.DataFrame, benchmarks: Iterable[tuple[str, Mapping[str, str]]], *, words: int
) -> pl.DataFrame:
    """The instructions and answers of `records` (as in `sft.py`) that overlap a benchmark, given by name with its tasks by id.

    Rows of SCHEMA, one a text and benchmark; `competitor` is who gave the answer, and "" of an instruction.
    """
    texts = pl.concat(
        [
            records.select("instruction_id", competitor=pl.lit(""), text="instruction").unique(maintain_order=True),
            records.select("instruction_id", "competitor", text="answer"),
        ]
    )
    found = [pl.DataFrame(schema=SCHEMA)]
    for name, tasks in benchmarks:
        hits = overlaps(texts["text"], list(tasks.values()), words=words)
        task = pl.Series(list(tasks), dtype=pl.String).gather(hits["task"])
        rows = texts[hits["text"]].select("instruction_id", "competitor", benchmark=pl.lit(name))
        rows = rows.with_columns(task.alias("task"), hits["ngram"], hits["shared"])
        found.append(rows.select(pl.format("{}:{}:{}", "instruction_id", "competitor", "benchmark").alias("row_id"), pl.all()))
    return pl.concat(found)


def without(rows: pl.DataFrame, overlap: pl.DataFrame) -> pl.DataFrame:
    """The rows of a data set, in their order, of which neither the instruction nor an answer is in `overlap`."""
    of_instructions = overlap.filter(competitor="")
    rows = rows.join(of_instructions, on="instruction_id", how="anti", maintain_order="left")
    for column in ("competitor", "chosen_competitor", "rejected_competitor"):
        if column in rows.columns:
            given = overlap.select("instruction_id", pl.col("competitor").alias(column))
            rows = rows.join(given, on=["instruction_id", column], how="anti", maintain_order="left")
    return rows


def _words(texts: pl.Series) -> pl.DataFrame:
    """`text` (the row) and `word`, for each word of each text in order."""
    lists = texts.fill_null("").str.to_lowercase().str.extract_all(r"\w+")
    return pl.DataFrame({"text": np.arange(len(texts)), "word": lists}).explode("word").drop_nulls()


def _coded(words: pl.DataFrame, vocabulary: pl.Enum) -> tuple[Ints, Ints, Ints]:
    """Of each word its number (-1: no task has it), its text's row, and where that text ends."""
    codes = words["word"].cast(vocabulary, strict=False).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    row = words["text"].to_numpy()
    return codes, row, np.searchsorted(row, row, side="right")


def _trees(known: pl.DataFrame, vocabulary: pl.Enum, words: int) -> list[tuple[int, list[Ints], Ints]]:
    """For each length of n-gram that tasks have: the length, the sorted keys of each depth, and the first task of each leaf."""
    codes, row, end = _coded(known, vocabulary)
    begin, numeric = np.searchsorted(row, row), known["word"].str.contains(r"^[\d_]+$").to_numpy()
    letters = np.concatenate([[0], np.cumsum(~numeric)])
    place, trees = np.arange(len(codes)), list[tuple[int, list[Ints], Ints]]()
    for length in range(SHORTEST, words + 1):
        # A shorter text is one n-gram, from its first word to its last.
        fits = (place + length <= end) if length == words else (place == begin) & (place + length == end)
        starts = place[fits]
        starts = starts[letters[starts + length] > letters[starts]]
        if len(starts):
            levels, nodes, firsts = list[Ints](), np.zeros(len(starts), dtype=np.int64), starts
            for depth in range(length):
                keys = nodes * len(vocabulary.categories) + codes[starts + depth]
                level, firsts, nodes = np.unique(keys, return_index=True, return_inverse=True)
                levels.append(level)
            trees.append((length, levels, row[starts[firsts]]))
    return trees


def _walk(codes: Ints, end: Ints, levels: list[Ints], size: int) -> tuple[Ints, Ints]:
    """The places, ascending, from which words lead down a whole tree, and the leaf that each comes to."""
    places = np.flatnonzero(np.arange(len(codes)) + len(levels) <= end)
    nodes = np.zeros(len(places), dtype=np.int64)
    for depth, level in enumerate(levels):
        code = codes[places + depth]
        keys = nodes * size + code
        at = np.minimum(np.searchsorted(level, keys), len(level) - 1)
        found = (level[at] == keys) & (code >= 0)
        places, nodes = places[found], at[found]
    return places, nodes


def _firsts(row: Ints, places: Ints) -> Ints:
    """The first place of each text that has any."""
    firsts: Ints = places[np.unique(row[places], return_index=True)[1]]
    return firsts
