"""Curation's algorithms applied to tables: competitor after competitor, so that appending one changes no earlier row."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from warrior_dagster.arena import Deduplication, Embedding, Selection, is_local
from warrior_dagster.curation.dedup import find_duplicates
from warrior_dagster.curation.embedding import embed
from warrior_dagster.curation.kcenter import k_center_greedy

INSTRUCTION = ["row_id", "instruction_id", "competitor", "language", "instruction"]
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


def embedded(kept: pl.DataFrame, settings: Embedding) -> pl.DataFrame:
    """The instructions with their score and their `vector`.

    Each competitor's are embedded apart: the last digits of a vector depend on the batch it is computed in, and a row must not
    depend on which partitions a run happens to have.
    """
    vectors = [
        embed(
            kept.filter(competitor=name)["instruction"].to_list(),
            model=settings.model,
            revision=settings.revision,
            batch_size=settings.batch_size,
        )
        for name in kept["competitor"].unique(maintain_order=True)
    ] or [embed([], model=settings.model, revision=settings.revision)]
    together = np.concatenate(vectors)
    column = pl.Series("vector", together, dtype=pl.Array(pl.Float32, together.shape[1]))
    return kept.select(*INSTRUCTION, "score").with_columns(pl.lit(embedder(settings)).alias("embedder"), column)


def embedder(settings: Embedding) -> str:
    """The embedding model, for the rows that it made."""
    return f"{Path(settings.model).name if is_local(settings.model) else settings.model}@{settings.revision or 'main'}"


def select_centres(instructions: pl.DataFrame, roster: Sequence[str], settings: Selection) -> pl.DataFrame:
    """Each competitor's centres, in order of choice (`rank`), given those of the competitors before it in `roster`."""
    given = np.empty((0, instructions.schema["vector"].shape[0]), dtype=np.float32)  # type: ignore[attr-defined]
    parts: list[pl.DataFrame] = []
    for name in roster:
        own = instructions.filter(competitor=name).sort("row_id")
        points = own["vector"].to_numpy().reshape(len(own), given.shape[1])
        chosen, radii = k_center_greedy(points, settings.centres, given)
        given = np.concatenate([given, points[chosen]])
        rank, radius = pl.Series("rank", range(len(chosen)), pl.Int64), pl.Series("radius", radii, pl.Float64)
        parts.append(own[chosen.tolist()].drop("vector", "embedder", strict=False).with_columns(rank, radius))
    return pl.concat(parts)
