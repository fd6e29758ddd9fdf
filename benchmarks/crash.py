"""`kill -9` at random moments of every stage: what is repeated, lost, doubled or left behind. Prints one JSON line.

Each life of an arena is killed some times and then left to finish. A run starts its engine as it starts vLLM: a scripted
endpoint under the guard that kills it. Moments are drawn among the stages: while one asks, or while one writes its partitions.
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
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.arenas import quiet_home, small_arena
from benchmarks.scripted import __file__ as endpoint_script
from benchmarks.scripted import identity

FORK = multiprocessing.get_context("fork")
KILLS_A_LIFE, LANES = 13, 2
DURABLE_SECONDS = 0.2
LATENCY = 0.02
ASKING = ("mining", "difficulty", "answers", "votes")
WRITING = (
    *("mined_instructions", "unique_instructions", "instruction_difficulty", "instruction_embeddings", "selected_instructions"),
    *("answers", "judge_votes", "battle_outcomes", "elo_ratings", "answer_scores", "sft_dataset"),
)
MOMENTS = [*(f"asking {stage}" for stage in ASKING for _ in range(3)), *(f"writing {table}" for table in WRITING)]
TABLES = WRITING[:10]


def imports_once() -> None:
    """Load what is slow to load and safe to fork, so that each run begins at once. Lance is not: it has threads."""
    for name in (
        "dagster",
        "polars",
        "pyarrow.dataset",
        "transformers",
        "sentence_transformers",
        "lance_namespace_urllib3_client",
    ):
        importlib.import_module(name)


def one_run(folder: Path, log: Path, tell: Connection) -> None:
    """Materialize everything with an engine of its own; sends the stages that it reaches."""
    from warrior_dagster.inference.engines import Engines
    from warrior_dagster.inference.http_client import CompletionsClient
    from warrior_dagster.inference.ledger.writer import LedgerWriter
    from warrior_dagster.inference.progress import Progress
    from warrior_dagster.inference.servers.vllm import free_port, wait_until_healthy
    from warrior_dagster.orchestration.running import run_arena
    from warrior_dagster.processes.guard import guarded_process
    from warrior_dagster.warehouse.tables import Warehouse

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    arena = small_arena(folder, {"kind": "vllm"})
    write = Warehouse.write

    def telling(self: Warehouse, table: str, partition: str, rows: Any) -> Any:
        tell.send(f"writing {table}")
        return write(self, table, partition, rows)

    def start(_: object, stack: ExitStack, lock: int) -> CompletionsClient:
        port = free_port()
        command = [sys.executable, endpoint_script, "--port", str(port), "--log", str(log), "--latency", str(LATENCY)]
        url, output = f"http://127.0.0.1:{port}", folder / "server.log"
        server = stack.enter_context(guarded_process(command, dict(os.environ), log=output, lock=lock))
        wait_until_healthy(url, server, 60, output)
        return CompletionsClient([url], "m", max_in_flight=16, attempts=3, timeout_s=30)

    def report(progress: Progress) -> None:
        tell.send(f"asking {progress.stage}")

    Warehouse.write = telling  # type: ignore[method-assign]
    with LedgerWriter(arena.warehouse) as ledger, Engines(arena.engine, ledger, folder, report=report, start=start) as engines:
        run_arena(arena, engines)


def killed(folder: Path, log: Path, moment: str | None, chance: random.Random) -> tuple[str, float] | None:
    """Run, and kill the run at a moment; None if it ended first, else the last stage it told and when it was killed."""
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


def state(folder: Path, answer: Connection) -> None:
    """What is on disk: ledger rows by question, doubled keys and rows, and a hash of each table's partitions."""
    from warrior_dagster.inference.ledger.reader import LedgerReader
    from warrior_dagster.warehouse.row_hash import rows_sha256
    from warrior_dagster.warehouse.tables import Warehouse

    ledger = LedgerReader(str(folder / "warehouse"))
    rows = ledger.newest(10**9, ["key", "prompt", "params"])
    questions = Counter[str]()
    for prompt, params in rows.select("prompt", "params").iter_rows():
        questions[f"{identity({'prompt': prompt, 'add_special_tokens': False, **json.loads(params)}):032x}"] += 1
    warehouse, doubled = Warehouse(str(folder / "warehouse")), len(rows) - rows["key"].n_unique()
    partitions, sizes = dict[str, str](), dict[str, int]()
    for table in TABLES:
        if warehouse.partitions(table):
            frame = warehouse.read(table)
            sizes[table] = len(frame)
            doubled += len(frame) - len(frame.unique(["partition", "row_id"]))
            partitions |= {f"{table}/{key[0]}": rows_sha256(part) for key, part in frame.group_by("partition")}
    answer.send({"questions": questions, "doubled": doubled, "partitions": partitions, "sizes": sizes})


def state_of(folder: Path) -> dict[str, Any]:
    """`state`, in a process of its own: this one must never touch Lance before it forks."""
    ours, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(target=state, args=(folder, theirs))
    process.start()
    found: dict[str, Any] = ours.recv()
    process.join()
    return found


def left_behind(mark: str, patience: float = 15.0) -> int:
    """Processes of a run's server that are still there after a while."""
    deadline = time.monotonic() + patience
    while (
        found := sum(mark in line for line in map(command_line, Path("/proc").glob("[0-9]*")))
    ) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def command_line(process: Path) -> str:
    """A process's arguments; nothing if it has ended."""
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def unanswered(lines: list[dict[str, Any]], since: float) -> int:
    """Samples that were in flight, or answered at `since` or later."""
    came = sum(int(line["n"]) for line in lines if line["left"] is None)
    return came - sum(int(line["n"]) for line in lines if line["left"] is not None and line["left"] < since)


def life(folder: Path, kills: int, chance: random.Random) -> Counter[str]:
    """Kill an arena's runs some times, let it finish, and count."""
    found, seen, asked = Counter[str](), list[dict[str, str]](), 0
    had: Counter[str] = Counter()
    moments = sorted(chance.choices(MOMENTS, k=kills), key=MOMENTS.index)
    for number, moment in enumerate([*moments, None]):
        log = folder / f"requests-{number}.log"
        end = killed(folder, log, moment, chance)
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        asked += sum(line["n"] for line in lines if line["left"] is None)
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
            found["lost"] += ((had + durable) - now["questions"]).total()
            seen.append(now["partitions"])
        had = now["questions"]
    found["repeated"] = asked - had.total()
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


def lane(folder: Path, kills: int, seed: int, answer: Connection) -> None:
    """Lives, one after the other."""
    os.environ["DAGSTER_HOME"] = str(quiet_home(folder / "home"))
    chance, total = random.Random(seed), Counter[str]()
    for number in range(100):
        if total["kills"] >= kills:
            break
        (folder / str(number)).mkdir()
        total += life(folder / str(number), min(KILLS_A_LIFE, kills - total["kills"]), chance)
    answer.send(total)


def main(kills: int) -> None:
    """The lanes side by side, and their sum."""
    imports_once()
    with tempfile.TemporaryDirectory() as name:
        pipes = []
        for number in range(LANES):
            ours, theirs = FORK.Pipe(duplex=False)
            (folder := Path(name, str(number))).mkdir()
            FORK.Process(target=lane, args=(folder, kills // LANES + (number < kills % LANES), number, theirs)).start()
            theirs.close()
            pipes.append(ours)
        total = sum((pipe.recv() for pipe in pipes), Counter[str]())
    counts = {key: total[key] for key in ("kills", "repeated", "in_flight", "lost", "duplicated", "half_written", "leftovers")}
    nothing_wrong = not any(counts[key] for key in ("lost", "duplicated", "half_written", "leftovers"))
    moments = {key: count for key, count in sorted(total.items()) if key.startswith("at ")}
    ok = nothing_wrong and counts["repeated"] <= counts["in_flight"] and counts["kills"] == kills
    print(json.dumps({"benchmark": "crash", **counts, "ok": ok, "moments": moments}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
