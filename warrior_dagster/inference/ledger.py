"""Every completion ever paid for, under the hash of what determines it: one Lance table, appended to and never changed.

Several processes may append at once. A row is there as a whole or not at all, whatever was killed.
"""

import json
import logging
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import lancedb
import pyarrow as pa
import stamina
from lancedb.table import Table

from warrior_dagster.inference.request import Completion, Request

LOG = logging.getLogger(__name__)
FLUSH_SECONDS = 0.15
"""A finished completion waits at most this long before it is durable (the promise is 0.2 s, the write takes milliseconds)."""
APPENDS_PER_COMPACTION = 500

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
    ]
)


class Ledger:
    """The table of completions under a warehouse's URI.

    `append` only queues; a thread writes what has come in every 0.15 s, in the order it came. Use as a context manager: leaving
    it writes the rest. A failure of the writer is raised by the next append, or on leaving.
    """

    def __init__(self, uri: str) -> None:
        self._table = open_or_create(uri)
        self._waiting: list[tuple[Request, Completion]] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._failure: Exception | None = None
        self._appends = 0
        self._writer = threading.Thread(target=self._write, name="ledger", daemon=True)
        self._writer.start()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._wake.set()
        self._writer.join()
        self._raise_failure()
        self.flush()

    def get(self, keys: Sequence[str]) -> dict[str, Completion]:
        """The completions that are there already, by key. Of a key that two processes paid for at once, the first counts."""
        self.flush()  # what came in a moment ago counts as well
        self._table.checkout_latest()  # type: ignore[no-untyped-call]
        if not keys:
            return {}
        quoted = ",".join(f"'{key}'" for key in keys)
        columns = [*READ, "created_at"]
        found = self._table.search().where(f"key IN ({quoted})").select(columns).limit(None).to_arrow()
        rows = found.sort_by([("created_at", "descending"), ("text", "descending")]).to_pylist()
        return {row["key"]: completion(row) for row in rows}

    def append(self, request: Request, completion: Completion) -> None:
        """Queue a completion for the next write. A failed one is not kept: it will be asked again."""
        self._raise_failure()
        if completion.error is None:
            with self._lock:
                self._waiting.append((request, completion))

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

    @stamina.retry(on=(OSError, RuntimeError, ValueError), attempts=5, wait_initial=0.05)
    def _add(self, rows: pa.Table) -> None:
        self._table.add(rows)
        self._appends += 1

    def _compact(self) -> None:
        """Join the many small files of appends; when another process does so at the same time, it is left to that one."""
        try:
            self._table.optimize()
        except (OSError, RuntimeError, ValueError) as error:
            LOG.info("the ledger was not compacted this time: %s", error)

    def _write(self) -> None:
        while not self._closing:
            self._wake.wait(FLUSH_SECONDS)
            try:
                self.flush()
            except Exception as error:
                self._failure = error
                return
            if self._appends >= APPENDS_PER_COMPACTION:
                self._appends = 0
                self._compact()

    def _raise_failure(self) -> None:
        if self._failure:
            raise RuntimeError("the ledger could not be written; completions since then are lost") from self._failure


def open_or_create(uri: str) -> Table:
    """The ledger's table; two processes may want to create it at the same time."""
    database = lancedb.connect(uri)
    try:
        return database.create_table("ledger", schema=SCHEMA, exist_ok=True)
    except (OSError, RuntimeError):
        return database.open_table("ledger")


READ = ["key", "sample", "text", "finish_reason", "prompt_tokens", "completion_tokens", "logprobs", "attempts"]


def completion(row: dict[str, object]) -> Completion:
    """The completion of a ledger row."""
    values = {name: row[name] for name in READ}
    if isinstance(values["logprobs"], str):
        values["logprobs"] = json.loads(values["logprobs"])
    return Completion(**values)  # type: ignore[arg-type]


def to_table(batch: Iterable[tuple[Request, Completion]]) -> pa.Table:
    """Ledger rows of finished completions."""
    now = datetime.now(UTC)
    return pa.Table.from_pylist(
        [
            {
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
            for request, c in batch
        ],
        schema=SCHEMA,
    )
