"""Sentence embeddings of the instructions, the space in which k-centre selects (METHOD, section 3)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def embed(texts: Sequence[str], *, model: str, revision: str | None, batch_size: int = 64) -> NDArray[np.float32]:
    """Embed each text, on the device that sentence-transformers picks.

    Args:
        texts: n texts; each is cut at the model's maximum length.
        model: a local folder or a hub id of a sentence-transformers model. Code from the hub is never run.
        revision: commit, tag or branch on the hub; None for its default branch or a folder.
        batch_size: texts in one forward pass. It may move the last digits of a row.

    Returns:
        Shape (n, d), rows in the order of the texts; (0, d) for no texts.

    Raises:
        OSError: the model cannot be found or loaded.
    """
    # With no texts the library forgets the width, so embed one and drop it.
    rows = _load(model, revision).encode(list(texts) or [""], batch_size=batch_size, show_progress_bar=False)
    return np.asarray(rows, dtype=np.float32)[: len(texts)]


@contextmanager
def loaded() -> Iterator[None]:
    """Keep the model that is used within in memory, and let go of it at the end."""
    try:
        yield
    finally:
        _load.cache_clear()


@lru_cache(maxsize=1)
def _load(model: str, revision: str | None) -> "SentenceTransformer":
    """Load a model once a process. The import is here because it takes seconds and pulls in torch."""
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return SentenceTransformer(model, revision=revision, trust_remote_code=False)
