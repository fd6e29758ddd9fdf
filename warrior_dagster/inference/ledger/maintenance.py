"""Looking through the whole ledger for what should not be in it, and removing completions, so that they are requested again.

Rows that no model can have said count as absent, and need no removal. What may be a sound answer is only named here: the user
decides, because asking again costs money.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Set
from pathlib import Path
from typing import Any, NamedTuple

import lance
import polars as pl
import stamina

from warrior_dagster.inference.ledger.journal import folder_of
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.ledger.repair import damaged_fragments, file_of
from warrior_dagster.inference.ledger.table import (
    COMPLETION,
    LANCE_ERRORS,
    SCHEMA,
    Unusable,
    completion_of,
    open_table,
    table_path,
)
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.validation import unanswered

VERIFIED = [*COMPLETION, "model", "prompt", "params", "checksum"]
ROWS_PER_BATCH = 10_000


class Fault(NamedTuple):
    """A row of the ledger that is wrong, or may be. A key may have several rows; the checksum tells them apart."""

    key: str
    checksum: str
    model: str
    reason: str


def summary(uri: str) -> tuple[pl.DataFrame, int]:
    """One row for each model (model, completions, tokens, first, last), and the bytes on disk (0 in an object store).

    Raises LedgerError.
    """
    rows = LedgerReader(uri).newest(2**62, ["model", "completion_tokens", "created_at"])
    tokens, written = pl.col("completion_tokens").sum(), pl.col("created_at").dt.strftime("%Y-%m-%d %H:%M")
    counts = rows.group_by("model").agg(completions=pl.len(), tokens=tokens, first=written.min(), last=written.max())
    return counts.sort("model"), sum(file.stat().st_size for file in Path(table_path(uri)).rglob("*") if file.is_file())


def stored(uri: str, beginning: str) -> list[dict[str, Any]]:
    """All rows whose key begins so, oldest first. Raises LedgerError."""
    dataset, damaged = whole_table(uri)
    rows = [row for _, row in rows_with(dataset, SCHEMA.names, damaged) if row["key"].startswith(beginning)] if dataset else []
    return [row | {"created_at": row["created_at"].isoformat(timespec="seconds")} for row in rows]


def verify(uri: str) -> tuple[list[Fault], list[str]]:
    """The rows that are wrong or doubtful, and the files that cannot be read. Raises LedgerError.

    Doubtful are constrained answers without what was asked for, and empty texts of several tokens: a server may have sent the
    text under another name. (The tokens of a request are known only for all of its samples together.)
    """
    dataset, damaged = whole_table(uri)
    if dataset is None:
        return [], []
    found, empty = list[Fault](), list[tuple[int, Fault]]()
    spoken, tokens = set[int](), Counter[int]()
    for _, row in rows_with(dataset, VERIFIED, damaged):
        request = hash((row["model"], row["prompt"], row["params"]))
        named = row["key"], row["checksum"], row["model"]
        if reason := fault_of(row):
            found.append(Fault(*named, reason))
        elif row["text"]:
            spoken.add(request)
        else:
            tokens[request] += row["completion_tokens"] - 1  # the end of the turn is one
            empty.append((request, Fault(*named, "no text, although the server counted tokens")))
    found += [fault for request, fault in empty if request not in spoken and tokens[request] > 0]
    return found, [file_of(dataset, fragment) for fragment in dataset.get_fragments() if fragment.fragment_id in damaged]


def fault_of(row: dict[str, Any]) -> str:
    """What is wrong with a row of the columns VERIFIED, or ""."""
    try:
        return unanswered(row["params"], completion_of(row))
    except Unusable as error:
        return f"it {error}"


@stamina.retry(on=LANCE_ERRORS, attempts=5, timeout=None, wait_initial=0.05)
def drop(uri: str, faults: Iterable[Fault] = (), keys: Collection[str] = ()) -> int:
    """Remove rows: those of `faults`, and all of the `keys`. Returns how many. Others may append meanwhile. Raises LedgerError.

    Files that cannot be read are left alone, because the error may be temporary.
    """
    if any(folder_of(uri).glob("*.jsonl")):
        with LedgerWriter(uri):  # moves what killed processes left in their journals to the table
            pass
    dataset, damaged = whole_table(uri)
    if dataset is None:
        return 0
    unwanted, count = {(fault.key, fault.checksum) for fault in faults}, 0
    conditions: dict[int, set[str]] = defaultdict(set)
    for fragment, row in rows_with(dataset, ["key", "checksum"], damaged):
        if row["key"] in keys or (row["key"], row["checksum"]) in unwanted:
            key, checksum = (row[name].replace("'", "''") for name in ("key", "checksum"))
            conditions[fragment].add(f"(key = '{key}' AND checksum = '{checksum}')")
            count += 1
    if conditions:
        affected = [fragment for fragment in dataset.get_fragments() if fragment.fragment_id in conditions]
        left = {one.fragment_id: one.delete(" OR ".join(sorted(conditions[one.fragment_id]))) for one in affected}
        changed, emptied = [new for new in left.values() if new], [one for one, new in left.items() if not new]
        deletion = lance.LanceOperation.Delete(changed, emptied, "warrior ledger drop")
        lance.LanceDataset.commit(dataset, deletion, read_version=dataset.version)
    return count


def whole_table(uri: str) -> tuple[lance.LanceDataset | None, set[int]]:
    """The table, None if there is none, and the ids of the fragments that cannot be read. Raises LedgerError."""
    dataset = open_table(table_path(uri))
    return dataset, set() if dataset is None else damaged_fragments(dataset, SCHEMA.names)


def rows_with(dataset: lance.LanceDataset, columns: list[str], excluded: Set[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """All rows outside the excluded fragments, oldest first, each with the id of its fragment."""
    for fragment in dataset.get_fragments():
        if fragment.fragment_id not in excluded:
            for batch in fragment.to_batches(columns=columns, batch_size=ROWS_PER_BATCH):
                for row in batch.to_pylist():
                    yield fragment.fragment_id, row
