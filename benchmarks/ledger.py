"""The ledger at a million completions: look-ups of 10,000 keys, half of them stored, and appends that do not slow down.

Appends have 150 completions each, as the ledger's own thread makes them, and are timed while it compacts itself.
    python -m benchmarks.ledger [QUICK]
"""

import json
import random
import statistics
import sys
import tempfile
import time

from warrior_dagster.config.serving import Sampling, VllmServer
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.request import Completion, Request, ServedModel, params
from warrior_dagster.warehouse.arrow_memory import use_system_allocator

MODEL = ServedModel("org/m@main", "org/m", None, VllmServer())
PARAMS = params(Sampling(max_tokens=512))
BATCH = 150


def completed(number: int) -> tuple[Request, Completion]:
    """A request and its completion, as long as a verdict."""
    request = Request(MODEL, f"instruction {number}: " + "which of the two answers is better? " * 12, PARAMS)
    text = f"{number} " + "the first handles the empty list, the second does not " * 6
    return request, Completion(request.keys()[0], 0, text, "stop", 120, 80)


def result(measure: str, value: float, limit: float, ok: bool, **more: float) -> None:
    """Print one JSON line."""
    line = {"benchmark": "ledger", "measure": measure, "value": round(value, 4), "limit": limit, "ok": ok, **more}
    print(json.dumps(line), flush=True)


def main(size: int) -> None:
    """All figures, for a ledger of `size` completions."""
    use_system_allocator()  # as the command line does
    with tempfile.TemporaryDirectory() as folder, LedgerWriter(folder) as ledger:
        seconds = []
        for first in range(0, size, BATCH):
            for number in range(first, min(first + BATCH, size)):
                ledger.append(*completed(number))
            started = time.perf_counter()
            ledger.flush()
            seconds.append(time.perf_counter() - started)
        tenth = max(len(seconds) // 10, 1)
        early, late = statistics.median(seconds[:tenth]), statistics.median(seconds[-tenth:])
        result("append_ms_late_over_early", late / early, 1.5, late <= 1.5 * early, early=early * 1e3, late=late * 1e3, n=size)
        slow = statistics.quantiles(seconds, n=100)[-1]
        result("append_ms_99th_percentile", slow * 1e3, 50, slow <= 0.05, n=size)
        chance = random.Random(0)
        wanted = [completed(chance.randrange(size))[1].key for _ in range(5_000)]
        wanted += [completed(size + number)[1].key for number in range(5_000)]
        times = []
        for _ in range(5):
            started = time.perf_counter()
            found = ledger.get(wanted)
            times.append(time.perf_counter() - started)
        right = set(found) == set(wanted[:5_000])
        result("lookup_10000_s", statistics.median(times), 2.0, right and statistics.median(times) <= 2.0, n=size)


if __name__ == "__main__":
    main(200_000 if "QUICK" in sys.argv[1:] else 1_000_000)
