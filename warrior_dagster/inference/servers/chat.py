"""Services that only chat, such as private models: messages go to /v1/chat/completions."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from warrior_dagster.config.serving import ChatService
from warrior_dagster.inference.request import ServedModel
from warrior_dagster.inference.servers import endpoint
from warrior_dagster.inference.servers.base import Connection

lock_name = endpoint.lock_name


@contextmanager
def connect(model: ServedModel, settings: ChatService, logs: Path, lock: int) -> Iterator[Connection]:
    """The connection to a service."""
    with endpoint.connect(model, settings, logs, lock) as connection:
        yield connection._replace(chat=True)
