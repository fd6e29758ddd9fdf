"""The ledger's Lance table: its schema, how it is opened, and how rows and completions are converted into each other."""

import json
import re
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa

from warrior_dagster.inference.ledger.repair import set_aside_torn_manifests
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.inference.validation import impossible
from warrior_dagster.warehouse.locks import file_lock
from warrior_dagster.warehouse.state import local_folder

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
"""The columns of a completion, in the order in which the checksum takes them."""
LANCE_ERRORS = (OSError, ValueError, RuntimeError)  # what Lance raises when it cannot open or write a table


class LedgerError(RuntimeError):
    """The ledger cannot be opened, read or written; the message names the folder and what to do."""


class Unusable(ValueError):
    """A row whose completion cannot be used; it counts as absent and is requested again."""


def in_short(error: BaseException) -> str:
    """An error without the place in Lance's source at its end."""
    return re.sub(r", \S+\.rs:\d+:\d+$", "", str(error).strip())


def table_path(uri: str) -> str:
    """The path of the ledger's table under a warehouse's URI."""
    return f"{uri.rstrip('/')}/ledger.lance"


def open_table(path: str) -> lance.LanceDataset | None:
    """The table, or None if it does not exist. Raises LedgerError if it cannot be opened: as empty, it would be paid again."""
    if not set_aside_torn_manifests(Path(path)):
        raise LedgerError(f"{path}: expected a ledger; no version of it can be read")
    try:
        dataset = lance.dataset(path)
    except LANCE_ERRORS as error:
        if str(error).startswith("Dataset at path") and "was not found" in str(error):  # Lance has no type for it
            return None
        raise LedgerError(f"{path}: expected a ledger, or a place where one can be made: {error}") from error
    if missing := set(SCHEMA.names) - set(dataset.schema.names):
        expected = f"expected the columns of this version; missing: {', '.join(sorted(missing))}"
        raise LedgerError(f"{path}: {expected}. Another version wrote it; move it away to begin a new one")
    return dataset


def open_or_create(path: str) -> lance.LanceDataset:
    """The table, created if it does not exist. Raises LedgerError.

    Creating takes a lock: when two processes create a table at once, Lance lets the second overwrite the first.
    """
    if (dataset := open_table(path)) is not None:
        return dataset
    try:
        with ledger_lock(path.rpartition("/")[0]):
            if (dataset := open_table(path)) is not None:
                return dataset
            return lance.write_dataset(SCHEMA.empty_table(), path, schema=SCHEMA, mode="create")
    except LedgerError:
        raise
    except LANCE_ERRORS as error:
        raise LedgerError(f"{path}: expected a ledger, or a place where one can be made: {error}") from error


def ledger_lock(uri: str) -> AbstractContextManager[int]:
    """The lock of the ledger under a warehouse's URI: for creating it, and for changing more than the end of it."""
    return file_lock(local_folder(uri) / "locks" / "ledger.lock")


def checksum(row: dict[str, Any]) -> str:
    """16 hexadecimal digits over the values of a completion."""
    values = repr([row[name] for name in COMPLETION])
    return blake2b(values.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def completion_of(row: dict[str, Any]) -> Completion:
    """The completion in a row. Raises Unusable."""
    if checksum(row) != row["checksum"]:
        raise Unusable("does not match its checksum")
    logprobs = None if row["logprobs"] is None else json.loads(row["logprobs"])
    completion = Completion(**{name: row[name] for name in COMPLETION} | {"logprobs": logprobs})
    if reason := impossible(completion):  # an earlier version stored whatever a server sent
        raise Unusable(f"is no answer of a model: {reason}")
    return completion


def row_of(request: Request, completion: Completion) -> dict[str, Any]:
    """The row of a finished completion, with the columns of SCHEMA."""
    row = {name: getattr(completion, name) for name in COMPLETION}
    row["logprobs"] = None if completion.logprobs is None else json.dumps(completion.logprobs)
    prompt = request.prompt.encode("utf-8", "replace").decode()  # Arrow takes no half of a surrogate pair
    origin = {"model": request.model.identity, "prompt": prompt, "params": request.params}
    return row | origin | {"created_at": datetime.now(UTC), "checksum": checksum(row)}
