"""The secrets that a client knows, in all usual spellings: a server that repeats one puts it into no error and no table."""

import html
import json
import re
from base64 import b64encode
from collections.abc import Iterable
from itertools import takewhile
from typing import Any
from urllib.parse import quote, unquote

from yarl import URL

from warrior_dagster.config.messages import MASK

SHORTEST = 8
"""Characters of a secret. A shorter key is a placeholder, such as EMPTY, which occurs in ordinary text."""
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
"""As JSON and most programming languages write a character. Some services escape more characters than they have to."""


def spellings(api_key: str | None, proxies: Iterable[URL | None]) -> tuple[str, ...]:
    """The API key and the passwords of proxies, as they are and as JSON, Python, URLs and headers write them."""
    secrets = [api_key or ""]
    for proxy in proxies:
        if proxy and proxy.password:
            secrets += [proxy.password, b64encode(f"{proxy.user or ''}:{proxy.password}".encode()).decode()]
    found = set[str]()
    for one in secrets:
        if len(one) >= SHORTEST:
            found |= {one, json.dumps(one)[1:-1], repr(one)[1:-1], quote(one), quote(one, safe="")}
            found |= {b64encode(whole.encode()).decode() for whole in (one, f":{one}", f"{one}:")}
    return tuple(sorted(found, key=len, reverse=True))


def without(secrets: tuple[str, ...], text: str) -> str:
    """The text with a mask in place of each secret, and of its beginning or end: services shorten what they repeat.

    If one is there in other escapes than `spellings` has, the whole text is masked.
    """
    shown = masked(secrets, text)
    whole = any(secret in reading and secret not in text for reading in readings(text) for secret in secrets)
    part = any(masked(secrets, reading) != reading for reading in readings(shown))
    return MASK if whole or part else shown


def masked(secrets: tuple[str, ...], text: str) -> str:
    """The text with a mask in place of each of the secrets, and of its beginning or end."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    for secret in secrets:
        text = without_beginning(secret, text)
        text = without_beginning(secret[::-1], text[::-1])[::-1]
    return text


def without_beginning(secret: str, text: str) -> str:
    """The text with a mask in place of each beginning of the secret that is not too short."""
    shown, at = "", 0
    while (start := text.find(secret[:SHORTEST], at)) >= 0:
        shown += text[at:start] + MASK
        pairs = zip(secret, text[start : start + len(secret)], strict=False)
        at = start + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return shown + text[at:]


def readings(text: str) -> Iterable[str]:
    """What a text says if it is escaped as in JSON, JSON in JSON, HTML or a URL."""
    once = ESCAPE.sub(unescaped, text)
    return once, ESCAPE.sub(unescaped, once), html.unescape(text), unquote(text)


def unescaped(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    return chr(int(code, 16)) if code else found[3]


def repeats(secrets: Iterable[str], value: Any) -> bool:
    """Whether a secret is in any text of a value that was read from JSON."""
    if isinstance(value, str):
        return any(secret in value for secret in secrets)
    if isinstance(value, dict):
        return any(repeats(secrets, one) for pair in value.items() for one in pair)
    return isinstance(value, list) and any(repeats(secrets, one) for one in value)
