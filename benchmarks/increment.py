"""The requests that each change of an arena sends, compared with the minimum. Prints one JSON line per change.

The endpoint counts `requests_sent`, in samples. `requests_minimal` is the number of completions that the changed arena's rows
need and the ledger did not have. Each change starts from a copy of the same finished arena.
    python -m benchmarks.increment
"""

import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.arenas import ROSTER, quiet_home, small_arena
from benchmarks.scripted import scripted_server
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.orchestration.definitions import open_engines
from warrior_dagster.orchestration.running import asking_tables, run_arena
from warrior_dagster.stages.mining import cleaning, sampling
from warrior_dagster.warehouse.tables import Warehouse

CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "append a competitor": {"roster": (*ROSTER, "eve")},
    "remove a competitor": {"roster": ROSTER[1:]},
    "rename a competitor": {"roster": ("ann", "bert=bob", "cyd", "dan")},
    "change a competitor's prompt": {"roster": ("ann", "bob", "cyd", "dan=dora")},
    "raise the number of samples": {"mining": {"samples": 60}},
    "lower the difficulty threshold": {"difficulty": {"keep": 3.0}},
    "read the votes as hard verdicts": {"battles": {"votes": "hard"}},
    "change the judges' prompt": {"battles": {"prompt": "Which is better?\n$instruction\n$answer_a\n$answer_b\nA or B?"}},
}


def needed(arena: Arena) -> set[str]:
    """The keys of all completions that the current rows of an arena need."""
    warehouse, found = Warehouse(arena.warehouse), set[str]()
    for table in asking_tables(arena):
        rows = warehouse.read(table.name, table.partitions(arena))
        rated = rows["ratings"].explode().struct.unnest() if "ratings" in rows.columns else rows
        found |= set(rated["completion_key"].drop_nulls())
    return found


def paid(arena: Arena) -> set[str]:
    """The keys of all completions in an arena's ledger."""
    ledger = LedgerReader(arena.warehouse)
    return set(ledger.newest(10**9, ["key"])["key"])


def run(arena: Arena) -> None:
    """Materialize everything without progress reports."""
    with open_engines(arena, lambda _: None) as engines:
        run_arena(arena, engines)


def reworded(text: str, clean: Callable[..., Any], **how: Any) -> Any:
    """A changed parser of mined instructions."""
    return clean(text.replace("Python", "Python 3"), **how)


def measure(change: str, arena: Arena, log: Path) -> None:
    """Run a changed arena and print how many requests it sent."""
    had, before = paid(arena), sent(log)
    run(arena)
    new, least = sent(log) - before, len(needed(arena) - had)
    ratio = new / least if least else float(new == 0)
    line = {"change": change, "requests_sent": new, "requests_minimal": least, "ratio": ratio}
    print(json.dumps({"benchmark": "increment", **line}), flush=True)


def main() -> None:
    """Measure all changes of the YAML, then the return of a removed competitor and a changed parser."""
    with tempfile.TemporaryDirectory() as name:
        folder, log = Path(name), Path(name, "requests.log")
        os.environ["DAGSTER_HOME"] = str(quiet_home(folder / "home"))
        with scripted_server(log=log, latency=0.005) as url:
            serve = {"kind": "endpoint", "urls": [url]}
            run(small_arena(folder / "first", serve))
            for change, values in CHANGES.items():
                copy = folder / change.replace(" ", "_")
                shutil.copytree(folder / "first", copy)
                measure(change, small_arena(copy, serve, **values), log)
            measure("take a removed competitor back", small_arena(folder / "remove_a_competitor", serve), log)
            parser = partial(reworded, clean=cleaning.clean)
            setattr(sampling, "clean", parser)  # noqa: B010
            for record in (folder / "nothing").rglob("last_run.*.json"):
                record.unlink()  # a run cannot see that a function was replaced, and would make nothing
            measure("change the parser of what is mined", small_arena(folder / "nothing", serve), log)


def sent(log: Path) -> int:
    """The number of samples requested from the endpoint so far."""
    lines = map(json.loads, log.read_text().splitlines())
    return sum(line["n"] for line in lines if line["left"] is None)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    logging.disable(logging.WARNING)
    main()
