import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.config.serving import Sampling, VllmServer
from warrior_dagster.inference.failures import Refused, Transient, Unreachable
from warrior_dagster.inference.http_client import CompletionsClient
from warrior_dagster.inference.ledger.table import SCHEMA, completion_of, row_of
from warrior_dagster.inference.prompting import choice_probabilities
from warrior_dagster.inference.request import Completion, Request, ServedModel, params
from warrior_dagster.inference.responses import parse_response
from warrior_dagster.inference.servers.vllm import free_port

MODEL = ServedModel("org/m@main", "org/m", None, VllmServer())
Handler = Callable[[dict[str, Any], int], Awaitable[web.Response] | web.Response]


def requests(count: int, samples: int = 1) -> list[Request]:
    return [Request(MODEL, f"p{n}", params(Sampling()), tuple(range(samples))) for n in range(count)]


async def stream_of(sent: Iterable[Request]) -> AsyncIterator[Request]:
    for request in sent:
        yield request


def good(body: dict[str, Any], _: int = 0) -> web.Response:
    choices = [{"text": f"{body['prompt']}#{n}", "finish_reason": "stop"} for n in range(body["n"])]
    return web.json_response({"choices": choices, "usage": {"prompt_tokens": 7, "completion_tokens": 10}})


async def serve(
    handlers: list[Handler], sent: Iterable[Request], **settings: Any
) -> tuple[list[Completion], list[Counter[str]]]:
    """Send requests to scripted servers, one for each handler, which gets the body and how often its prompt came before."""
    seen = [Counter[str]() for _ in handlers]
    urls, runners = [], []
    for handler, counter in zip(handlers, seen, strict=True):

        async def answer(request: web.Request, handler: Handler = handler, counter: Counter[str] = counter) -> web.Response:
            body = await request.json()
            prompt = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
            counter[prompt] += 1
            response = handler(body, counter[prompt] - 1)
            return response if isinstance(response, web.Response) else await response

        app = web.Application()
        app.router.add_post("/v1/chat/completions" if settings.get("chat") else "/v1/completions", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        urls.append(f"http://127.0.0.1:{port}")
        runners.append(runner)
    engine = CompletionsClient(urls, "m", **({"max_in_flight": 8, "attempts": 3, "timeout_s": 5} | settings))
    try:
        done = [c async for _, completions in engine.stream(stream_of(sent)) for c in completions]
    finally:
        for runner in runners:
            await runner.cleanup()
    return done, seen


def test_every_sample_of_every_request_comes_back_under_its_key() -> None:
    sent = requests(30, samples=3)
    done, _ = asyncio.run(serve([good], sent))
    assert {c.key for c in done} == {key for r in sent for key in r.keys()}
    assert {c.text for c in done} == {f"p{n}#{s}" for n in range(30) for s in range(3)}
    assert sum(c.prompt_tokens for c in done) == 30 * 7
    assert sum(c.completion_tokens for c in done) == 30 * 10


def test_a_rejected_request_is_an_error_with_its_reason_and_the_others_continue() -> None:
    def picky(body: dict[str, Any], _: int) -> web.Response:
        return web.Response(status=400, text="too long") if body["prompt"] in ("p3", "p7") else good(body)

    done, (seen,) = asyncio.run(serve([picky], requests(10)))
    failed = [c for c in done if c.error]
    assert len(done) == 10
    assert sorted(c.error for c in failed if c.error) == ["Refused: HTTP 400: too long"] * 2
    assert seen["p3"] == seen["p7"] == 1


@pytest.mark.parametrize("status", [500, 502, 408])
def test_a_temporary_failure_is_tried_again(status: int) -> None:
    def flaky(body: dict[str, Any], before: int) -> web.Response:
        return good(body) if before else web.Response(status=status)

    done, (seen,) = asyncio.run(serve([flaky], requests(5)))
    assert [c.error for c in done] == [None] * 5
    assert [c.attempts for c in done] == [2] * 5
    assert set(seen.values()) == {2}


def test_a_permanent_failure_is_an_error_after_all_attempts() -> None:
    done, (seen,) = asyncio.run(serve([lambda *_: web.Response(status=500, text="broken")], requests(2)))
    assert [(c.error, c.attempts) for c in done] == [("Transient: HTTP 500: broken", 3)] * 2
    assert set(seen.values()) == {3}


def test_a_busy_server_is_waited_for_and_costs_no_attempt() -> None:
    def busy(body: dict[str, Any], before: int) -> web.Response:
        return good(body) if before >= 5 else web.Response(status=429, headers={"Retry-After": "0.05"})

    done, (seen,) = asyncio.run(serve([busy], requests(3)))
    assert [(c.error, c.attempts) for c in done] == [(None, 1)] * 3
    assert set(seen.values()) == {6}


def test_a_response_without_choices_is_an_error_of_every_sample() -> None:
    def short(body: dict[str, Any], _: int) -> web.Response:
        return web.json_response({"choices": []})

    done, _ = asyncio.run(serve([short], requests(1, samples=2)))
    assert len(done) == 2
    assert all(c.error and "expected 2 choices" in c.error for c in done)


def test_a_fleet_shares_the_work() -> None:
    async def slow(body: dict[str, Any], _: int) -> web.Response:
        await asyncio.sleep(0.01)
        return good(body)

    _, seen = asyncio.run(serve([slow, slow], requests(64)))
    assert sum(seen[0].values()) + sum(seen[1].values()) == 64
    assert min(sum(s.values()) for s in seen) >= 16


def test_requests_are_taken_only_as_fast_as_they_are_completed() -> None:
    pulled: list[int] = []
    most_ahead = 0

    def answer(body: dict[str, Any], _: int) -> web.Response:
        nonlocal most_ahead
        most_ahead = max(most_ahead, len(pulled) - int(body["prompt"][1:]))
        return good(body)

    def pull() -> Any:
        for number, request in enumerate(requests(200)):
            pulled.append(number)
            yield request

    asyncio.run(serve([answer], pull(), max_in_flight=4))
    assert len(pulled) == 200
    assert most_ahead <= 5


def test_unreachable_servers_stop_the_stage() -> None:
    engine = CompletionsClient(
        [f"http://127.0.0.1:{free_port()}"], "m", max_in_flight=2, attempts=2, timeout_s=5, patience_s=0.2
    )

    async def ask() -> None:
        async for _ in engine.stream(stream_of(requests(3))):
            pass

    with pytest.raises(Unreachable, match="no connection"):
        asyncio.run(ask())


def test_a_server_that_comes_back_in_time_costs_no_attempt() -> None:
    port = free_port()
    engine = CompletionsClient([f"http://127.0.0.1:{port}"], "m", max_in_flight=2, attempts=1, timeout_s=5, patience_s=30)

    async def ask() -> list[Completion]:
        async def come_back() -> web.AppRunner:
            await asyncio.sleep(1)
            app = web.Application()

            async def answer(request: web.Request) -> web.Response:
                return good(await request.json())

            app.router.add_post("/v1/completions", answer)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            return runner

        starting = asyncio.create_task(come_back())
        done = [c async for _, completions in engine.stream(stream_of(requests(3))) for c in completions]
        await (await starting).cleanup()
        return done

    assert [(c.error, c.attempts) for c in asyncio.run(ask())] == [(None, 1)] * 3


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_denies_access_stops_the_stage(status: int) -> None:
    with pytest.raises(Unreachable, match=f"denied access: HTTP {status}"):
        asyncio.run(serve([lambda *_: web.Response(status=status)], requests(3)))


def test_an_aborted_completion_is_requested_again() -> None:
    def restarted(body: dict[str, Any], before: int) -> web.Response:
        choice = {"text": "half an ans", "finish_reason": "abort"}
        return good(body) if before else web.json_response({"choices": [choice]})

    done, _ = asyncio.run(serve([restarted], requests(2)))
    assert [(c.text, c.attempts) for c in sorted(done, key=lambda c: c.text)] == [("p0#0", 2), ("p1#0", 2)]


@pytest.mark.parametrize("body", [b'{"choices": [null]}', b'{"choices": ["x"]}', b"[]", b"\xff\xfe", b"<html>"])
def test_a_malformed_response_fails_only_its_request(body: bytes) -> None:
    def odd(sent: dict[str, Any], _: int) -> web.Response:
        return web.Response(body=body) if sent["prompt"] == "p1" else good(sent)

    done, _ = asyncio.run(serve([odd], requests(3)))
    assert sorted(bool(c.error) for c in done) == [False, False, True]


def choice(**values: Any) -> dict[str, Any]:
    return {"text": "A", "finish_reason": "stop", "logprobs": {"top_logprobs": [{"A": -0.1, "B": -2.4}]}} | values


def asking(**more: Any) -> Request:
    return Request(MODEL, "p", json.dumps(json.loads(params(Sampling())) | more))


CONSTRAINED = asking(structured_outputs={"choice": ["A", "B"]}, logprobs=20)
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a chat reply": ({"message": {"role": "assistant", "content": "A"}, "text": None}, "expected choices with a text"),
    "a number for a text": ({"text": 7}, "expected choices with a text"),
    "no reason to finish": ({"finish_reason": None}, "expected finish_reason stop or length; found None"),
    "null": ({"logprobs": {"top_logprobs": [{"A": None, "B": -1.0}]}}, "expected log-probabilities, finite and at most 0"),
    "NaN": ({"logprobs": {"top_logprobs": [{"A": math.nan, "B": -1.0}]}}, "expected log-probabilities"),
    "infinite": ({"logprobs": {"top_logprobs": [{"A": -math.inf, "B": -1.0}]}}, "expected log-probabilities"),
    "positive": ({"logprobs": {"top_logprobs": [{"A": 0.9, "B": 0.1}]}}, "expected log-probabilities"),
    "words": ({"logprobs": {"top_logprobs": [{"A": "-0.1", "B": "-1"}]}}, "expected log-probabilities"),
    "a list": ({"logprobs": {"top_logprobs": [[-0.1]]}}, "expected the log-probabilities of tokens"),
    "none": ({"logprobs": None}, "sent none of the log-probabilities"),
    "one letter only": ({"logprobs": {"top_logprobs": [{"A": -0.1, "The": -1.0}]}}, "sent no log-probability of B"),
    "no constraint": ({"text": "Sure"}, "did not apply the constraint: expected A, B; found 'Sure'"),
}


@pytest.mark.parametrize(("values", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_answer_is_an_error_with_the_reason_and_a_mended_server_heals(values: dict[str, Any], reason: str) -> None:
    mended = False

    def server(*_: object) -> web.Response:
        return web.json_response({"choices": [choice(**({} if mended else values))]})

    (failed,), _ = asyncio.run(serve([server], [CONSTRAINED], attempts=2))
    assert failed.error is not None
    assert reason in failed.error
    mended = True
    (done,), _ = asyncio.run(serve([server], [CONSTRAINED]))
    assert (done.error, done.text, done.logprobs) == (None, "A", {"A": -0.1, "B": -2.4})


@pytest.mark.parametrize(
    "body", [{"choices": [{"message": {}, "finish_reason": "stop"}]}, {"choices": []}, {"choices": 1}, ["no object"]]
)
def test_a_wrong_answer_was_paid_for_and_is_tried_once_more_only(body: Any) -> None:
    done, (seen,) = asyncio.run(serve([lambda *_: web.json_response(body)], requests(1), attempts=6))
    assert [c.attempts for c in done] == [2]
    assert set(seen.values()) == {2}


def test_another_word_for_the_end_of_a_reply_is_understood() -> None:
    answered = [{"text": "Hi", "finish_reason": "eos"}]
    done, _ = asyncio.run(serve([lambda *_: web.json_response({"choices": answered})], requests(1)))
    assert [(c.text, c.finish_reason) for c in done] == [("Hi", "stop")]


def test_a_server_that_leaves_out_what_was_asked_for_is_asked_once() -> None:
    done, (seen,) = asyncio.run(serve([lambda *_: web.json_response({"choices": [choice(logprobs=None)]})], [CONSTRAINED]))
    assert [c.attempts for c in done] == [1]
    assert set(seen.values()) == {1}


def test_an_empty_text_is_a_completion() -> None:
    done, _ = asyncio.run(serve([lambda *_: web.json_response({"choices": [choice(text="", logprobs=None)]})], [asking()]))
    assert [(c.error, c.text) for c in done] == [(None, "")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([10**400, -(10**400)]) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["A", "B", "top_logprobs", "x"]), inner),
    max_leaves=6,
)
CHOICE = st.fixed_dictionaries(
    {},
    optional={
        "text": st.sampled_from(["A", " B", "", "\ud800"]) | JSON,
        "finish_reason": st.sampled_from(["stop", "length"]) | JSON,
        "logprobs": st.builds(lambda first: {"top_logprobs": [first]}, JSON) | JSON,
    },
)


@given(
    response=st.fixed_dictionaries(
        {},
        optional={
            "choices": st.lists(CHOICE, min_size=1, max_size=1) | JSON,
            "usage": st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens"]), JSON) | JSON,
        },
    ),
    sent=st.sampled_from([CONSTRAINED, asking()]),
)
def test_any_answer_is_a_completion_that_can_be_stored_and_read_or_one_line_of_error(
    response: dict[str, Any], sent: Request
) -> None:
    with suppress(Transient, Refused):
        (done,) = parse_response(sent, response, 1)
        assert completion_of(pa.Table.from_pylist([row_of(sent, done)], schema=SCHEMA).to_pylist()[0]) == done
        probabilities, reason = choice_probabilities(done, ("A", "B"))
        assert (probabilities is None) == (reason != "")
        assert probabilities is not None or sent is not CONSTRAINED
        assert probabilities is None or sum(probabilities.values()) == pytest.approx(1)


def test_the_limit_in_flight_counts_samples_and_not_requests() -> None:
    now = most = 0

    async def slow(body: dict[str, Any], _: int) -> web.Response:
        nonlocal now, most
        now += body["n"]
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= body["n"]
        return good(body)

    done, _ = asyncio.run(serve([slow], requests(12, samples=5), max_in_flight=12))
    assert len(done) == 60
    assert most == 10


def test_the_body_has_exactly_the_parameters_of_the_key() -> None:
    bodies: list[dict[str, Any]] = []

    def note(body: dict[str, Any], _: int) -> web.Response:
        bodies.append(body)
        return good(body)

    (sent,) = requests(1, samples=2)
    asyncio.run(serve([note], [sent]))
    (body,) = bodies
    assert body == {"model": "m", "prompt": "p0", "n": 2, "add_special_tokens": False, **json.loads(sent.params)}
    assert "seed" not in body


def test_a_paused_request_lets_others_be_sent() -> None:
    answered: list[str] = []

    def busy(body: dict[str, Any], before: int) -> web.Response:
        if body["prompt"] in ("p0", "p1") and not before:
            return web.Response(status=429, headers={"Retry-After": "0.6"})
        answered.append(body["prompt"])
        return good(body)

    done, _ = asyncio.run(serve([busy], requests(10), max_in_flight=3))
    assert len(done) == 10
    assert set(answered[-2:]) == {"p0", "p1"}


def test_a_server_that_is_busy_for_all_requests_does_not_exhaust_them() -> None:
    pulled, started = [0], time.monotonic()

    def pull() -> Iterable[Request]:
        for request in requests(100):
            pulled[0] += 1
            yield request

    def busy(body: dict[str, Any], _: int) -> web.Response:
        if time.monotonic() - started < 1:
            assert pulled[0] <= 2 * 4
            return web.Response(status=503, headers={"Retry-After": "0.1"})
        return good(body)

    done, _ = asyncio.run(serve([busy], pull(), max_in_flight=4))
    assert [c.error for c in done] == [None] * 100


def test_a_server_that_stays_busy_fails_the_request_after_its_timeout() -> None:
    busy = web.Response
    done, _ = asyncio.run(
        serve([lambda *_: busy(status=429, headers={"Retry-After": "0.05"})], requests(2), timeout_s=0.3, attempts=2)
    )
    assert [(c.attempts, c.error is not None and "busy for" in c.error) for c in done] == [(2, True)] * 2


def test_a_server_unreachable_for_longer_than_the_timeout_costs_no_attempt() -> None:
    engine = CompletionsClient(
        [f"http://127.0.0.1:{free_port()}"], "m", max_in_flight=2, attempts=1, timeout_s=0.3, patience_s=2
    )

    async def ask() -> list[Completion]:
        return [c async for _, completions in engine.stream(stream_of(requests(3))) for c in completions]

    with pytest.raises(Unreachable):
        asyncio.run(ask())
