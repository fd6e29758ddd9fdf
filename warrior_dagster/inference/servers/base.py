"""What every kind of server offers to the engines."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from warrior_dagster.inference.http_client import PATIENCE_SECONDS
from warrior_dagster.inference.request import ServedModel

GPU_LOCK = "engine.lock"  # the lock of every server that uses this machine's GPUs: a warehouse's runs start one at a time


class ServerFailed(RuntimeError):
    """A server ended or did not become healthy; the message has the first error of its log, and its end."""


class Connection(NamedTuple):
    """How to reach a served model."""

    urls: tuple[str, ...]  # base URLs, without /v1
    served_model: str  # the model's name at these URLs
    api_key: str | None = None
    patience_s: float = PATIENCE_SECONDS  # how long the servers may be unreachable before a stage stops
    chat: bool = False  # whether they have only /v1/chat/completions


class ServerKind(Protocol):
    """A module of this package: one kind of server."""

    def connect(self, model: ServedModel, settings: Any, logs: Path, lock: int) -> AbstractContextManager[Connection]:
        """Serve a model while the context is open. A started process keeps the lock's descriptor. Raises ServerFailed."""
        ...

    def lock_name(self, model: ServedModel) -> str:
        """The file name of the lock that is held while the model is served."""
        ...
