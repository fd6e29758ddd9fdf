"""A service's stated limits are kept before it refuses."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from tests.inference.scripted_servers import good, requests, serve
from warrior_dagster.config.serving import Sampling
from warrior_dagster.inference.rate_limits import LONGEST_WAIT_S, RateLimits, seconds_until
from warrior_dagster.inference.request import Request, params


def limits(**headers: str) -> RateLimits:
    noted = RateLimits()
    noted.note(CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}))
    return noted


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("6m0s", 360), ("120ms", 0.12), ("1h2m3.5s", 3723.5), ("2d", 172800), ("30", 30), ("0", 0), ("7.66s", 7.66)],
)
def test_the_times_of_services_are_read(text: str, seconds: float) -> None:
    assert seconds_until(text) == pytest.approx(seconds)


def test_points_in_time_are_read() -> None:
    assert seconds_until((datetime.now(UTC) + timedelta(seconds=20)).isoformat()) == pytest.approx(20, abs=1)
    assert seconds_until(str(int(time.time()) + 20)) == pytest.approx(20, abs=2)
    assert seconds_until(str(int(time.time() * 1000) + 20_000)) == pytest.approx(20, abs=2)
    assert seconds_until((datetime.now(UTC) - timedelta(seconds=20)).isoformat()) == 0


@given(st.text())
def test_any_text_is_a_time_or_none(text: str) -> None:
    seconds = seconds_until(text)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    "headers",
    [
        {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "6m0s"},
        {"X_RateLimit_Remaining_Tokens": "99", "X_RateLimit_Reset_Tokens": "30s"},
        {"anthropic_ratelimit_tokens_remaining": "10", "anthropic_ratelimit_tokens_reset": "2999-01-01T00:00:00Z"},
        {"ratelimit_remaining": "0", "ratelimit_reset": "50"},
        {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "50"},
    ],
)
def test_what_is_above_a_limit_waits_at_most_a_minute(headers: dict[str, str]) -> None:
    assert 25 < limits(**headers).wait(tokens=100) <= LONGEST_WAIT_S


def test_what_is_within_the_limits_is_sent_at_once() -> None:
    noted = limits(
        x_ratelimit_remaining_requests="2",
        x_ratelimit_reset_requests="30s",
        x_ratelimit_remaining_tokens="1000",
        x_ratelimit_reset_tokens="30s",
    )
    assert noted.wait(600) == 0
    noted.requests, noted.tokens = 1, 600
    assert noted.wait(300) == 0
    assert noted.wait(600) > 0
    noted.requests, noted.tokens = 2, 10
    assert noted.wait(1) > 0
    noted.requests, noted.tokens = 0, 0
    assert noted.wait(600) == 0
    assert limits().wait(10**9) == 0


def test_a_request_larger_than_the_limit_is_left_to_the_service() -> None:
    noted = limits(x_ratelimit_remaining_tokens="100", x_ratelimit_limit_tokens="100", x_ratelimit_reset_tokens="30s")
    assert noted.wait(1000) == 0
    noted.requests, noted.tokens = 1, 10
    assert noted.wait(1000) > 0


def test_headers_that_make_no_sense_limit_nothing() -> None:
    assert limits(x_ratelimit_remaining_tokens="many", x_ratelimit_reset_tokens="30s").wait(1000) == 0
    assert limits(x_ratelimit_remaining_tokens="0", x_ratelimit_reset_tokens="soon").wait(1000) == 0
    assert limits(x_ratelimit_remaining_tokens="0").wait(1000) == 0


@pytest.mark.parametrize("kind", ["requests", "tokens"])
def test_a_service_with_a_limit_never_has_to_refuse(kind: str) -> None:
    """It allows 10 requests, or the tokens of 10, in a period of half a second; the first requests come one at a time."""
    period, allowed, each = 0.5, 10, 20 + 80
    refused, counted, ends = 0, 0, 0.0

    def limited(body: dict[str, Any], before: int) -> web.Response:
        nonlocal refused, counted, ends
        if time.monotonic() >= ends:
            counted, ends = 0, time.monotonic() + period
        counted += 1
        if counted > allowed:
            refused += 1
            return web.Response(status=429, headers={"Retry-After": "0.2"})
        left, size = allowed - counted, each if kind == "tokens" else 1
        response = good(body)
        response.headers[f"x-ratelimit-limit-{kind}"] = str(allowed * size)
        response.headers[f"x-ratelimit-remaining-{kind}"] = str(left * size)
        response.headers[f"x-ratelimit-reset-{kind}"] = f"{max(ends - time.monotonic(), 0) * 1000:.0f}ms"
        return response

    model = requests(1)[0].model
    sent = [Request(model, f"{n:>80}", params(Sampling(max_tokens=80))) for n in range(35)]
    done, _ = asyncio.run(serve([limited], sent, max_in_flight=4, attempts=1))
    assert [c.error for c in done] == [None] * 35
    assert refused == 0
