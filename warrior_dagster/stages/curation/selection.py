"""Curation's algorithms applied to tables: competitor after competitor, so that appending one changes no earlier row."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from warrior_dagster.config.serving import is_local
from warrior_dagster.config.stages import Deduplication, Embedding, Selection
from warrior_dagster.stages.curation.covering import Points
from warrior_dagster.stages.curation.dedup import find_duplicates
from warrior_dagster.stages.curation.embedding import embed
from warrior_dagster.stages.curation.kcenter import k_center_in_parts

INSTRUCTION = ["row_id", "instruction_id", "competitor", "language", "instruction"]
RATED = [*INSTRUCTION, "score"]
CHUNK = 4096
"""Instructions embedded before they are written: some seconds of work on a CPU, and a few MB."""
SAMPLE_ORDER = ["sample", "language", "temperature", "top_p"]
"""Within a competitor the lowest sample number comes first: mining more samples only appends."""


def mark_duplicates(mined: pl.DataFrame, roster: Sequence[str], settings: Deduplication) -> pl.DataFrame:
    """Usable instructions of all competitors given, each with `kept`, and what it duplicates and how much if it is not."""
    usable = mined.filter(status="ok").sort(pl.col("competitor").cast(pl.Enum(list(roster))), *SAMPLE_ORDER)
    found = find_duplicates(usable["instruction"], threshold=settings.threshold, shingle_words=settings.shingle_words)
    return usable.select(*INSTRUCTION, "completion_key").with_columns(
        found["duplicate_of"].is_null().alias("kept"),
        usable["instruction_id"].gather(found["duplicate_of"].fill_null(0)).alias("repeated"),
        found["similarity"],
    ).with_columns(pl.when("kept").then(None).otherwise("repeated").alias("duplicate_of")).drop("repeated")  # fmt: skip


def embedded(kept: pl.DataFrame, settings: Embedding) -> Iterator[pl.DataFrame]:
    """One competitor's instructions with their score and their `vector`, a frame at a time, the longest first.

    The last digits of a vector depend on the batch that it is computed in. Batches of texts of one length waste no padding, and
    must hold one competitor's only: a row must not depend on which partitions a run happens to have.
    """
    by_length = kept.sort(pl.col("instruction").str.len_chars(), "row_id", descending=[True, False])
    for rows in [by_length] if by_length.is_empty() else by_length.iter_slices(CHUNK):
        vectors = embed(
            rows["instruction"].to_list(), model=settings.model, revision=settings.revision, batch_size=settings.batch_size
        )
        column = pl.Series("vector", vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))
        yield rows.select(RATED).with_columns(pl.lit(embedder(settings)).alias("embedder"), column)


def embedder(settings: Embedding) -> str:
    """The embedding model, for the rows that it made."""
    return f"{Path(settings.model).name if is_local(settings.model) else settings.model}@{settings.revision or 'main'}"


def select_centres(
    instructions: pl.DataFrame,
    roster: Sequence[str],
    settings: Selection,
    vectors: Callable[[str, pl.DataFrame], Points],
    device: str = "cpu",
) -> pl.DataFrame:
    """Each competitor's centres, in order of choice (`rank`), given those of the competitors before it in `roster`.

    `vectors` gives the vectors of some rows of a competitor, which come in the order of their ids.
    """
    given: Points | None = None
    parts: list[pl.DataFrame] = []
    for name in roster:
        own = instructions.filter(competitor=name).sort("row_id")

        def read(first: int, last: int, name: str = name, own: pl.DataFrame = own) -> Points:
            return vectors(name, own[first:last])

        chosen, radii, points = k_center_in_parts(read, len(own), settings.centres, given, settings.part_rows, device)
        given = points if given is None else np.concatenate([given, points])
        rank, radius = pl.Series("rank", range(len(chosen)), pl.Int64), pl.Series("radius", radii, pl.Float64)
        parts.append(own[chosen.tolist()].select(RATED).with_columns(rank, radius))
    return pl.concat(parts)
