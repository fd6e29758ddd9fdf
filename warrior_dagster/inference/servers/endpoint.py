"""OpenAI-compatible servers that this package does not start."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from warrior_dagster.config.serving import ChatService, Endpoint
from warrior_dagster.inference.request import ServedModel
from warrior_dagster.inference.servers.base import Connection


@contextmanager
def connect(model: ServedModel, settings: Endpoint | ChatService, logs: Path, lock: int) -> Iterator[Connection]:
    """The connection to servers that already run."""
    api_key = os.environ[settings.api_key_env].strip() if settings.api_key_env else None
    yield Connection(settings.urls, settings.served_model or model.model, api_key)


def lock_name(model: ServedModel) -> str:
    """A lock for each model: runs that use different models do not wait for each other."""
    return f"model-{blake2b(model.identity.encode(), digest_size=8).hexdigest()}.lock"
