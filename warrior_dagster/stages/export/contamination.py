"""Overlap with benchmarks: a model trained on texts that repeat a benchmark cannot be measured with it.

Two texts overlap if they share a number of consecutive words, or all words of a benchmark's text that is shorter. Ten words are
usual for code (DeepSeek-Coder, arXiv 2401.14196; Qwen2.5-Coder, arXiv 2409.12186). Words are compared in lower case and without
the characters between them, so layout and punctuation do not hide a copy. An overlap of numbers only does not count. In
scripts without spaces each character is compared, and several of them count as one word (`QUARTERS`).
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from warrior_dagster.words import HAN, SPACELESS

MIN_WORDS = 3
"""A benchmark's text with fewer words is ignored."""
WORD = rf"[{SPACELESS}]|[\w--[{SPACELESS}]]+"
"""What is compared as one: a word, or a character of a script without spaces."""
QUARTERS = {f"^[{HAN}]$": 2, f"^[{SPACELESS}]$": 1}
"""How many quarters of a word a character is: half a word in Chinese, less in alphabets and syllabaries. All else is four."""
SLICE = 5_000
"""Texts split into words at a time. This bounds the memory."""
SCHEMA = {
    **dict.fromkeys(("row_id", "instruction_id", "competitor", "benchmark", "task", "ngram"), pl.String),
    "shared": pl.Int64,
}

Ints = NDArray[np.int64]


def overlaps(texts: Sequence[str] | pl.Series, tasks: Sequence[str], *, words: int) -> pl.DataFrame:
    """Find the texts that share `words` (at least `MIN_WORDS`) consecutive words with a task, or all words of a shorter task.

    The search is exact. The tasks' n-grams are a trie with one sorted array per depth, which all positions of the texts descend
    at once. It needs memory for the tasks and one slice of the texts.

    Returns one row for each text that overlaps, in order: `text` and `task` (Int64, indices; the first of several tasks),
    `ngram` (the first shared words, lower case), and `shared` (Int64, number of positions in the text where an overlap begins).
    """
    known = _words(pl.Series(tasks, dtype=pl.String))
    vocabulary = pl.Enum(known["word"].unique().sort())
    tries = _tries(known, vocabulary, words)
    series, found = pl.Series(texts, dtype=pl.String), list[pl.DataFrame]()
    for first in range(0, len(series), SLICE):
        part = _words(series[first : first + SLICE])
        codes, row, end = _coded(part, vocabulary)
        for length, levels, task in tries:
            positions, leaves = _descend(codes, end, levels, len(vocabulary.categories))
            firsts = positions[np.unique(row[positions], return_index=True)[1]]  # of each text
            ngram = ["".join(part["word"][int(p) : int(p) + length].str.join(" ")) for p in firsts]
            hits = pl.DataFrame({"text": row[positions] + first, "position": positions, "task": task[leaves]})
            by_text = hits.group_by("text", maintain_order=True)
            each = by_text.agg(pl.col("position", "task").first(), shared=pl.len().cast(pl.Int64))
            found.append(each.with_columns(ngram=pl.Series(ngram, dtype=pl.String), position=pl.col("position").cast(pl.Int64)))
    if not found:
        return pl.DataFrame(schema={"text": pl.Int64, "task": pl.Int64, "ngram": pl.String, "shared": pl.Int64})
    return (
        pl.concat(found)
        .sort("text", "position", pl.col("ngram").str.len_chars(), descending=[False, False, True])
        .group_by("text", maintain_order=True)
        .agg(pl.col("task", "ngram").first(), pl.col("shared").sum())
    )


def benchmark_overlap(
    records: pl.DataFrame, benchmarks: Iterable[tuple[str, Mapping[str, str]]], *, words: int
) -> pl.DataFrame:
    """The instructions and answers of `records` (as in `sft.py`) that overlap a benchmark, given as name and tasks by id.

    Rows of SCHEMA, one per text and benchmark. `competitor` is the author of the answer, and "" for an instruction. A gold
    answer counts together with its `own_sample`, if there is one: they are one pair.
    """
    instructions = records.select("instruction_id", competitor=pl.lit(""), text="instruction").unique(maintain_order=True)
    texts = pl.concat([instructions, records.select("instruction_id", "competitor", text="answer")])
    if "own_sample" in records.columns:
        rejected = records.filter("gold").drop_nulls("own_sample")
        texts = pl.concat([texts, rejected.select("instruction_id", "competitor", text="own_sample")])
    found = [pl.DataFrame(schema=SCHEMA)]
    for name, tasks in benchmarks:
        hits = overlaps(texts["text"], list(tasks.values()), words=words)
        task = pl.Series(list(tasks), dtype=pl.String).gather(hits["task"])
        rows = texts[hits["text"]].select("instruction_id", "competitor", benchmark=pl.lit(name))
        rows = rows.with_columns(task.alias("task"), hits["ngram"], hits["shared"])
        found.append(rows.select(pl.format("{}:{}:{}", "instruction_id", "competitor", "benchmark").alias("row_id"), pl.all()))
    return pl.concat(found).unique("row_id", keep="first", maintain_order=True)


def remove_overlapping(rows: pl.DataFrame, overlap: pl.DataFrame) -> pl.DataFrame:
    """The rows of a data set without those whose instruction or an answer is in `overlap`. The order is kept."""
    of_instructions = overlap.filter(competitor="")
    rows = rows.join(of_instructions, on="instruction_id", how="anti", maintain_order="left")
    for column in ("competitor", "chosen_competitor", "rejected_competitor"):
        if column in rows.columns:
            given = overlap.select("instruction_id", pl.col("competitor").alias(column))
            rows = rows.join(given, on=["instruction_id", column], how="anti", maintain_order="left")
    return rows


def _words(texts: pl.Series) -> pl.DataFrame:
    """`text` (index) and `word` for each word of each text, in order."""
    lists = texts.fill_null("").str.to_lowercase().str.extract_all(WORD)
    return pl.DataFrame({"text": np.arange(len(texts)), "word": lists}).explode("word").drop_nulls()


def _coded(words: pl.DataFrame, vocabulary: pl.Enum) -> tuple[Ints, Ints, Ints]:
    """For each word: its code (-1 if no task has it), the index of its text, and the position where that text ends."""
    codes = words["word"].cast(vocabulary, strict=False).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    row = words["text"].to_numpy()
    return codes, row, np.searchsorted(row, row, side="right")


def _ngrams(known: pl.DataFrame, row: Ints, end: Ints, words: int) -> Ints:
    """The length of the n-gram that begins at each position, in entries of `known`, and 0 for none."""
    position, begin, quarters = np.arange(len(row)), np.searchsorted(row, row), pl.lit(4)
    for pattern, count in reversed(QUARTERS.items()):
        quarters = pl.when(pl.col("word").str.contains(pattern)).then(count).otherwise(quarters)
    total = np.concatenate([[0], np.cumsum(known.select(quarters.cast(pl.Int64)).to_series().to_numpy())])
    full = np.searchsorted(total, total[position] + 4 * words)
    # A shorter text is one n-gram, from its first word to its last.
    whole = (position == begin) & (total[end] - total[position] >= 4 * MIN_WORDS)
    return np.where(full <= end, full - position, np.where(whole, end - position, 0))


def _tries(known: pl.DataFrame, vocabulary: pl.Enum, words: int) -> list[tuple[int, list[Ints], Ints]]:
    """One trie per n-gram length: the length, the sorted keys of each depth, and the first task of each leaf."""
    codes, row, end = _coded(known, vocabulary)
    numeric = known["word"].str.contains(r"^[\d_]+$").to_numpy()
    letters = np.concatenate([[0], np.cumsum(~numeric)])
    lengths, tries = _ngrams(known, row, end, words), list[tuple[int, list[Ints], Ints]]()
    for length in sorted(set(lengths[lengths > 0].tolist())):
        starts = np.flatnonzero(lengths == length)
        starts = starts[letters[starts + length] > letters[starts]]
        if len(starts):
            levels, nodes, firsts = list[Ints](), np.zeros(len(starts), dtype=np.int64), starts
            for depth in range(length):
                keys = nodes * len(vocabulary.categories) + codes[starts + depth]
                level, firsts, nodes = np.unique(keys, return_index=True, return_inverse=True)
                levels.append(level)
            tries.append((length, levels, row[starts[firsts]]))
    return tries


def _descend(codes: Ints, end: Ints, levels: list[Ints], size: int) -> tuple[Ints, Ints]:
    """The positions, ascending, where an n-gram of the trie begins, and the leaf of each."""
    positions = np.flatnonzero(np.arange(len(codes)) + len(levels) <= end)
    nodes = np.zeros(len(positions), dtype=np.int64)
    for depth, level in enumerate(levels):
        code = codes[positions + depth]
        keys = nodes * size + code
        at = np.minimum(np.searchsorted(level, keys), len(level) - 1)
        found = (level[at] == keys) & (code >= 0)
        positions, nodes = positions[found], at[found]
    return positions, nodes
