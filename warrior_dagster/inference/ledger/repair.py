"""Reading a Lance table that a disk may have damaged. Nothing is deleted, because an error may be temporary."""

import logging
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

LOG = logging.getLogger(__name__)
MANIFEST_END = b"LANC"


class Damaged(RuntimeError):
    """A file of the table cannot be read."""


def set_aside_torn_manifests(table: Path) -> bool:
    """Rename torn manifests, so that Lance opens the version before them. False if the table has manifests and all are torn."""
    manifests = sorted((table / "_versions").glob("*.manifest"))  # Lance counts its file names down: the newest is first
    for manifest in manifests:
        if manifest.read_bytes().endswith(MANIFEST_END):
            return True
        LOG.warning("%s is torn; the ledger is read as of the version before it", manifest)
        manifest.rename(manifest.with_suffix(".torn"))
    return not any((table / "_versions").glob("*.torn"))


def damaged_fragments(
    dataset: lance.LanceDataset, columns: list[str], among: Set[int] | None = None, warn: bool = False
) -> set[int]:
    """The ids of the fragments whose columns cannot be read, of all fragments or of those `among`. `warn` logs each one."""
    damaged = set()
    for fragment in dataset.get_fragments():
        if among is not None and fragment.fragment_id not in among:
            continue
        try:
            with lance_errors_as_damage():
                fragment.to_table(columns=columns[:1])
                fragment.take(pa.array(range(row_count(fragment))), columns=columns).to_pylist()
        except Damaged as error:
            damaged.add(fragment.fragment_id)
            if warn:
                message = "%s is damaged: its %d completions are left out and will be requested again (%s)"
                LOG.warning(message, file_of(dataset, fragment), row_count(fragment), error)
    return damaged


def scan(
    dataset: lance.LanceDataset, columns: list[str], excluded: Set[int], last: int | None = None
) -> tuple[pa.Table, NDArray[np.int64]]:
    """Columns of all fragments that are not excluded, and the index of each row in the whole table.

    With `last`, only the newest fragments that together hold at least that many rows. Raises Damaged.
    """
    fragments, indices = list[lance.LanceFragment](), [np.empty(0, np.int64)]
    rows, end = 0, sum(row_count(fragment) for fragment in dataset.get_fragments())
    for fragment in reversed(dataset.get_fragments()):
        end -= row_count(fragment)
        if fragment.fragment_id not in excluded and (last is None or rows < last):
            fragments.insert(0, fragment)
            indices.insert(0, np.arange(end, end + row_count(fragment)))
            rows += row_count(fragment)
    with lance_errors_as_damage():
        if fragments:  # a scanner over no fragments would scan all of them
            return dataset.scanner(columns=columns, fragments=fragments).to_table(), np.concatenate(indices)
    return dataset.schema.empty_table().select(columns), indices[0]


def take(dataset: lance.LanceDataset, indices: NDArray[np.int64], columns: list[str]) -> list[dict[str, Any]]:
    """The rows at some indices. Raises Damaged."""
    with lance_errors_as_damage():
        return list(dataset.take(indices, columns=columns).to_pylist())


@contextmanager
def lance_errors_as_damage() -> Iterator[None]:
    """Turn every error of Lance into Damaged. A panic in Lance is a BaseException, not an Exception."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise Damaged(str(error)) from error


def row_count(fragment: lance.LanceFragment) -> int:
    """The number of rows that were not removed."""
    return int(fragment.physical_rows - fragment.num_deletions)


def file_at(dataset: lance.LanceDataset, index: int) -> str:
    for fragment in dataset.get_fragments():
        if index < row_count(fragment):
            return file_of(dataset, fragment)
        index -= row_count(fragment)
    raise IndexError(index)


def file_of(dataset: lance.LanceDataset, fragment: lance.LanceFragment) -> str:
    return f"{dataset.uri}/data/{fragment.metadata.files[0].path}"
