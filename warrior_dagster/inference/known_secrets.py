"""The secrets that a client knows, in every spelling, so that a server that repeats one puts it into no error and no table."""

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from yarl import URL

from warrior_dagster.config.messages import MASK

SHORTEST = 8
"""Characters of a secret. A shorter key is a placeholder, such as EMPTY, which occurs in ordinary text."""


def spellings(api_key: str | None, proxies: Iterable[URL | None]) -> tuple[str, ...]:
    """The API key and the passwords of proxies, as they are and as JSON, Python and URLs write them; the longest first."""
    secrets = [api_key or ""]
    for proxy in proxies:
        if proxy and proxy.password:
            secrets += [proxy.password, b64encode(f"{proxy.user or ''}:{proxy.password}".encode()).decode()]
    found = set[str]()
    for one in secrets:
        if len(one) >= SHORTEST:
            found |= {one, json.dumps(one)[1:-1], repr(one)[1:-1], quote(one), quote(one, safe="")}
    return tuple(sorted(found, key=len, reverse=True))


def without(secrets: Sequence[str], text: str) -> str:
    """The text with a mask in place of each secret."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def repeats(secrets: Sequence[str], value: Any) -> bool:
    """Whether a secret is in a value of JSON, however its characters were escaped."""
    text = json.dumps(value, ensure_ascii=False) if secrets else ""
    return any(json.dumps(secret)[1:-1] in text for secret in secrets)
