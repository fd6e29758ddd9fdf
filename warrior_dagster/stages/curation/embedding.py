"""Sentence embeddings of the instructions: the space in which k-centre selects (METHOD, section 3)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from warrior_dagster.config.hub import cache_if_unreachable
from warrior_dagster.config.serving import is_local
from warrior_dagster.config.stages import Embedding
from warrior_dagster.stages.curation.columns import RATED

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

CHUNK = 4096
"""Instructions embedded before they are written: a few seconds of work on a CPU, and a few MB."""


def embed_instructions(kept: pl.DataFrame, settings: Embedding) -> Iterator[pl.DataFrame]:
    """Yield one competitor's instructions with `score`, `embedder` and `vector`, a chunk at a time, longest first.

    The last digits of a vector depend on the other texts of its batch. So a batch holds one competitor only: a row must not
    depend on which partitions a run happens to have. Sorting by length avoids padding.
    """
    by_length = kept.sort(pl.col("instruction").str.len_chars(), "row_id", descending=[True, False])
    for rows in [by_length] if by_length.is_empty() else by_length.iter_slices(CHUNK):
        texts = rows["instruction"].to_list()
        vectors = embed(texts, model=settings.model, revision=settings.revision, batch_size=settings.batch_size)
        column = pl.Series("vector", vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))
        yield rows.select(RATED).with_columns(pl.lit(embedder_name(settings)).alias("embedder"), column)


def embedder_name(settings: Embedding) -> str:
    """The embedding model and its revision, as stored in the column `embedder`."""
    return f"{Path(settings.model).name if is_local(settings.model) else settings.model}@{settings.revision or 'main'}"


def embed(texts: Sequence[str], *, model: str, revision: str | None, batch_size: int = 64) -> NDArray[np.float32]:
    """Embed n texts, each cut at the model's maximum length, on the device that sentence-transformers chooses: shape (n, d).

    `model` is a local folder or a hub id, and `revision` a commit, tag or branch on the hub. Code from the hub is never run.
    The batch size can change the last digits of a vector. Raises OSError if the model cannot be found or loaded.
    """
    # Without texts the library returns no width, so embed one and drop it.
    rows = _load(model, revision).encode(list(texts) or [""], batch_size=batch_size, show_progress_bar=False)
    return np.asarray(rows, dtype=np.float32)[: len(texts)]


@contextmanager
def release_model() -> Iterator[None]:
    """Release the loaded model on exit."""
    try:
        yield
    finally:
        _load.cache_clear()


@lru_cache(maxsize=1)
def _load(model: str, revision: str | None) -> "SentenceTransformer":
    """Load a model once per process. The import is local because it takes seconds and loads torch."""
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    if is_local(model):
        return SentenceTransformer(model, trust_remote_code=False)
    with cache_if_unreachable() as reason:
        try:
            return SentenceTransformer(model, revision=revision, trust_remote_code=False)
        except OSError as error:
            raise OSError(f"{model} is not in the hub's cache, and {reason}" if reason else str(error)) from error
