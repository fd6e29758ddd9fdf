"""The client of completions servers: every sample comes under its own key, whatever its server does."""

import asyncio
import json
import time
from collections.abc import Iterable
from typing import Any

import pytest
from aiohttp import web

from tests.inference.scripted_servers import good, requests, serve, stream_of
from warrior_dagster.inference.failures import Unreachable
from warrior_dagster.inference.http_client import CompletionsClient
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.inference.servers.vllm import free_port


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


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_stops_the_stage_with_its_target_and_nothing_is_sent_there(status: int) -> None:
    async def redirected() -> list[bytes]:
        came = list[bytes]()

        async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            came.append(await reader.read(1000))
            writer.close()

        async with await asyncio.start_server(elsewhere, "127.0.0.1", 0) as other:
            target = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}/v1/completions"
            response = web.Response(status=status, headers={"Location": f"{target}?token=abc#d"})
            with pytest.raises(Unreachable) as stopped:
                await serve([lambda *_: response], requests(1), api_key="my-own-secret-1234")
        assert f"redirects to {target} (HTTP {status})" in str(stopped.value)
        return came

    assert asyncio.run(redirected()) == []
