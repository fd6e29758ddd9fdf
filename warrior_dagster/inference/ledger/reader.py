"""Reading the ledger. Starts no thread, and changes nothing."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence, Set
from functools import partial
from typing import Any, TypeVar

import lance
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from warrior_dagster.inference.ledger.journal import folder_of, rows_in
from warrior_dagster.inference.ledger.repair import Damaged, damaged_fragments, file_at, lance_errors_as_damage, scan, take
from warrior_dagster.inference.ledger.table import (
    COMPLETION,
    SCHEMA,
    LedgerError,
    Unusable,
    completion_of,
    open_table,
    table_path,
)
from warrior_dagster.inference.request import Completion

LOG = logging.getLogger(__name__)
STORED_COMPLETION = [*COMPLETION, "checksum"]
STORED_REQUEST = ["key", "model", "prompt", "params", "sample"]
RETRY_SECONDS = 0.5  # a fragment that cannot be read is read again after this time, before it counts as damaged

Result = TypeVar("Result")


class LedgerReader:
    """The completions stored under a warehouse's URI, as they are at each read. A ledger that does not exist reads as empty.

    Unreadable fragments and unusable rows are logged and left out, so that their completions are requested again. Nothing is
    opened before the first read. Reading raises LedgerError.
    """

    def __init__(self, uri: str) -> None:
        self._path, self._journals = table_path(uri), folder_of(uri)
        self._exists = False
        self._damaged: set[int] = set()

    def verify(self) -> None:
        """Read all keys. Raises LedgerError."""
        self._read(lambda dataset: scan(dataset, ["key"], self._damaged), STORED_COMPLETION)

    def get(self, keys: Sequence[str]) -> dict[str, Completion]:
        """The stored completions of some keys, by key. If a key was stored twice, the first row counts."""
        if not keys:
            return {}
        journal = self._journal(keys)
        return usable((row, lambda: str(self._journals)) for row in journal.values()) | self._stored(keys)

    def requests(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The requests of some stored completions, by key: the columns of STORED_REQUEST."""
        if not keys:
            return {}
        journal = self._journal(keys)
        read = self._read(lambda d: take(d, indices_of(d, keys, self._damaged), STORED_REQUEST), STORED_REQUEST) or []
        found = {row["key"]: row for row in reversed(read)}  # the first row of a key counts
        return {key: {name: row[name] for name in STORED_REQUEST} for key, row in journal.items()} | found

    def models(self) -> dict[str, int]:
        """The number of completions of each model, by identity."""
        read = self._read(lambda dataset: scan(dataset, ["model"], self._damaged)[0], ["model"])
        return {} if read is None else {one["values"]: one["counts"] for one in pc.value_counts(read["model"]).to_pylist()}

    def parameters(self, prompts: Sequence[str]) -> set[tuple[str, str, str]]:
        """The model, prompt and parameters of all stored completions of some prompts. Reads every prompt, but keeps none."""
        columns, wanted = ["model", "prompt", "params"], pc.field("prompt").isin(prompts)

        def matching(dataset: lance.LanceDataset) -> pa.Table:
            fragments = [one for one in dataset.get_fragments() if one.fragment_id not in self._damaged]
            with lance_errors_as_damage():
                return dataset.scanner(columns, filter=wanted, fragments=fragments).to_table()

        read = self._read(matching, columns) if prompts else None
        return set() if read is None else set(zip(*(read[name].to_pylist() for name in columns), strict=True))

    def newest(self, count: int, columns: list[str]) -> pl.DataFrame:
        """Some columns of the newest `count` rows, oldest first."""
        read = self._read(lambda dataset: scan(dataset, columns, self._damaged, last=count)[0], columns)
        rows = SCHEMA.empty_table().select(columns) if read is None else read
        return pl.DataFrame(rows.slice(max(0, len(rows) - count)))

    def _journal(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The rows of some keys that were not in the table a moment ago. Read it first: rows move from here to the table."""
        rows = rows_in(sorted(self._journals.glob("*.jsonl")))
        return {key: rows[key] for key in rows.keys() & set(keys)}

    def _stored(self, keys: Sequence[str]) -> dict[str, Completion]:
        """As `get`, of the table alone."""
        return self._read(lambda dataset: completions(dataset, keys, self._damaged), STORED_COMPLETION) or {}

    def _read(self, read: Callable[[lance.LanceDataset], Result], columns: list[str]) -> Result | None:
        """Apply `read` to the table without its damaged fragments; None if the table does not exist.

        Raises LedgerError if more than half are unreadable: the disk or network is the likelier reason, and an empty result
        would pay for everything again.
        """
        dataset = lance.dataset(self._path) if self._exists else open_table(self._path)
        if dataset is None:
            return None
        self._exists = True
        if self._damaged:  # the error may have been temporary
            self._damaged = damaged_fragments(dataset, columns, among=self._damaged)
        try:
            return read(dataset)
        except Damaged:
            suspects = damaged_fragments(dataset, columns)
        time.sleep(RETRY_SECONDS)
        self._damaged |= damaged_fragments(dataset, columns, among=suspects, warn=True)
        fragments = len(dataset.get_fragments())
        if 2 * len(self._damaged) > fragments:
            raise LedgerError(f"{self._path}: {len(self._damaged)} of {fragments} fragments cannot be read")
        try:
            return read(dataset)
        except Damaged as error:
            raise LedgerError(f"{self._path} could not be read: {error}") from error


def completions(dataset: lance.LanceDataset, keys: Sequence[str], excluded: Set[int]) -> dict[str, Completion]:
    """The completion of each key: the first usable row, outside the excluded fragments."""
    indices = indices_of(dataset, keys, excluded)
    rows = take(dataset, indices, STORED_COMPLETION)
    return usable((row, partial(file_at, dataset, index)) for index, row in zip(indices.tolist(), rows, strict=True))


def usable(rows: Iterable[tuple[dict[str, Any], Callable[[], str]]]) -> dict[str, Completion]:
    """The completions of rows by key, the first of each; unusable rows are logged, with the place that is given with each."""
    found: dict[str, Completion] = {}
    for row, place in rows:
        try:
            found.setdefault(row["key"], completion_of(row))
        except Unusable as error:
            LOG.warning("%s: completion %s %s; it will be requested again", place(), row["key"], error)
    return found


def indices_of(dataset: lance.LanceDataset, keys: Sequence[str], excluded: Set[int]) -> NDArray[np.int64]:
    """The indices of all rows with one of the keys, outside the excluded fragments."""
    stored, indices = scan(dataset, ["key"], excluded)
    wanted: NDArray[np.bool_] = pc.is_in(stored["key"], value_set=pa.array(keys, pa.string())).to_numpy()
    return indices[wanted]
