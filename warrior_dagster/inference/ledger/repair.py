"""Reading a Lance table that a disk may have damaged: a torn end is cut off, unreadable fragments are found and left out.

Nothing is deleted: an error may pass, and what cannot be read today may be read tomorrow.
"""

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


def cut_torn_end(table: Path) -> bool:
    """Rename and name the newest manifests of a folder that a crash of the machine left torn; what is before them counts.

    Returns False if there were manifests and none is left.
    """
    manifests = sorted((table / "_versions").glob("*.manifest"))  # Lance counts its file names downwards: the newest is first
    for manifest in manifests:
        if manifest.read_bytes().endswith(MANIFEST_END):
            return True
        LOG.warning("%s is torn; the ledger goes on from the version before it", manifest)
        manifest.rename(manifest.with_suffix(".torn"))
    return not any((table / "_versions").glob("*.torn"))


def damaged_fragments(
    dataset: lance.LanceDataset, columns: list[str], among: Set[int] | None = None, name: bool = False
) -> set[int]:
    """The ids of the fragments, all or some, of which some columns cannot be read; with `name`, each is named in a warning."""
    unreadable = set()
    for fragment in dataset.get_fragments():
        if among is not None and fragment.fragment_id not in among:
            continue
        try:
            with damage_found():
                fragment.to_table(columns=columns[:1])
                fragment.take(pa.array(range(fragment.physical_rows)), columns=columns).to_pylist()
        except Damaged as error:
            unreadable.add(fragment.fragment_id)
            if name:
                lost = "%s is damaged: its %d completions are left out and will be asked again (%s)"
                LOG.warning(lost, file_of(dataset, fragment), fragment.physical_rows, error)
    return unreadable


def scan(
    dataset: lance.LanceDataset, columns: list[str], but: Set[int], last: int | None = None
) -> tuple[pa.Table, NDArray[np.int64]]:
    """Some columns of all fragments but some, and the place of each row in the whole table; with `last`, only of the last
    fragments that hold at least so many rows. Raises Damaged.
    """
    whole, places = list[lance.LanceFragment](), [np.empty(0, np.int64)]
    rows, end = 0, sum(fragment.physical_rows for fragment in dataset.get_fragments())
    for fragment in reversed(dataset.get_fragments()):
        end -= fragment.physical_rows
        if fragment.fragment_id not in but and (last is None or rows < last):
            whole.insert(0, fragment)
            places.insert(0, np.arange(end, end + fragment.physical_rows))
            rows += fragment.physical_rows
    with damage_found():
        if whole:  # a scan of no fragments would be one of all
            return dataset.scanner(columns=columns, fragments=whole).to_table(), np.concatenate(places)
    return dataset.schema.empty_table().select(columns), places[0]


def take(dataset: lance.LanceDataset, places: NDArray[np.int64], columns: list[str]) -> list[dict[str, Any]]:
    """The rows at some places. Raises Damaged."""
    with damage_found():
        rows: list[dict[str, Any]] = dataset.take(places, columns=columns).to_pylist()
        return rows


@contextmanager
def damage_found() -> Iterator[None]:
    """Raise Damaged for whatever reading a broken file ends in. A panic of Lance's is no Exception."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise Damaged(str(error)) from error


def file_at(dataset: lance.LanceDataset, place: int) -> str:
    """The file that holds the row at a place."""
    for fragment in dataset.get_fragments():
        if place < fragment.physical_rows:
            return file_of(dataset, fragment)
        place -= fragment.physical_rows
    raise IndexError(place)


def file_of(dataset: lance.LanceDataset, fragment: lance.LanceFragment) -> str:
    """Where a fragment's rows lie."""
    return f"{dataset.uri}/data/{fragment.metadata.files[0].path}"
