"""`kill -9` at random moments of every stage: counts what is repeated, lost, doubled or left behind.

Prints one JSON line for these, and one for the seconds from an answer's leaving the server to its being durable.

The runs of each arena are killed several times; then one run finishes. A run starts its engine, a scripted endpoint, in the
same way as vLLM: under the guard. The moments are drawn from all stages: while one sends requests or writes its partitions.
    python -m benchmarks.crash [KILLS]
"""

import importlib
import json
import logging
import multiprocessing
import os
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from contextlib import ExitStack
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.arenas import quiet_home, small_arena
from benchmarks.scripted import __file__ as endpoint_script
from benchmarks.scripted import identity

FORK = multiprocessing.get_context("fork")
KILLS_PER_ARENA, WORKERS = 13, 2
DURABLE_SECONDS = 0.2
DURABLE_LOG = ".durable"  # what the name of a log of requests ends with, for the log of what became durable
QUANTILES = {"p50": 0.5, "p99": 0.99, "max": 1.0}
LATENCY = 0.02
ASKING = ("mining", "difficulty", "answers", "votes")
WRITING = (
    *("mined_instructions", "unique_instructions", "instruction_difficulty", "instruction_embeddings", "selected_instructions"),
    *("answers", "judge_votes", "battle_outcomes", "elo_ratings", "answer_scores", "sft_dataset"),
)
MOMENTS = [*(f"asking {stage}" for stage in ASKING for _ in range(3)), *(f"writing {table}" for table in WRITING)]
TABLES = WRITING[:10]


def preload() -> None:
    """Import the slow modules that are safe to fork, so that each run starts quickly. Lance is not safe: it has threads."""
    for name in (
        "dagster",
        "polars",
        "pyarrow.dataset",
        "transformers",
        "sentence_transformers",
        "lance_namespace_urllib3_client",
    ):
        importlib.import_module(name)


def one_run(folder: Path, log: Path, events: Connection) -> None:
    """Materialize everything with its own engine; sends an event for each stage that it reaches."""
    from warrior_dagster.inference.engines import Engines
    from warrior_dagster.inference.http_client import CompletionsClient
    from warrior_dagster.inference.ledger.writer import LedgerWriter
    from warrior_dagster.inference.progress import Progress
    from warrior_dagster.inference.request import Completion, Request
    from warrior_dagster.inference.servers.vllm import free_port, wait_until_healthy
    from warrior_dagster.orchestration.running import run_arena
    from warrior_dagster.processes.guard import guarded_process
    from warrior_dagster.warehouse.tables import Warehouse

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    arena = small_arena(folder, {"kind": "vllm"})
    write = Warehouse.write

    def write_with_event(self: Warehouse, table: str, partition: str, rows: Any) -> Any:
        events.send(f"writing {table}")
        return write(self, table, partition, rows)

    append = LedgerWriter.append

    def append_with_time(self: LedgerWriter, request: Request, completion: Completion) -> None:
        append(self, request, completion)
        now = time.time()
        what = identity({"prompt": request.prompt, "add_special_tokens": False, **json.loads(request.params)})
        durable.write(f"{what:032x} {now}\n")

    def start(_: object, stack: ExitStack, lock: int) -> CompletionsClient:
        port = free_port()
        command = [sys.executable, endpoint_script, "--port", str(port), "--log", str(log), "--latency", str(LATENCY)]
        url, output = f"http://127.0.0.1:{port}", folder / "server.log"
        server = stack.enter_context(guarded_process(command, dict(os.environ), log=output, lock=lock))
        wait_until_healthy(url, server, 60, output)
        return CompletionsClient([url], "m", max_in_flight=16, attempts=3, timeout_s=30)

    def report(progress: Progress) -> None:
        events.send(f"asking {progress.stage}")

    Warehouse.write = write_with_event  # type: ignore[method-assign]
    LedgerWriter.append = append_with_time  # type: ignore[method-assign]
    with (
        log.with_suffix(DURABLE_LOG).open("a", buffering=1) as durable,
        LedgerWriter(arena.warehouse) as ledger,
        Engines(arena.engine, ledger, folder, report=report, start=start) as engines,
    ):
        run_arena(arena, engines)


def killed(folder: Path, log: Path, moment: str | None, chance: random.Random) -> tuple[str, float] | None:
    """Run, and kill the run at a moment. Returns its last event and the time of the kill, or None if it ended first."""
    ours, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(target=one_run, args=(folder, log, theirs))
    process.start()
    theirs.close()
    last, deadline = "starting", float("inf")
    while process.is_alive():
        if ours.poll(min(max(deadline - time.monotonic(), 0), 0.05)):
            try:
                last = ours.recv()
            except EOFError:
                break
            if last == moment and deadline == float("inf"):
                deadline = time.monotonic() + chance.uniform(0, 1.0 if last.startswith("asking") else 0.05)
        if time.monotonic() >= deadline:
            process.kill()
            process.join()
            return last, time.time()
    process.join()
    assert process.exitcode == 0, f"a run failed: exit status {process.exitcode}; see {folder}"
    return None


def state(folder: Path, results: Connection) -> None:
    """What is on disk: ledger rows per request, doubled keys and rows, and a hash of each partition."""
    from warrior_dagster.inference.ledger.writer import LedgerWriter
    from warrior_dagster.warehouse.row_hash import rows_sha256
    from warrior_dagster.warehouse.tables import Warehouse

    with LedgerWriter(str(folder / "warehouse")) as ledger:  # as the next run opens it
        rows = ledger.newest(10**9, ["key", "prompt", "params"])
    requests = Counter[str]()
    for prompt, params in rows.select("prompt", "params").iter_rows():
        requests[f"{identity({'prompt': prompt, 'add_special_tokens': False, **json.loads(params)}):032x}"] += 1
    warehouse, doubled = Warehouse(str(folder / "warehouse")), len(rows) - rows["key"].n_unique()
    partitions, sizes = dict[str, str](), dict[str, int]()
    for table in TABLES:
        if warehouse.partitions(table):
            frame = warehouse.read(table)
            sizes[table] = len(frame)
            doubled += len(frame) - len(frame.unique(["partition", "row_id"]))
            partitions |= {f"{table}/{key[0]}": rows_sha256(part) for key, part in frame.group_by("partition")}
    results.send({"requests": requests, "doubled": doubled, "partitions": partitions, "sizes": sizes})


def state_of(folder: Path) -> dict[str, Any]:
    """`state` in its own process, because this one must not use Lance before it forks."""
    ours, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(target=state, args=(folder, theirs))
    process.start()
    found: dict[str, Any] = ours.recv()
    process.join()
    return found


def left_behind(mark: str, patience: float = 15.0) -> int:
    """The number of processes of a run's server that are still alive after `patience` seconds."""
    deadline = time.monotonic() + patience
    while (
        found := sum(mark in line for line in map(command_line, Path("/proc").glob("[0-9]*")))
    ) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def command_line(process: Path) -> str:
    """A process's arguments; empty if it has ended."""
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def unanswered(lines: list[dict[str, Any]], since: float) -> int:
    """The number of samples that were not answered before `since`."""
    came = sum(int(line["n"]) for line in lines if line["left"] is None)
    return came - sum(int(line["n"]) for line in lines if line["left"] is not None and line["left"] < since)


def delays(log: Path, lines: list[dict[str, Any]]) -> list[float]:
    """The seconds from the answer of each request to the moment when all of its samples were durable."""
    file, durable = log.with_suffix(DURABLE_LOG), dict[str, float]()
    for line in file.read_text().splitlines() if file.exists() else []:
        what, _, at = line.partition(" ")
        durable[what] = float(at)
    return [durable[line["what"]] - line["left"] for line in lines if line["left"] is not None and line["what"] in durable]


def kill_and_finish(folder: Path, kills: int, chance: random.Random, seconds: list[float]) -> Counter[str]:
    """Kill an arena's runs several times, let one finish, and count; `seconds` gets the delays."""
    found, seen, sent = Counter[str](), list[dict[str, str]](), 0
    had: Counter[str] = Counter()
    moments = sorted(chance.choices(MOMENTS, k=kills), key=MOMENTS.index)
    for number, moment in enumerate([*moments, None]):
        log = folder / f"requests-{number}.log"
        end = killed(folder, log, moment, chance)
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        sent += sum(line["n"] for line in lines if line["left"] is None)
        seconds += delays(log, lines)
        found["leftovers"] += left_behind(str(log))
        now = state_of(folder)
        found["duplicated"] += now["doubled"]
        if end:
            stage, at = end
            found["kills"] += 1
            found[f"at {stage}"] += 1
            found["in_flight"] += unanswered(lines, at - DURABLE_SECONDS)
            durable = Counter[str]()
            for line in lines:
                durable[line["what"]] += line["n"] * (line["left"] is not None and line["left"] < at - DURABLE_SECONDS)
            found["lost"] += ((had + durable) - now["requests"]).total()
            seen.append(now["partitions"])
        had = now["requests"]
    found["repeated"] = sent - had.total()
    found["half_written"] = sum(now["partitions"].get(name) != digest for then in seen for name, digest in then.items())
    selected = now["sizes"]["selected_instructions"]
    expected = {
        "mined_instructions": 4 * 40,
        "answers": 4 * selected,
        "judge_votes": 6 * 2 * 2 * selected,
        "battle_outcomes": 6 * selected,
    }
    found["lost"] += sum(abs(count - now["sizes"][table]) for table, count in expected.items())
    return found


def worker(folder: Path, kills: int, seed: int, results: Connection) -> None:
    """Kill and finish arenas in sequence until the number of kills is reached; sends the counts and delays."""
    os.environ["DAGSTER_HOME"] = str(quiet_home(folder / "home"))
    chance, total, seconds = random.Random(seed), Counter[str](), list[float]()
    for number in range(100):
        if total["kills"] >= kills:
            break
        (folder / str(number)).mkdir()
        total += kill_and_finish(folder / str(number), min(KILLS_PER_ARENA, kills - total["kills"]), chance, seconds)
    results.send((total, seconds))


def main(kills: int) -> None:
    """Run the workers in parallel, and print the sum of their counts."""
    preload()
    with tempfile.TemporaryDirectory() as name:
        pipes = []
        for number in range(WORKERS):
            ours, theirs = FORK.Pipe(duplex=False)
            (folder := Path(name, str(number))).mkdir()
            FORK.Process(target=worker, args=(folder, kills // WORKERS + (number < kills % WORKERS), number, theirs)).start()
            theirs.close()
            pipes.append(ours)
        received = [pipe.recv() for pipe in pipes]
    total = sum((counts for counts, _ in received), Counter[str]())
    durable = sorted(chain.from_iterable(seconds for _, seconds in received))
    counts = {key: total[key] for key in ("kills", "repeated", "in_flight", "lost", "duplicated", "half_written", "leftovers")}
    nothing_wrong = not any(counts[key] for key in ("lost", "duplicated", "half_written", "leftovers"))
    moments = {key: count for key, count in sorted(total.items()) if key.startswith("at ")}
    ok = nothing_wrong and counts["repeated"] <= counts["in_flight"] and counts["kills"] == kills
    print(json.dumps({"benchmark": "crash", **counts, "ok": ok, "moments": moments}))
    quantiles = {name: round(durable[int(share * (len(durable) - 1))], 4) for name, share in QUANTILES.items()}
    measure = {"measure": "answered_to_durable_s", "n": len(durable), **quantiles}
    print(json.dumps({"benchmark": "crash", **measure, "limit": DURABLE_SECONDS, "ok": durable[-1] <= DURABLE_SECONDS}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
