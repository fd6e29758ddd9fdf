"""Embedding into LanceDB against sentence-transformers' own `encode` of the same texts: what streaming them to disk costs."""

import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.measure import QUICK, instructions, paired, result
from warrior_dagster.config.stages import Embedding
from warrior_dagster.stages.curation import embedding
from warrior_dagster.warehouse.tables import Warehouse


def main() -> None:
    """The ratio of the times, and the largest difference of a number."""
    n = 300 if QUICK else 4_000
    texts = instructions(n)
    settings = Embedding(model=str(Path("models/all-MiniLM-L6-v2").absolute()))
    ids = [f"{number:08d}" for number in range(n)]
    kept = pl.DataFrame(
        {"row_id": ids, "instruction_id": ids, "competitor": "a", "language": "Python", "instruction": texts, "score": 7.0}
    )
    model = embedding._load(settings.model, settings.revision)
    with tempfile.TemporaryDirectory() as folder:
        warehouse, partitions = Warehouse(folder), map(str, count())

        def stream() -> None:
            """Write to a new partition: equal rows would not be written to the same one again."""
            warehouse.write("instruction_embeddings", next(partitions), embedding.embed_instructions(kept, settings))

        stream()
        found = list[Any]()
        mine, theirs, ratio = paired(
            stream, lambda: found.append(model.encode(texts, batch_size=settings.batch_size)), rounds=3
        )
        result("embedding", "s", mine, "encode", theirs, ratio, n, least=0.95)
        vectors = warehouse.vectors("instruction_embeddings", "0", pl.Series(ids))
    difference = float(np.abs(vectors - found[-1]).max())
    result("embedding", "largest difference", difference, "encode", 1e-5, 1e-5 / max(difference, 1e-9), n, least=1)


if __name__ == "__main__":
    main()
