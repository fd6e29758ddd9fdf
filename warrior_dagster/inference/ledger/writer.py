"""Appending to the ledger. Several processes may append at once. A row is written whole or not at all, and never changed."""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import stamina
from lance.optimize import Compaction, CompactionOptions

from warrior_dagster.inference.ledger.journal import Journal, left_behind, rows_in
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.ledger.repair import damaged_fragments
from warrior_dagster.inference.ledger.table import (
    LANCE_ERRORS,
    SCHEMA,
    LedgerError,
    in_short,
    ledger_lock,
    open_or_create,
    row_of,
    table_path,
)
from warrior_dagster.inference.request import Completion, Request

LOG = logging.getLogger(__name__)
FLUSH_SECONDS = 0.1  # between writes of the table; until then a completion is in the journal
APPENDS_PER_COMPACTION = 100
ROWS_PER_FRAGMENT = 10_000  # compaction leaves fragments of this size alone
VERSIONS_KEPT = timedelta(minutes=2)  # other processes may still read an older version of the table for this long


class LedgerWriter(LedgerReader):
    """The ledger under a warehouse's URI, open for appending; created if it does not exist. Its reads see every append.

    `append` stores a completion in the journal and queues it; one thread writes the queue to the table every FLUSH_SECONDS in
    order, another compacts fragments. Leaving the context writes what is queued, and raises LedgerError if that fails.
    """

    def __init__(self, uri: str) -> None:
        self._dataset = open_or_create(table_path(uri))
        super().__init__(uri)
        self._exists = True
        self.verify()
        self._queue: list[dict[str, Any]] = []
        self._queue_lock, self._write_lock = threading.Lock(), threading.Lock()
        self._closing, self._compaction_due = threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._small_fragments = len(self._dataset.get_fragments())
        try:
            with ledger_lock(uri):  # another process that opens the ledger now waits until it finds what was left behind
                self._journal_files = Journal(self._journals)
                self._take_left_behind()
        except LANCE_ERRORS as error:
            raise LedgerError(f"{self._journals}: expected journals that can be read and written: {error}") from error
        self._threads = [threading.Thread(target=run, name="ledger", daemon=True) for run in (self._write, self._compact)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> "LedgerWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._compaction_due.set()
        for thread in self._threads:
            thread.join()
        try:
            self.flush()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a panic in Lance is not an Exception
            self._journal_files.close(remove=False)
            rest = f"the next run writes what {self._journals} has of its last {len(self._queue)} completions"
            raise LedgerError(f"{self._path} could not be written ({in_short(error)}); {rest}") from error
        self._journal_files.close(remove=True)

    def get(self, keys: Sequence[str]) -> dict[str, Completion]:
        """The stored completions of some keys, by key, including those just appended."""
        self.flush()
        return super().get(keys)

    def append(self, request: Request, completion: Completion) -> None:
        """Store a completion: on return it survives the end of this process. A failed one is not stored.

        Raises LedgerError if this or an earlier write failed.
        """
        if completion.error is None:
            row = row_of(request, completion)
            with self._queue_lock:
                self._queue.append(row)
                try:
                    self._journal_files.append(row)
                except OSError as error:
                    self._failure = error
        if self._failure:
            raise LedgerError(f"{self._path} could not be written ({in_short(self._failure)})") from self._failure

    def flush(self) -> None:
        """Write the queue; on return everything appended before is in the table."""
        with self._write_lock:
            batch: list[dict[str, Any]] = []
            try:
                with self._queue_lock:
                    if not self._queue:
                        return
                    batch, self._queue = self._queue, []
                    self._journal_files.turn()
                self._add(pa.Table.from_pylist(batch, schema=SCHEMA))
            except BaseException:
                with self._queue_lock:
                    self._queue = batch + self._queue
                raise
            self._journal_files.written()

    def _take_left_behind(self) -> None:
        """Move what killed processes left in their journals to the table. It may be killed itself, at any moment."""
        for file in left_behind(self._journals):
            rows = rows_in([Path(file.name)])
            stored = self._stored(list(rows))
            if missing := [row for key, row in rows.items() if key not in stored]:
                self._add(pa.Table.from_pylist(missing, schema=SCHEMA))
            Path(file.name).unlink(missing_ok=True)

    def _add(self, rows: pa.Table) -> None:
        # No time limit (the default is 45 s): on a slow disk or network, one attempt of Lance takes half a minute. A context,
        # because retries of a function are logged with its arguments, which are texts.
        for attempt in stamina.retry_context(on=LANCE_ERRORS, attempts=5, timeout=None, wait_initial=0.05):
            with attempt:
                self._dataset = lance.write_dataset(rows, self._dataset, schema=SCHEMA, mode="append")
        self._small_fragments += 1
        if self._small_fragments >= APPENDS_PER_COMPACTION:
            self._small_fragments = 0
            self._compaction_due.set()

    def _write(self) -> None:
        while not self._closing.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except BaseException as error:  # a panic in Lance is not an Exception
                self._failure = error
                return

    def _compact(self) -> None:
        """Join the small fragments of appends. If another process compacts at the same time, this attempt is dropped."""
        cleaned, tried, damaged = time.monotonic(), set[int](), set[int]()
        while self._compaction_due.wait() and not self._closing.is_set():
            self._compaction_due.clear()
            try:
                dataset = lance.dataset(self._path)
                damaged |= damaged_fragments(dataset, SCHEMA.names, among=tried)  # `tried` is not empty after a failure
                # One thread and small batches, because Lance keeps the memory that compaction takes.
                options = CompactionOptions(
                    target_rows_per_fragment=ROWS_PER_FRAGMENT,
                    num_threads=1,
                    batch_size=1024,
                    excluded_fragment_ids=sorted(damaged),
                )
                tasks = Compaction.plan(dataset, options).tasks
                tried = {fragment.id for task in tasks for fragment in task.fragments}
                rewrites = [task.execute(dataset) for task in tasks]
                with self._write_lock:  # a concurrent append would make one of the two start over
                    Compaction.commit(dataset, rewrites, options)
                tried.clear()
                if time.monotonic() - cleaned > VERSIONS_KEPT.total_seconds():  # rarely, because it reads every version
                    cleaned, damaged = time.monotonic(), set[int]()
                    dataset.cleanup_old_versions(VERSIONS_KEPT)
            except BaseException as error:  # a panic in Lance is not an Exception
                LOG.info("the ledger was not compacted this time: %s", error)
