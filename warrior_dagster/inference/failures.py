"""What a server's refusal means: whether the request, another try, or the whole stage fails, and the server's own words.

Services differ in how they say that an account has no money left: OpenAI 429 with the code `insufficient_quota` or
`billing_not_active`; DeepSeek, OpenRouter and Together 402; Anthropic 400 "Your credit balance is too low". OpenRouter also
sends 200 with an `error` in place of `choices`, and 403 for a text that its moderation flagged.
"""

import json
import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

BUSY = (429, 503)
ACCESS_DENIED = (401, 402, 403, 404, 407)
MOST_READ = 2000  # characters of a server's words that are searched
NO_MONEY_CODES = re.compile(
    r"insufficient.?(?:quota|balance|funds)|quota.?exceeded|billing|credit|payment|spend", re.IGNORECASE
)
NO_MONEY_WORDS = re.compile(r"credit balance|insufficient (?:balance|credits?|funds)", re.IGNORECASE)
ABOUT_N = re.compile(
    r"(?<![\w\\])([`'\"]?)n\1\s*(?:[=<>!:]|(?:must|should|may|is|was|has|parameter|value|can|cannot|not)\b)"
    r"|\b(?:parameter|argument|field|property|value of)\s*:?\s*([`'\"]?)n\2(?!\w)"
    r"|\bmultiple (?:choices|completions|samples)\b",
    re.IGNORECASE,
)


class Unreachable(RuntimeError):
    """No server can be used: every remaining request would fail."""


class Transient(RuntimeError):
    """A failure that may be temporary: the request is tried again."""


class WrongAnswer(Transient):
    """An answer with status 200 that has no completions. It was paid for, so the request is tried only once more."""


class Refused(RuntimeError):
    """The server rejected this request; trying again would not help."""


class RefusedParameter(RuntimeError):
    """The server rejects a parameter, `n` or `max_tokens`: the request is sent again without it or under another name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


class Pause(RuntimeError):
    """The server is busy or unreachable: the request waits for `seconds`, and this does not count as a try."""

    def __init__(self, seconds: float, reason: str, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.seconds, self.unreachable = seconds, unreachable


def failure(url: str, status: int, headers: Mapping[str, str], content: bytes) -> Exception:
    """The exception that an HTTP response without completions stands for.

    Its text has the server's own words at full length: secrets are taken out before a text is cut, and may be anywhere in it.
    """
    error = error_of(content)
    reason = f"HTTP {status}: {error['message']}"
    if 300 <= status < 400 and (location := headers.get("Location")):
        target = re.split("[?#]", location)[0]
        return Unreachable(f"{url} redirects to {target} (HTTP {status}); requests go only to the URLs of the arena's file")
    if no_money_left(status, error):
        return Unreachable(f"{url} has no quota or credit left: {reason}")
    if status in ACCESS_DENIED and not (status == 403 and "flagged" in json.dumps(error["metadata"])):
        return Unreachable(f"{url} denied access: {reason}")
    if status in BUSY:
        return Pause(retry_after(headers.get("Retry-After")), reason)
    if status in (400, 422) and (name := refused_parameter(error)):
        return RefusedParameter(name, reason)
    return Transient(reason) if status >= 500 or status == 408 else Refused(reason)


def refused_parameter(error: Mapping[str, Any]) -> str | None:
    """The parameter that can be sent in another way and is what an error is about: `max_tokens`, `n` or None."""
    if "max_completion_tokens" in error["message"]:
        return "max_tokens"
    return "n" if error["param"] == "n" or ABOUT_N.search(error["message"][:MOST_READ]) else None


def error_of(content: bytes) -> dict[str, Any]:
    """`message`, `code`, `type`, `param` and `metadata` of an error's body; without JSON the body is the message."""
    text = content.decode("utf-8", "replace").strip()
    found: dict[str, Any] = {"message": text, "code": "", "type": "", "param": None, "metadata": {}}
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return found
    body = body[0] if isinstance(body, list) and len(body) == 1 else body  # Gemini
    error = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(error, str):
        return found | {"message": error}
    if not isinstance(error, dict):
        return found
    for name in ("code", "type", "param", "metadata"):
        found[name] = error.get(name) or found[name]
    words = error.get("message") or error.get("detail")
    details = found["metadata"].get("raw") if isinstance(found["metadata"], dict) else None  # OpenRouter: the provider's words
    if words or details:
        texts = (one if isinstance(one, str) else json.dumps(one) for one in (words, details) if one)
        found["message"] = ": ".join(texts)
    return found


def no_money_left(status: int, error: Mapping[str, Any]) -> bool:
    """Whether an account has no quota or credit left, so that waiting does not help."""
    if status == 402:
        return True
    codes = f"{error['code']} {error['type']}"
    words = error["message"][:MOST_READ]
    return status in (400, 403, 429) and bool(NO_MONEY_CODES.search(codes) or NO_MONEY_WORDS.search(words))


def error_inside(body: Mapping[str, Any]) -> int | None:
    """The status that the `error` of a response with status 200 stands for; None if there is no error, or there are choices."""
    error = body.get("error")
    if not error or body.get("choices"):
        return None
    code = str(error.get("code") if isinstance(error, dict) else "")
    return int(code) if re.fullmatch(r"[45]\d\d", code, re.ASCII) else 500


def retry_after(header: str | None) -> float:
    """Seconds to wait for a busy server: its Retry-After header, seconds or an HTTP date, at most 60; 1 without a valid one."""
    try:
        seconds = float(header or 1)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(str(header)).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 1.0
    return min(max(seconds, 0.05), 60.0) if math.isfinite(seconds) else 1.0
