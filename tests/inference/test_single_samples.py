"""Servers that ignore or refuse `n` get single samples: every sample comes once, under its own key."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from tests.inference.scripted_servers import answered, good, requests, serve
from warrior_dagster.config.serving import Sampling


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
