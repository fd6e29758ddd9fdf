"""Every completion ever paid for, under the hash of what determines it: one Lance table, appended to and never changed.

Several processes may append at once. A row is there as a whole or not at all, whatever was killed. What a disk did to the
files afterwards is found when the ledger is opened or read: a torn end is cut off, an unreadable fragment is named and left
out, and a row that does not match its checksum is no answer. What is lost that way is asked again.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence, Set
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import lance
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import stamina
from lance.optimize import Compaction, CompactionOptions

from warrior_dagster.inference.ledger.repair import Damaged, cut_torn_end, damaged_fragments, file_at, scan, take
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.warehouse.locks import machine_folder, our_turn

LOG = logging.getLogger(__name__)
pa.set_memory_pool(pa.system_memory_pool())  # the default one keeps what the many small tables here took
FLUSH_SECONDS = 0.1
"""A finished completion waits at most this long before it is durable (the promise is 0.2 s, the write takes milliseconds)."""
APPENDS_PER_COMPACTION = 100
ROWS_PER_FRAGMENT = 10_000
"""Fragments that have so many rows are not rewritten by later compactions."""
PASSING_SECONDS = 0.5
"""What cannot be read is tried again after so long, before it counts as damaged."""
VERSIONS_KEPT = timedelta(minutes=2)
"""Other processes may still read a table's older version for this long."""

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("params", pa.string(), nullable=False),
        pa.field("sample", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("finish_reason", pa.string(), nullable=False),
        pa.field("prompt_tokens", pa.int32(), nullable=False),
        pa.field("completion_tokens", pa.int32(), nullable=False),
        pa.field("logprobs", pa.string()),
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("checksum", pa.string(), nullable=False),
    ]
)
COMPLETION = ("key", "sample", "text", "finish_reason", "prompt_tokens", "completion_tokens", "logprobs", "attempts")
"""The columns that make a completion, in the order that the checksum takes them."""
STORED = [*COMPLETION, "checksum"]
QUESTION = ("key", "model", "prompt", "params", "sample")
DAMAGE = (OSError, ValueError, RuntimeError)
"""What Lance raises for what it cannot write or open."""

Result = TypeVar("Result")


class LedgerError(RuntimeError):
    """The ledger cannot be opened, read or written; the message names the folder and what to do."""


class Ledger:
    """The table of completions under a warehouse's URI.

    `append` only queues; a thread writes what has come in every 0.1 s, in the order it came, another joins fragments.
    Use as a context manager: leaving it writes the rest. A failure of the writer is raised by the next append; leaving it
    tries once more, and raises if what waits is lost.
    """

    def __init__(self, uri: str) -> None:
        self._path = f"{uri.rstrip('/')}/ledger.lance"
        self._dataset = open_or_create(self._path)
        self._damaged: set[int] = set()
        self._read(lambda dataset: scan(dataset, STORED[:1], self._damaged), STORED)
        self._waiting: list[tuple[Request, Completion]] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._closing = threading.Event()
        self._crowded = threading.Event()
        self._failure: BaseException | None = None
        self._small = len(self._dataset.get_fragments())
        self._threads = [threading.Thread(target=run, name="ledger", daemon=True) for run in (self._write, self._compact)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._crowded.set()
        for thread in self._threads:
            thread.join()
        try:
            self.flush()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a panic of Lance's is no Exception
            raise LedgerError(f"{self._path} could not be written; {len(self._waiting)} completions are lost") from error

    def get(self, keys: Sequence[str]) -> dict[str, Completion]:
        """The completions that are there already, by key. Of a key that is there twice, the first counts."""
        self.flush()  # what came in a moment ago counts as well
        if not keys:
            return {}
        return self._read(lambda dataset: found(dataset, keys, self._damaged), STORED)

    def questions(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What completions were asked for: the columns of QUESTION, by key; keys that are not there are left out."""
        return self._read(lambda dataset: asked(dataset, keys, self._damaged), list(QUESTION)) if keys else {}

    def newest(self, count: int, columns: list[str]) -> pl.DataFrame:
        """Some columns of the rows that came last."""
        rows, _ = self._read(lambda dataset: scan(dataset, columns, self._damaged, last=count), columns)
        frame = pl.from_arrow(rows.slice(max(0, len(rows) - count)))
        assert isinstance(frame, pl.DataFrame)
        return frame

    def _read(self, read: Callable[[lance.LanceDataset], Result], columns: list[str]) -> Result:
        """Read the table as it is now, without the fragments that turn out to be damaged.

        Raises LedgerError when it is not a few of many: then the disk or the network is the likelier reason, and an empty
        answer would pay for everything again.
        """
        dataset = lance.dataset(self._path)
        if self._damaged:  # it may have passed
            self._damaged = damaged_fragments(dataset, columns, among=self._damaged)
        try:
            return read(dataset)
        except Damaged:
            suspects = damaged_fragments(dataset, columns)
        time.sleep(PASSING_SECONDS)
        self._damaged |= damaged_fragments(dataset, columns, among=suspects, name=True)
        fragments = len(dataset.get_fragments())
        if 2 * len(self._damaged) > fragments:
            raise LedgerError(f"{self._path}: {len(self._damaged)} of {fragments} fragments cannot be read")
        try:
            return read(dataset)
        except Damaged as error:
            raise LedgerError(f"{self._path} could not be read: {error}") from error

    def append(self, request: Request, completion: Completion) -> None:
        """Queue a completion for the next write. A failed one is not kept: it will be asked again.

        Raises LedgerError once a write has failed; what is queued is tried again on leaving.
        """
        if completion.error is None:
            with self._lock:
                self._waiting.append((request, completion))
        if self._failure:
            raise LedgerError(f"{self._path} could not be written") from self._failure

    def flush(self) -> None:
        """Write what waits; on return everything appended before is durable."""
        with self._writing:
            with self._lock:
                batch, self._waiting = self._waiting, []
            try:
                if batch:
                    self._add(to_table(batch))
            except BaseException:
                with self._lock:
                    self._waiting = batch + self._waiting
                raise

    # Without a limit of its own (45 s if none is given): where disk or network is slow, one attempt takes Lance half a minute.
    @stamina.retry(on=DAMAGE, attempts=5, timeout=None, wait_initial=0.05)
    def _add(self, rows: pa.Table) -> None:
        self._dataset = lance.write_dataset(rows, self._dataset, schema=SCHEMA, mode="append")
        self._small += 1
        if self._small >= APPENDS_PER_COMPACTION:
            self._small = 0
            self._crowded.set()

    def _write(self) -> None:
        while not self._closing.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except BaseException as error:  # a panic of Lance's is no Exception
                self._failure = error
                return

    def _compact(self) -> None:
        """Join the many small fragments of appends; when another process does so at the same time, it is left to that one."""
        cleaned, tried, unfit = time.monotonic(), set[int](), set[int]()
        while self._crowded.wait() and not self._closing.is_set():
            self._crowded.clear()
            try:
                compacted = lance.dataset(self._path)
                unfit |= damaged_fragments(compacted, SCHEMA.names, among=tried)  # if that is why it failed the last time
                # One thread and small batches: what more would take of memory, it would keep.
                options = CompactionOptions(
                    target_rows_per_fragment=ROWS_PER_FRAGMENT,
                    num_threads=1,
                    batch_size=1024,
                    excluded_fragment_ids=sorted(unfit),
                )
                tasks = Compaction.plan(compacted, options).tasks
                tried = {fragment.id for task in tasks for fragment in task.fragments}
                rewrites = [task.execute(compacted) for task in tasks]
                with self._writing:  # an append at the same moment would have one of the two begin again
                    Compaction.commit(compacted, rewrites, options)
                tried.clear()
                if time.monotonic() - cleaned > VERSIONS_KEPT.total_seconds():  # it reads every version there is
                    cleaned, unfit = time.monotonic(), set[int]()
                    compacted.cleanup_old_versions(VERSIONS_KEPT)
            except BaseException as error:  # a panic of Lance's is no Exception
                LOG.info("the ledger was not compacted this time: %s", error)


def open_or_create(path: str) -> lance.LanceDataset:
    """The ledger's table, whole; two processes may want to create it at the same time. Raises LedgerError."""
    if not cut_torn_end(Path(path)):  # an empty ledger in its place would pay for everything again
        raise LedgerError(f"{path}: expected a ledger; no version of it can be read")
    try:
        dataset = lance.dataset(path)
    except DAMAGE:
        dataset = create(path)
    if missing := set(SCHEMA.names) - set(dataset.schema.names):
        lacking = f"expected the columns of this version; there is no {', '.join(sorted(missing))}"
        raise LedgerError(f"{path}: {lacking}. Another version wrote it; move it away to begin a new one")
    return dataset


def create(path: str) -> lance.LanceDataset:
    """A new table, or the one that another process made a moment ago. Raises LedgerError.

    One at a time: of two that Lance creates at once the second takes the first's place, with all that was appended to it.
    """
    try:
        with our_turn(machine_folder(path.rpartition("/")[0]) / "locks" / "ledger.lock"):
            try:
                return lance.dataset(path)
            except DAMAGE:
                return lance.write_dataset(SCHEMA.empty_table(), path, schema=SCHEMA, mode="create")
    except DAMAGE as error:
        raise LedgerError(f"{path}: expected a ledger, or a place where one can be made: {error}") from error


def found(dataset: lance.LanceDataset, keys: Sequence[str], but: Set[int]) -> dict[str, Completion]:
    """The completions of some keys, the first row of each that matches its checksum, in all fragments but some."""
    every, places = scan(dataset, STORED[:1], but)
    wanted = places[pc.is_in(every["key"], value_set=pa.array(keys, pa.string())).to_numpy()]
    completions: dict[str, Completion] = {}
    for place, row in zip(wanted.tolist(), take(dataset, wanted, STORED), strict=True):
        if checksum(row) != row["checksum"]:
            LOG.warning("%s: a completion does not match its checksum and will be asked again", file_at(dataset, place))
        elif row["key"] not in completions:
            logprobs = None if row["logprobs"] is None else json.loads(row["logprobs"])
            values = {name: row[name] for name in COMPLETION}
            completions[row["key"]] = Completion(**values | {"logprobs": logprobs})
    return completions


def asked(dataset: lance.LanceDataset, keys: Sequence[str], but: Set[int]) -> dict[str, dict[str, Any]]:
    """The columns of QUESTION of the first row of each key, in all fragments but some."""
    every, places = scan(dataset, STORED[:1], but)
    wanted = places[pc.is_in(every["key"], value_set=pa.array(keys, pa.string())).to_numpy()]
    questions: dict[str, dict[str, Any]] = {}
    for row in take(dataset, wanted, list(QUESTION)):
        questions.setdefault(row["key"], row)
    return questions


def checksum(row: dict[str, Any]) -> str:
    """16 hexadecimal digits over the values of a completion."""
    values = repr([row[name] for name in COMPLETION])
    return blake2b(values.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def to_table(batch: Iterable[tuple[Request, Completion]]) -> pa.Table:
    """Ledger rows of finished completions."""
    return pa.Table.from_pylist(list(map(partial(row_of, now=datetime.now(UTC)), *zip(*batch, strict=True))), schema=SCHEMA)


def row_of(request: Request, c: Completion, now: datetime) -> dict[str, Any]:
    """The ledger's row of a completion."""
    row = {
        "key": c.key,
        "model": request.model.identity,
        "prompt": request.prompt,
        "params": request.params,
        "sample": c.sample,
        "text": c.text,
        "finish_reason": c.finish_reason,
        "prompt_tokens": c.prompt_tokens,
        "completion_tokens": c.completion_tokens,
        "logprobs": None if c.logprobs is None else json.dumps(c.logprobs),
        "attempts": c.attempts,
        "created_at": now,
    }
    return row | {"checksum": checksum(row)}
