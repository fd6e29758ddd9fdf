"""OpenAI-compatible servers that this package does not start."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from warrior_dagster.config.serving import ChatService, Endpoint
from warrior_dagster.inference.request import ServedModel
from warrior_dagster.inference.servers.base import Connection, ServerFailed


@contextmanager
def connect(model: ServedModel, settings: Endpoint | ChatService, logs: Path, lock: int) -> Iterator[Connection]:
    """The connection to servers that already run. Raises ServerFailed if the API key is not set."""
    api_key = os.environ.get(settings.api_key_env, "").strip() if settings.api_key_env else None
    if api_key == "":  # the command line says so before a run; runs of the UI begin without it
        raise ServerFailed(f"expected an API key in the environment variable {settings.api_key_env}; it is not set")
    yield Connection(settings.urls, settings.served_model or model.model, api_key)


def lock_name(model: ServedModel) -> str:
    """A lock for each model: runs that use different models do not wait for each other."""
    return f"model-{blake2b(model.identity.encode(), digest_size=8).hexdigest()}.lock"
