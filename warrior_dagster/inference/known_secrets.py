"""The secrets that a client knows, in every spelling, so that a server that repeats one puts it into no error and no table."""

import json
from base64 import b64encode
from collections.abc import Iterable
from functools import cache
from typing import Any
from urllib.parse import quote

from yarl import URL

from warrior_dagster.config.messages import MASK

SHORTEST = 8
"""Characters of a secret. A shorter key is a placeholder, such as EMPTY, which occurs in ordinary text."""


def spellings(api_key: str | None, proxies: Iterable[URL | None]) -> tuple[str, ...]:
    """The API key and the passwords of proxies, as they are and as JSON, Python and URLs write them."""
    secrets = [api_key or ""]
    for proxy in proxies:
        if proxy and proxy.password:
            secrets += [proxy.password, b64encode(f"{proxy.user or ''}:{proxy.password}".encode()).decode()]
    found = set[str]()
    for one in secrets:
        if len(one) >= SHORTEST:
            found |= {one, json.dumps(one)[1:-1], repr(one)[1:-1], quote(one), quote(one, safe="")}
    return tuple(sorted(found))


def without(secrets: tuple[str, ...], text: str) -> str:
    """The text with a mask in place of each secret, and of its beginning or end: services shorten what they repeat."""
    for part in parts(secrets):
        text = text.replace(part, MASK)
    return text


@cache
def parts(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """The secrets, and of each every beginning and end that is not too short; the longest first."""
    found = {part for one in secrets for size in range(SHORTEST, len(one) + 1) for part in (one[:size], one[-size:])}
    return tuple(sorted(found, key=len, reverse=True))


def repeats(secrets: Iterable[str], value: Any) -> bool:
    """Whether a secret is in any text of a value that was read from JSON."""
    if isinstance(value, str):
        return any(secret in value for secret in secrets)
    if isinstance(value, dict):
        return any(repeats(secrets, one) for pair in value.items() for one in pair)
    return isinstance(value, list) and any(repeats(secrets, one) for one in value)
