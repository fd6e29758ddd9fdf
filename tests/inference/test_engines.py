import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import pytest

from tests.conftest import ScriptedEngine, scripted, scripted_engines
from tests.inference.test_ledger import POISON
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Endpoint, VllmServer
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.progress import Progress
from warrior_dagster.inference.request import Completion, Request, ServedModel

LOG = logging.getLogger("test")
A, B = (ServedModel(f"org/{x}@main", f"org/{x}", None, VllmServer()) for x in "ab")


def requests_of(model: ServedModel, count: int, samples: int = 1) -> list[Request]:
    return [Request(model, f"p{n}", "{}", tuple(range(samples)), tag=n) for n in range(count)]


def read(request: Request, completion: Completion) -> tuple[int, int, str | None]:
    return request.tag, completion.sample, completion.error or completion.text


async def each(requests: Iterable[Request]) -> AsyncIterator[Request]:
    for request in requests:
        yield request


def test_what_the_ledger_has_is_not_sent_again(make_arena: Callable[..., Arena]) -> None:
    log: list[Request] = []
    starts: list[ServedModel] = []
    with scripted_engines(make_arena(), log, starts) as engines:
        first, cost = engines.complete(requests_of(A, 20), read, engines.progress("s", 20, LOG))
        assert (cost["org/a"].sent, cost["org/a"].from_ledger) == (20, 0)
    with scripted_engines(make_arena(), log, starts) as engines:
        second, cost = engines.complete(requests_of(A, 25), read, engines.progress("s", 25, LOG))
        assert (cost["org/a"].sent, cost["org/a"].from_ledger) == (5, 20)
        third, cost = engines.complete(requests_of(A, 25), read, engines.progress("s", 25, LOG))
        assert (cost["org/a"].sent, cost["org/a"].engine_starts) == (0, 0)
    assert len(log) == 25
    assert set(first) < set(second) == set(third)


def test_more_samples_of_a_request_send_only_the_new_ones(make_arena: Callable[..., Arena]) -> None:
    log: list[Request] = []
    with scripted_engines(make_arena(), log, []) as engines:
        engines.complete(requests_of(A, 1, samples=3), read, engines.progress("s", 3, LOG))
        engines.complete(requests_of(A, 1, samples=7), read, engines.progress("s", 7, LOG))
    assert [request.samples for request in log] == [(0, 1, 2), (3, 4, 5, 6)]


def test_equal_requests_are_sent_once_and_each_gets_a_row(make_arena: Callable[..., Arena]) -> None:
    log: list[Request] = []
    twice = [Request(A, "same", "{}", tag=n) for n in range(9000)]
    with scripted_engines(make_arena(), log, []) as engines:
        rows, _ = engines.complete(twice, read, engines.progress("s", len(twice), LOG))
    assert len(log) == 1
    assert sorted(row[0] for row in rows) == list(range(9000))


def test_a_request_equal_to_one_in_flight_waits_for_its_completion(make_arena: Callable[..., Arena]) -> None:
    arena = make_arena()
    log: list[Request] = []

    class Pulling(ScriptedEngine):
        async def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[tuple[Request, list[Completion]]]:
            pulled = [request async for request in requests]  # everything is in flight before the first completion
            async for answered in super().stream(each(pulled)):
                yield answered

    with (
        LedgerWriter(arena.warehouse) as ledger,
        Engines(arena.engine, ledger, Path(arena.warehouse), start=lambda *_: Pulling(log)) as engines,
    ):
        sent = [Request(A, f"p{n % 3}", "{}", tag=n) for n in range(9001)]
        rows, _ = engines.complete(sent, read, engines.progress("s", len(sent), LOG))
    assert sorted(request.prompt for request in log) == ["p0", "p1", "p2"]
    assert sorted(row[0] for row in rows) == list(range(9001))


def test_models_are_started_once_each_and_only_when_needed(make_arena: Callable[..., Arena]) -> None:
    starts: list[ServedModel] = []
    with scripted_engines(make_arena(), [], starts) as engines:
        engines.complete([*requests_of(A, 5), *requests_of(B, 5)], read, engines.progress("s", 10, LOG))
        engines.complete(requests_of(B, 9), read, engines.progress("s", 9, LOG))
        engines.complete(requests_of(A, 5), read, engines.progress("s", 5, LOG))
    assert starts == [A, B]


def test_failures_are_rows_and_are_sent_again_next_time(make_arena: Callable[..., Arena]) -> None:
    arena = make_arena()
    broken = True

    class Flaky(ScriptedEngine):
        async def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[tuple[Request, list[Completion]]]:
            async for request in requests:
                key = request.keys()[0]
                bad = broken and request.prompt == "p1"
                yield request, [Completion(key, 0, error="HTTP 400") if bad else scripted(request, 0, key)]

    def start(*_: object) -> Flaky:
        return Flaky([])

    with LedgerWriter(arena.warehouse) as ledger, Engines(arena.engine, ledger, Path(arena.warehouse), start=start) as engines:
        rows, cost = engines.complete(requests_of(A, 3), read, engines.progress("s", 3, LOG))
        assert (1, 0, "HTTP 400") in rows
        assert (cost["org/a"].sent, cost["org/a"].failed) == (3, 1)
        broken = False
        rows, cost = engines.complete(requests_of(A, 3), read, engines.progress("s", 3, LOG))
        assert (cost["org/a"].sent, cost["org/a"].failed, len(rows)) == (1, 0, 3)


def test_completions_before_an_engine_failed_are_stored_and_the_engine_is_stopped(
    make_arena: Callable[..., Arena],
) -> None:
    arena = make_arena()
    stopped: list[bool] = []

    class Dying(ScriptedEngine):
        async def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[tuple[Request, list[Completion]]]:
            number = 0
            async for request in requests:
                number += 1
                if number == 5:
                    raise RuntimeError("engine died")
                yield request, [scripted(request, 0, request.keys()[0])]

    def start(_: ServedModel, stack: ExitStack, lock: int) -> Dying:
        stack.callback(stopped.append, True)
        return Dying([])

    with LedgerWriter(arena.warehouse) as ledger, Engines(arena.engine, ledger, Path(arena.warehouse), start=start) as engines:
        with pytest.raises(RuntimeError, match="engine died"):
            engines.complete(requests_of(A, 10), read, engines.progress("s", 10, LOG))
        assert stopped == [True]
        assert len(ledger.get([r.keys()[0] for r in requests_of(A, 10)])) == 4


def test_progress_counts_every_sample_and_ends_at_its_total(make_arena: Callable[..., Arena]) -> None:
    reported: list[tuple[int, int]] = []
    arena = make_arena()

    def report(progress: Progress) -> None:
        reported.append((progress.done, progress.total))

    with (
        LedgerWriter(arena.warehouse) as ledger,
        Engines(arena.engine, ledger, Path(arena.warehouse), report=report, start=lambda *_: ScriptedEngine([])) as engines,
    ):
        engines.complete(requests_of(A, 6, samples=2), read, engines.progress("s", 12, LOG))
    assert reported[-1] == (12, 12)
    assert [done for done, _ in reported] == sorted(done for done, _ in reported)


def test_two_concurrent_runs_send_once_and_make_the_same_rows(make_arena: Callable[..., Arena]) -> None:
    arena = make_arena()
    sent: Counter[str] = Counter()

    class Random(ScriptedEngine):
        """A new text each time, like a sampled model."""

        async def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[tuple[Request, list[Completion]]]:
            async for request in requests:
                sent[request.prompt] += 1
                await asyncio.sleep(0.005)
                yield request, [Completion(request.keys()[0], 0, token_hex(8), "stop")]

    def run(number: int) -> list[tuple[int, int, str | None]]:
        with (
            LedgerWriter(arena.warehouse) as ledger,
            Engines(arena.engine, ledger, Path(arena.warehouse), start=lambda *_: Random([])) as engines,
        ):
            rows, _ = engines.complete(requests_of(A, 60), read, engines.progress("s", 60, LOG))
            return sorted(rows)

    with ThreadPoolExecutor(2) as threads:
        rows, others = threads.map(run, range(2))
    assert rows == others
    assert sent == Counter(f"p{n}" for n in range(60))


def test_an_endpoint_is_released_for_other_runs_after_each_stage(make_arena: Callable[..., Arena]) -> None:
    arena = make_arena()
    served = ServedModel("org/e@main", "org/e", None, Endpoint(kind="endpoint", urls=("http://127.0.0.1:1",)))
    with scripted_engines(arena, [], []) as first, scripted_engines(arena, [], []) as second:
        first.complete(requests_of(served, 3), read, first.progress("s", 3, LOG))
        _, cost = second.complete(requests_of(served, 6), read, second.progress("s", 6, LOG))
    assert (cost["org/e"].sent, cost["org/e"].from_ledger, cost["org/e"].engine_starts) == (3, 3, 0)


def test_stored_and_missing_samples_may_be_mixed(make_arena: Callable[..., Arena]) -> None:
    log: list[Request] = []
    some = [request for request in requests_of(A, 300, samples=32) if request.tag % 3]
    with scripted_engines(make_arena(), log, []) as engines:
        engines.complete(some, read, engines.progress("s", 32 * len(some), LOG))
        log.clear()
        rows, cost = engines.complete(requests_of(A, 300, samples=40), read, engines.progress("s", 300 * 40, LOG))
    assert sorted((tag, sample) for tag, sample, _ in rows) == [(tag, sample) for tag in range(300) for sample in range(40)]
    assert (cost["org/a"].sent, cost["org/a"].from_ledger) == (300 * 40 - 200 * 32, 200 * 32)
    assert sum(len(request.samples) for request in log) == 300 * 40 - 200 * 32


def test_an_equal_request_fails_with_the_one_that_was_sent_and_is_counted(make_arena: Callable[..., Arena]) -> None:
    arena = make_arena()

    class Refusing(ScriptedEngine):
        async def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[tuple[Request, list[Completion]]]:
            async for request in requests:
                await asyncio.sleep(0.01)
                yield request, [Completion(request.keys()[0], 0, error="HTTP 400")]

    twice = [Request(A, "same", "{}", tag=n) for n in range(50)]
    with (
        LedgerWriter(arena.warehouse) as ledger,
        Engines(arena.engine, ledger, Path(arena.warehouse), start=lambda *_: Refusing([])) as engines,
    ):
        _, cost = engines.complete(twice, read, engines.progress("s", 50, LOG))
    assert (cost["org/a"].sent, cost["org/a"].failed) == (1, 50)


def test_a_completion_that_cannot_be_read_is_its_own_row_s_failure_at_every_run(make_arena: Callable[..., Arena]) -> None:
    def picky(request: Request, completion: Completion) -> tuple[int, int, str | None]:
        if completion.error is None and request.tag == 1:
            raise KeyError("t\u0131e")
        return read(request, completion)

    for run in range(2):
        log: list[Request] = []
        with scripted_engines(make_arena(), log, []) as engines:
            rows, cost = engines.complete(requests_of(A, 3), picky, engines.progress("s", 3, LOG))
        assert (len(log), cost["org/a"].failed) == (0 if run else 3, 1)
        ((_, _, reason),) = (row for row in rows if row[0] == 1)
        assert reason is not None
        assert reason.startswith("unreadable: KeyError('t\u0131e')")
        assert f"warrior ledger drop {requests_of(A, 2)[1].keys()[0]}" in reason
        assert len(rows) == 3


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_what_no_model_can_have_said_is_a_failed_row_and_a_mended_engine_heals(
    make_arena: Callable[..., Arena], poison: Completion
) -> None:
    class Poisoned(ScriptedEngine):
        async def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[tuple[Request, list[Completion]]]:
            async for request in requests:
                yield request, [replace(poison, key=key) for key in request.keys()]

    arena = make_arena()
    with (
        LedgerWriter(arena.warehouse) as ledger,
        Engines(arena.engine, ledger, Path(arena.warehouse), start=lambda *_: Poisoned([])) as engines,
    ):
        rows, cost = engines.complete(requests_of(A, 3), read, engines.progress("s", 3, LOG))
        assert all(reason and reason.startswith("expected ") for _, _, reason in rows)
        assert cost["org/a"].failed == 3
        assert ledger.newest(9, ["key"]).is_empty()
    log: list[Request] = []
    with scripted_engines(arena, log, []) as engines:
        _, cost = engines.complete(requests_of(A, 3), read, engines.progress("s", 3, LOG))
    assert (len(log), cost["org/a"].failed) == (3, 0)


def test_a_reader_that_cannot_make_a_row_of_a_failure_raises(make_arena: Callable[..., Arena]) -> None:
    def broken(request: Request, completion: Completion) -> None:
        raise KeyError("no row at all")

    with scripted_engines(make_arena(), [], []) as engines, pytest.raises(KeyError, match="no row at all"):
        engines.complete(requests_of(A, 1), broken, engines.progress("s", 1, LOG))
