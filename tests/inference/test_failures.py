"""What services send when they refuse: the stage stops, the request fails or is sent in another way, in their own words."""

import asyncio
import json
import time
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tests.inference.scripted_servers import answered, good, requests, serve
from warrior_dagster.inference.failures import Unreachable, error_of, refused_parameter, retry_after

OPENAI_QUOTA = {
    "error": {
        "message": "You exceeded your current quota, please check your plan and billing details.",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }
}
NO_MONEY: list[tuple[int, Any]] = [
    (429, OPENAI_QUOTA),
    (429, {"error": {"message": "Your account is not active.", "type": "billing_not_active", "code": "billing_not_active"}}),
    (402, {"error": {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}}),
    (402, {"error": {"message": "Insufficient credits. Add more using https://openrouter.ai/credits", "code": 402}}),
    (200, {"error": {"message": "Insufficient credits.", "code": 402}}),
    (402, {"error": {"message": "Credit limit exceeded, please upgrade your plan.", "type": "credit_limit"}}),
    (400, {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."}}),
    (402, "Payment Required"),
]


@pytest.mark.parametrize(("status", "body"), NO_MONEY)
def test_an_exhausted_quota_stops_the_stage_after_the_requests_in_flight(status: int, body: Any) -> None:
    sent = 0

    def broke(*_: object) -> web.Response:
        nonlocal sent
        sent += 1
        return answered(status, body)

    words = body if isinstance(body, str) else body["error"]["message"]
    with pytest.raises(Unreachable) as stopped:
        asyncio.run(serve([broke], requests(120)))
    assert words in str(stopped.value)
    assert "no quota or credit left" in str(stopped.value)
    assert sent <= 8


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Rate limit reached for requests", "type": "requests", "code": "rate_limit_exceeded"}},
        [
            {
                "error": {
                    "code": 429,
                    "message": "You exceeded your current quota, ... per minute",
                    "status": "RESOURCE_EXHAUSTED",
                }
            }
        ],
        {"error": {"message": "dynamic limit", "type": "rate_limit", "code": "dynamic_request_limited"}},
    ],
)
def test_a_limit_that_passes_is_waited_for(body: Any) -> None:
    def busy(sent: dict[str, Any], before: int) -> web.Response:
        return good(sent) if before else answered(429, body, **{"Retry-After": "0.05"})

    done, _ = asyncio.run(serve([busy], requests(3)))
    assert [(c.error, c.attempts) for c in done] == [(None, 1)] * 3


def test_a_text_that_moderation_flagged_fails_alone() -> None:
    flagged = {"error": {"code": 403, "message": "Your input was flagged", "metadata": {"flagged_input": "p1"}}}

    def moderated(sent: dict[str, Any], _: int) -> web.Response:
        return answered(403, flagged) if sent["prompt"] == "p1" else good(sent)

    done, _ = asyncio.run(serve([moderated], requests(3)))
    assert sorted(filter(None, (c.error for c in done))) == ["Refused: HTTP 403: Your input was flagged"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "too long"}}, "too long"),
        ({"error": "too long"}, "too long"),
        ({"object": "error", "message": "too long"}, "too long"),
        ({"detail": [{"loc": ["body"], "msg": "too long"}]}, '[{"loc": ["body"], "msg": "too long"}]'),
        ([{"error": {"message": "too long"}}], "too long"),
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": "too long"}}},
            "Provider returned error: too long",
        ),
        ("<html>too long</html>", "<html>too long</html>"),
        ({"error": None}, '{"error": null}'),
        ("", ""),
    ],
)
def test_the_reason_has_the_provider_s_own_words(body: Any, words: str) -> None:
    done, _ = asyncio.run(serve([lambda *_: answered(400, body)], requests(1)))
    assert [c.error for c in done] == [f"Refused: HTTP 400: {words}"]


@pytest.mark.parametrize(
    "words",
    [
        "Incorrect API key provided: my-own-secret-1234. You can find your key at https://example.com.",
        "Authorization: Bearer eyJhbGciOi.secret-1234 is not valid",
        "Authentication fails, your api key: ****1234 is invalid",
        "Incorrect API key provided: sk-proj-abcdef************1234.",
        "https://user:secret-1234@proxy:3128 refused",
        "GET https://example.com/v1?api_key=secret-1234&a=1",
        "my-own-secret-1234" * 200,
        "expected a key that is not my-own-secr, and does not end in secret-1234",
    ],
)
@pytest.mark.parametrize("status", [400, 401, 500])
def test_no_key_is_in_a_reason(status: int, words: str) -> None:
    run = serve(
        [lambda *_: answered(status, {"error": {"message": words}})], requests(2), api_key="my-own-secret-1234", attempts=1
    )
    if status == 401:
        with pytest.raises(Unreachable) as stopped:
            asyncio.run(run)
        reason = str(stopped.value)
    else:
        reason = str(asyncio.run(run)[0][0].error)
    assert f"HTTP {status}" in reason
    assert "***" in reason
    assert "1234" not in reason.partition("HTTP")[2]


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda x: json.dumps({"error": x}).encode())
)
def test_any_body_of_an_error_has_words(content: bytes) -> None:
    found = error_of(content)
    assert isinstance(found["message"], str)
    refused_parameter(found)


@pytest.mark.parametrize("header", ["", "x", "nan", "-1", "Thu, 32 Foo 2026 99:99:99 GMT", "1e400"])
def test_an_unreadable_retry_after_is_a_short_wait(header: str) -> None:
    assert 0 < retry_after(header) <= 1


def test_an_http_date_in_retry_after_is_waited_for() -> None:
    assert 5 < retry_after(formatdate(time.time() + 10, usegmt=True)) <= 10
    assert retry_after(formatdate(time.time() - 100, usegmt=True)) == 0.05
    assert retry_after(formatdate(time.time() + 10_000, usegmt=True)) == 60
    came: list[float] = []

    def busy(body: dict[str, Any], before: int) -> web.Response:
        came.append(time.time())
        return (
            good(body)
            if before
            else web.Response(status=429, headers={"Retry-After": formatdate(time.time() + 3, usegmt=True)})
        )

    done, _ = asyncio.run(serve([busy], requests(1)))
    assert done[0].error is None
    assert came[1] - came[0] > 1.5
