"""The model hub: whether it can be reached, which is found out once. Its libraries would try for a minute, for each file."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

SECONDS = 5.0
"""Time in which the hub has to answer."""
ASKED_AGAIN_AFTER = 60.0
"""Seconds after which the hub is asked again: a process may live for weeks."""


def unreachable() -> str:
    """Why the hub cannot be used, as the end of a sentence; empty if it can."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE=1 is set, where 0 would use the hub"
    return asked(constants.ENDPOINT, int(time.monotonic() / ASKED_AGAIN_AFTER))


@lru_cache(maxsize=1)
def asked(endpoint: str, _: int) -> str:
    """Why a hub does not answer; empty if it does."""
    from huggingface_hub import get_session

    try:
        status = get_session().head(endpoint, timeout=SECONDS).status_code
    except Exception as error:  # those of the HTTP library, which the hub's library may replace
        return f"{endpoint} cannot be reached ({str(error) or type(error).__name__})"
    return f"{endpoint} answers with status {status}" if status >= 500 else ""


@contextmanager
def cache_if_unreachable() -> Iterator[str]:
    """In this context the hub's libraries use its cache alone, if the hub cannot be reached. Yields why, as `unreachable`."""
    from huggingface_hub import constants

    reason, before = unreachable(), constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = bool(reason)
    try:
        yield reason
    finally:
        constants.HF_HUB_OFFLINE = before
