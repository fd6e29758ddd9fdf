"""Limits of requests and tokens a minute, from the headers of a service's responses: what may be sent before it refuses.

Read are OpenAI's names (`x-ratelimit-remaining-tokens`, with times such as `6m0s`), Anthropic's
(`anthropic-ratelimit-tokens-remaining`, with timestamps), and those of the IETF's draft (`ratelimit-remaining`, in seconds).
"""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

KINDS = ("requests", "tokens")
LONGEST_WAIT_S = 60.0
"""Limits of a day are not waited for: after a minute the service itself is asked again."""
NAMES = ("x-ratelimit-{part}-{kind}", "anthropic-ratelimit-{kind}-{part}", "ratelimit-{part}-{kind}")
NAMES_OF_REQUESTS = ("x-ratelimit-{part}", "ratelimit-{part}")
UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")


@dataclass(slots=True)
class Allowance:
    """What a service lets through before `until` (time.monotonic): the newest header's numbers."""

    remaining: float
    limit: float
    until: float

    def wait(self, amount: float, in_flight: float, now: float) -> float:
        """Seconds until `amount` may be sent; 0 now. A service may not have counted yet what is in flight."""
        if now >= self.until:  # a new period: everything up to the limit may be sent until a response says what remains
            self.remaining, self.until = self.limit, now + LONGEST_WAIT_S
        if amount + in_flight <= self.remaining:
            return 0.0
        if not in_flight and self.remaining >= self.limit:
            return 0.0  # larger than the limit itself: the service decides
        return self.until - now


@dataclass(slots=True)
class RateLimits:
    """The limits of one server, and what is in flight there."""

    requests: int = 0
    """Requests that were sent and are not answered."""
    tokens: int = 0
    """Their tokens, prompts and completions together."""
    allowances: dict[str, Allowance] = field(default_factory=dict)
    """By kind; only what the server has stated."""

    def wait(self, tokens: int) -> float:
        """Seconds until a request with so many tokens may be sent."""
        if not self.allowances:
            return 0.0
        now, amounts = time.monotonic(), {"requests": (1, self.requests), "tokens": (tokens, self.tokens)}
        return max(one.wait(*amounts[kind], now) for kind, one in self.allowances.items())

    def note(self, headers: Mapping[str, str]) -> None:
        """Take over what the headers of a response state, if they state anything."""
        if not any("ratelimit" in name.lower() for name in headers):
            return
        for kind in KINDS:
            remaining, reset = (header(headers, kind, part) for part in ("remaining", "reset"))
            if remaining is None or (seconds := seconds_until(reset)) is None:
                continue
            left, limit = number(remaining), number(header(headers, kind, "limit") or "inf")
            self.allowances[kind] = Allowance(left, max(limit, left), time.monotonic() + min(seconds, LONGEST_WAIT_S))


def header(headers: Mapping[str, str], kind: str, part: str) -> str | None:
    """The header with a part (`limit`, `remaining`, `reset`) of a kind's limit, or None. Header names ignore case."""
    names = (*NAMES, *(NAMES_OF_REQUESTS if kind == "requests" else ()))
    return next((value for name in names if (value := headers.get(name.format(part=part, kind=kind)))), None)


def number(text: str) -> float:
    """A count; without a valid one infinity, which limits nothing."""
    try:
        value = float(text)
    except ValueError:
        return math.inf
    return max(value, 0.0) if not math.isnan(value) else math.inf


def seconds_until(text: str | None) -> float | None:
    """Seconds until a reset: `1s`, `6m0s`, `120ms`, plain seconds, seconds or milliseconds since 1970, or a timestamp."""
    text = (text or "").strip()
    if DURATION.fullmatch(text):
        return sum(float(value) * UNITS[unit] for value, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd])", text))
    try:
        seconds = float(text)
    except ValueError:
        try:
            return max(datetime.fromisoformat(text).timestamp() - time.time(), 0.0)
        except ValueError:
            return None
    if not math.isfinite(seconds):
        return None
    if seconds > 1e9:
        seconds = (seconds / 1000 if seconds > 1e11 else seconds) - time.time()
    return max(seconds, 0.0)
