"""What services send when they refuse: the stage stops, the request fails or is sent in another way, in their own words."""

import asyncio
import json
import time
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tests.inference.test_http_client import MODEL, good, requests, serve
from warrior_dagster.config.serving import Sampling
from warrior_dagster.inference.failures import Unreachable, error_of, masked, refused_parameter, retry_after
from warrior_dagster.inference.http_client import CompletionsClient
from warrior_dagster.inference.request import Completion, Request, params
from warrior_dagster.inference.servers.vllm import free_port

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


def answered(status: int, body: Any, **headers: str) -> web.Response:
    return web.Response(status=status, text=body if isinstance(body, str) else json.dumps(body), headers=headers)


def by_sample(done: list[Completion]) -> dict[str, str]:
    return {completion.key: completion.error or completion.text for completion in done}


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
    assert "1234" not in reason


@pytest.mark.parametrize("words", ["hf-internal-testing/tiny is gated", "a task-specific 2048 limit", "** must be > 0", "n=4"])
def test_ordinary_words_are_not_taken_for_keys(words: str) -> None:
    assert masked(words, None) == words


@given(st.text(), st.text(min_size=8))
def test_the_api_key_itself_is_masked_wherever_it_stands(text: str, key: str) -> None:
    assert key not in masked(f"{text}{key}{text}", key).replace("***", "")


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda x: json.dumps({"error": x}).encode())
)
def test_any_body_of_an_error_has_words(content: bytes) -> None:
    found = error_of(content)
    assert isinstance(found["message"], str)
    refused_parameter(found)


def ignores_n(body: dict[str, Any], _: int = 0) -> web.Response:
    return good(body | {"n": 1})


def gives_two(body: dict[str, Any], _: int = 0) -> web.Response:
    return good(body | {"n": min(body["n"], 2)})


def refuses(*, message: str, param: str | None = None) -> Any:
    def handler(body: dict[str, Any], _: int = 0) -> web.Response:
        error = {"error": {"message": message, "param": param, "type": "invalid_request_error"}}
        return answered(400, error) if body["n"] > 1 else good(body)

    return handler


@pytest.mark.parametrize(
    "handler",
    [
        ignores_n,
        gives_two,
        refuses(message="Invalid value", param="n"),
        refuses(message="'n' : number must be at most 1 inclusive"),
        refuses(message="n > 1 is not supported"),
        refuses(message="Extra inputs are not permitted: parameter `n`"),
        refuses(message="multiple completions are not supported"),
    ],
)
def test_a_server_that_ignores_or_refuses_n_is_asked_for_single_samples(handler: Any) -> None:
    bodies: list[int] = []

    def noting(body: dict[str, Any], before: int) -> web.Response:
        bodies.append(body["n"])
        return handler(body, before)  # type: ignore[no-any-return]

    sent = requests(12, samples=5)
    done, _ = asyncio.run(serve([noting], sent, max_in_flight=5, attempts=1))
    assert sorted(c.key for c in done) == sorted(key for r in sent for key in r.keys())
    assert [c.error for c in done] == [None] * 60
    assert {c.attempts for c in done} == {1}
    assert sum(n > 1 for n in bodies) <= 2, "the server is remembered"
    assert len(bodies) <= 61


def test_samples_that_came_are_kept_and_only_the_others_are_sent_again() -> None:
    texts: list[str] = []

    def one_at_a_time(body: dict[str, Any], _: int) -> web.Response:
        texts.append(f"text {len(texts)}")
        return web.json_response({"choices": [{"text": texts[-1], "finish_reason": "stop"}]})

    (sent,) = requests(1, samples=4)
    done, _ = asyncio.run(serve([one_at_a_time], [sent]))
    assert len(texts) == 4
    assert [c.sample for c in sorted(done, key=lambda c: c.text)] == [0, 1, 2, 3]
    assert {c.sample: c.key for c in done} == dict(zip(sent.samples, sent.keys(), strict=True))


@pytest.mark.parametrize("handler", [ignores_n, refuses(message="n > 1 is not supported")])
def test_single_samples_are_sent_with_the_same_stop_tokens(handler: Any) -> None:
    stops: list[Any] = []

    def noting(body: dict[str, Any], before: int) -> web.Response:
        stops.append(body.get("stop_token_ids"))
        return handler(body, before)  # type: ignore[no-any-return]

    (sent,) = requests(1, samples=3)
    done, _ = asyncio.run(serve([noting], [replace(sent, frame_stops=(7, 9))]))
    assert [c.error for c in done] == [None] * 3
    assert len(stops) >= 3
    assert stops == [[7, 9]] * len(stops)


def test_a_prompt_that_is_too_long_changes_nothing_about_other_requests() -> None:
    # The words of vLLM 0.9 to 0.11, also at /v1/completions, which ignores `max_completion_tokens` and takes 16.
    words = "'max_tokens' or 'max_completion_tokens' is too large: 2048. This model's maximum context length is 4096 tokens"
    limits: list[Any] = []

    def narrow(body: dict[str, Any], _: int) -> web.Response:
        limits.append(body.get("max_tokens"))
        return answered(400, {"message": words}) if body["prompt"] == "p0" else good(body)

    done, _ = asyncio.run(serve([narrow], requests(9), max_in_flight=1))
    assert limits == [Sampling().max_tokens] * 9
    assert sum(c.error is not None for c in done) == 1


def test_an_answer_of_lists_in_lists_fails_its_request_alone() -> None:
    def deep(body: dict[str, Any], _: int) -> web.Response:
        return web.Response(body=b"[" * 200_000) if body["prompt"] == "p0" else good(body)

    done, _ = asyncio.run(serve([deep], requests(3), attempts=1))
    assert sorted(str(c.error)[:14] for c in done) == ["None", "None", "RecursionError"]


def test_one_server_of_a_fleet_that_ignores_n_does_not_slow_the_others() -> None:
    at_good: list[int] = []

    async def whole(body: dict[str, Any], _: int) -> web.Response:
        at_good.append(body["n"])
        await asyncio.sleep(0.01)
        return good(body)

    done, _ = asyncio.run(serve([whole, ignores_n], requests(40, samples=4)))
    assert len(done) == len({c.key for c in done}) == 160
    assert 4 in at_good[-20:]


def test_a_refusal_that_is_not_about_n_is_no_reason_to_send_single_samples() -> None:
    words = "This model's maximum context length is 4096 tokens; you asked for n/a\\n5000"
    done, (seen,) = asyncio.run(serve([lambda *_: answered(400, {"error": {"message": words}})], requests(1, samples=4)))
    assert [bool(c.error) for c in done] == [True] * 4
    assert seen["p0"] == 1


def test_a_sample_that_fails_after_the_others_came_fails_alone() -> None:
    def last_fails(body: dict[str, Any], before: int) -> web.Response:
        return answered(400, "no") if before == 2 else ignores_n(body)

    done, _ = asyncio.run(serve([last_fails], requests(1, samples=3)))
    assert sorted(c.error or "" for c in done) == ["", "", "Refused: HTTP 400: no"]


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


@pytest.mark.parametrize("status", [200, 400])
def test_a_body_without_an_end_is_not_read_to_its_end(status: int) -> None:
    sent = 0

    async def endless(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b" " * (1 << 16))
            sent += 1 << 16
        return response

    done = asyncio.run(streamed(endless))
    assert [bool(c.error) for c in done] == [True]
    assert ("longer than" if status == 200 else "HTTP 400") in str(done[0].error)
    assert sent < 32 << 20


async def streamed(handler: Any) -> list[Completion]:
    """The completions of one request of 8 tokens to a server that gets aiohttp's request itself."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return await handler(request, await request.json())  # type: ignore[no-any-return]

    app, port = web.Application(), free_port()
    app.router.add_post("/v1/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    client = CompletionsClient([f"http://127.0.0.1:{port}"], "m", max_in_flight=2, attempts=1, timeout_s=20)

    async def one() -> Any:
        yield Request(MODEL, "p", params(Sampling(max_tokens=8)))

    try:
        return [c async for _, completions in client.stream(one()) for c in completions]
    finally:
        await runner.cleanup()


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """For the addresses that a proxy is asked for; the environment names no other proxy."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    asked: list[str] = []
    return asked


async def through_proxy(asked: list[str], monkeypatch: pytest.MonkeyPatch, url: str, **environment: str) -> list[Completion]:
    async def proxy(request: web.BaseRequest) -> web.Response:
        asked.append(str(request.url))
        return good(await request.json())

    port = free_port()
    runner = web.ServerRunner(web.Server(proxy))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    for name, value in {"http_proxy": f"http://127.0.0.1:{port}", **environment}.items():
        monkeypatch.setenv(name, value)
    client = CompletionsClient([url], "m", max_in_flight=2, attempts=1, timeout_s=5, patience_s=0.1)

    async def some() -> Any:
        for request in requests(2):
            yield request

    try:
        return [c async for _, completions in client.stream(some()) for c in completions]
    finally:
        await runner.cleanup()


def test_the_environment_s_proxy_is_used(proxied: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    done = asyncio.run(through_proxy(proxied, monkeypatch, "http://models.invalid"))
    assert [c.error for c in done] == [None, None]
    assert set(proxied) == {"http://models.invalid/v1/completions"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9", "http://0.0.0.0:9"])
def test_a_server_on_this_machine_is_reached_without_the_proxy(
    url: str, proxied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unreachable, match="no connection"):
        asyncio.run(through_proxy(proxied, monkeypatch, url))
    assert proxied == []


def test_hosts_in_no_proxy_are_reached_without_the_proxy(proxied: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreachable, match="no connection"):
        asyncio.run(through_proxy(proxied, monkeypatch, "http://models.invalid", no_proxy=".invalid"))
    assert proxied == []


def test_a_proxy_of_another_kind_is_named_as_the_reason(proxied: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        Unreachable, match=r"expected an http:// proxy for http://models\.invalid; the environment names a socks5 proxy"
    ):
        asyncio.run(through_proxy(proxied, monkeypatch, "http://models.invalid", http_proxy="socks5://127.0.0.1:1"))
