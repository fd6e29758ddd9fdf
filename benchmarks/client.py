"""The overhead of requests: client and ledger together, against a scripted endpoint with 0.1 s latency.

Prints one JSON line per figure, with its limit and whether it is met. Every figure is measured in its own process.
    python -m benchmarks.client
"""

import asyncio
import heapq
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from benchmarks.scripted import number_of, scripted_server
from warrior_dagster.config.serving import Endpoint, Engine, Sampling
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.progress import Progress
from warrior_dagster.inference.request import Completion, Request, ServedModel, params
from warrior_dagster.warehouse.arrow_memory import use_system_allocator

LATENCY, IN_FLIGHT = 0.1, 256
SLOW, BUSY, REFUSED, RETRY_AFTER = 0.02, 0.05, 0.02, 1.0
PARAMS = params(Sampling(max_tokens=512))


def prompt(number: int) -> str:
    """A prompt as long as a coding instruction."""
    return f"instruction {number}: " + "write a function that parses a date " * 12


def share(text: str) -> float:
    """The prompt's number between 0 and 1, from which the scripted endpoint decides how to respond."""
    return number_of(text) % 10_000 / 10_000


def requests(model: ServedModel, count: int) -> Iterator[Request]:
    """Requests as a stage makes them: a generator, so that each is made only when it is needed."""
    return (Request(model, prompt(number), PARAMS, tag=number) for number in range(count))


def read(request: Request, completion: Completion) -> dict[str, Any]:
    """A row as a stage makes it."""
    return {"row_id": request.tag, "text": completion.text, "error": completion.error, "completion_key": completion.key}


def complete(count: int, **options: float) -> dict[str, Any]:
    """Request `count` completions. Returns seconds, CPU seconds, the peak of added memory in MB, and the rows."""
    use_system_allocator()  # as the command line does
    with scripted_server(None, latency=LATENCY, **options) as url, tempfile.TemporaryDirectory() as folder:
        serve = Endpoint(kind="endpoint", urls=(url,))
        model = ServedModel("org/m@main", "org/m", None, serve)
        settings = Engine(serve=serve, max_in_flight=IN_FLIGHT)
        with LedgerWriter(folder) as ledger, Engines(settings, ledger, Path(folder)) as engines:
            # Warm up: imports, connections, first writes.
            engines.complete(requests(model, 300), read, Progress(lambda _: None, "warm", 300))
            cpu_before, memory = time.process_time(), resident("VmRSS")
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak
            started = time.monotonic()
            later = (Request(model, "later " + r.prompt, r.params, tag=r.tag) for r in requests(model, count))
            rows, _ = engines.complete(later, read, Progress(lambda _: None, "asking", count))
            ledger.flush()
            seconds, cpu = time.monotonic() - started, time.process_time() - cpu_before
            return {"seconds": seconds, "cpu": cpu, "mb": (resident("VmHWM") - memory) / 1024, "rows": rows}


def resident(field: str) -> int:
    """This process's resident memory in KiB: current (VmRSS) or peak (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def plain(count: int) -> dict[str, Any]:
    """The peer: aiohttp alone with the same concurrency, without ledger and retries."""

    async def loop(url: str) -> None:
        numbers = iter(range(count))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def work() -> None:
                for number in numbers:
                    body = {"prompt": prompt(number), "n": 1, **json.loads(PARAMS)}
                    async with session.post(f"{url}/v1/completions", json=body) as response:
                        await response.json()

            await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))

    with scripted_server(latency=LATENCY) as url:
        started, cpu = time.monotonic(), time.process_time()
        uvloop.run(loop(url))
        return {"seconds": time.monotonic() - started, "cpu": time.process_time() - cpu}


def ideal(count: int, busy: float = 0.0, slow: float = 0.0) -> float:
    """Seconds of a client without overhead. It sends requests in order; a retry goes first once its wait is over."""
    places, waiting, ends = [0.0] * IN_FLIGHT, list[float](), 0.0
    for number in range(count):
        at = heapq.heappop(places)
        while waiting and waiting[0] <= at:
            heapq.heappop(waiting)
            heapq.heappush(places, at + LATENCY)
            at = heapq.heappop(places)
        of_prompt = share("later " + prompt(number))
        if of_prompt < busy:
            heapq.heappush(waiting, at + RETRY_AFTER)
            heapq.heappush(places, at)
        else:
            heapq.heappush(places, at + LATENCY * (20 if of_prompt < slow else 1))
    while waiting:
        ends = max(ends, max(heapq.heappop(waiting), heapq.heappop(places)) + LATENCY)
        heapq.heappush(places, ends)
    return max(ends, *places)


def in_new_process(function: Callable[..., dict[str, Any]], *arguments: Any, **options: Any) -> dict[str, Any]:
    """Call in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments, options)


def result(measure: str, value: float, limit: float, ok: bool, **more: Any) -> None:
    """Print one JSON line."""
    value = round(value, 4)
    print(json.dumps({"benchmark": "client", "measure": measure, "value": value, "limit": limit, "ok": ok, **more}), flush=True)


def main() -> None:
    """All figures."""
    count = 10_000
    pairs = [(in_new_process(complete, count), in_new_process(plain, count)) for _ in range(3)]
    cpu, peer = (statistics.median(run[side]["cpu"] / count * 1000 for run in pairs) for side in (0, 1))
    result(
        "cpu_ms_per_request",
        cpu,
        0.3,
        cpu <= 0.3,
        peer="aiohttp alone",
        peer_value=round(peer, 4),
        ratio=round(cpu / peer, 3),
        n=count,
    )
    rate, peer = (statistics.median(count / run[side]["seconds"] for run in pairs) for side in (0, 1))
    most = IN_FLIGHT / LATENCY
    result(
        "requests_per_s", rate, 1000, rate >= 1000, peer="latency alone", peer_value=most, ratio=round(rate / most, 3), n=count
    )

    queued = in_new_process(complete, 100_000)
    result("rss_mb", queued["mb"], 150, queued["mb"] < 150, n=100_000)

    for name, options in (("busy", {"busy": BUSY, "retry_after": RETRY_AFTER}), ("slow", {"slow": SLOW})):
        best = ideal(10_000, busy=options.get("busy", 0.0), slow=options.get("slow", 0.0))
        seconds = in_new_process(complete, 10_000, **options)["seconds"]
        over = seconds / best
        result("time_over_ideal", over, 1.3, over <= 1.3, case=name, seconds=round(seconds, 2), ideal=round(best, 2), n=10_000)

    rows = in_new_process(complete, 10_000, refused=REFUSED)["rows"]
    failed = {row["row_id"] for row in rows if row["error"]}
    expected = {number for number in range(10_000) if share("later " + prompt(number)) < REFUSED}
    exact = failed == expected and len(rows) == 10_000 and all(row["text"] for row in rows if not row["error"])
    result("refused_rows", len(failed), len(expected), exact, n=10_000)


if __name__ == "__main__":
    main()
