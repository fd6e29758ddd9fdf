"""Responses: what has no completions is one line of error, and never stored."""

import asyncio
import json
import math
import tracemalloc
import zlib
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tests.inference.scripted_servers import MODEL, good, requests, serve
from warrior_dagster.config.serving import Sampling
from warrior_dagster.inference.failures import Refused, Transient
from warrior_dagster.inference.http_client import CompletionsClient
from warrior_dagster.inference.ledger.table import SCHEMA, completion_of, row_of
from warrior_dagster.inference.prompting import choice_probabilities
from warrior_dagster.inference.request import Completion, Request, params
from warrior_dagster.inference.responses import parse_response
from warrior_dagster.inference.servers.vllm import free_port


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


def test_an_answer_of_lists_in_lists_fails_its_request_alone() -> None:
    def deep(body: dict[str, Any], _: int) -> web.Response:
        return web.Response(body=b"[" * 200_000) if body["prompt"] == "p0" else good(body)

    done, _ = asyncio.run(serve([deep], requests(3), attempts=1))
    assert sorted(str(c.error)[:14] for c in done) == ["None", "None", "RecursionError"]


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


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("status", [200, 500])
def test_a_compressed_body_is_not_expanded_beyond_its_bound(encoding: str, status: int) -> None:
    packer = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()

    async def bomb(*_: object) -> web.Response:
        return web.Response(status=status, body=packed, headers={"Content-Encoding": encoding})

    tracemalloc.start()
    try:
        (done,) = asyncio.run(streamed(bomb))
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    assert ("longer than" if status == 200 else "more than 65536 bytes") in str(done.error)


@pytest.mark.parametrize("text", ["The key is my-own-secret-1234.", "<my-own-secret-1234>"])
@pytest.mark.parametrize("chat", [False, True])
def test_an_answer_that_repeats_the_api_key_is_an_error_and_no_completion(text: str, chat: bool) -> None:
    def repeating(*_: object) -> web.Response:
        choice = {"text": text, "message": {"content": text}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice]})

    sent = [Request(MODEL, '[{"content":"p","role":"user"}]', "{}")]
    (done,), _ = asyncio.run(serve([repeating], sent, chat=chat, api_key="my-own-secret-1234"))
    assert done.text == ""
    assert done.error == "WrongAnswer: the answer has the API key or the password of a proxy in it"


def test_a_placeholder_for_a_key_may_stand_in_an_answer() -> None:
    answer = {"choices": [choice(text="EMPTY = 0")]}
    (done,), _ = asyncio.run(serve([lambda *_: web.json_response(answer)], [asking()], api_key="EMPTY"))
    assert done.text == "EMPTY = 0"


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 4x0 my-own-sec", b"HTTP/1.1 200 OK\r\nX: my-own-sec\0\r\n\r\n", b"my-own-sec\r\n\r\n"]
)
def test_what_is_no_http_is_an_error_that_quotes_nothing(answer: bytes) -> None:
    async def broken(request: web.Request, _: Any) -> web.StreamResponse:
        assert request.transport
        request.transport.write(answer)
        request.transport.close()
        return web.Response()

    (done,) = asyncio.run(streamed(broken))
    assert "the answer is not complete HTTP" in str(done.error)
    assert "my-own" not in str(done.error)
