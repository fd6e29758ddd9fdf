"""Measurement by paired runs and medians, output of one JSON line per result, and the texts of the benchmarks.

Machines are noisy, so this project and the peer run alternately in one process, and the ratio is the median of the pairs'
ratios. Each run follows a pause, because threads of NumPy and torch stay busy for a tenth of a second after a call.
"""

import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

QUICK = "QUICK" in sys.argv[1:] or os.environ.get("QUICK") == "1"
PAUSE = 0.3
"""Seconds."""
TEXTS = ("code_alpaca_2k.json", "new_codealpaca.json")


def timed(work: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> tuple[float, Any]:
    """Wall seconds of one call, after `before` and a pause, and what it returned."""
    before()
    time.sleep(PAUSE)
    started = time.perf_counter()
    value = work()
    return time.perf_counter() - started, value


def paired(
    ours: Callable[[], Any], peer: Callable[[], Any], rounds: int = 3, before: Callable[[], Any] = lambda: None
) -> tuple[float, float, float]:
    """Median seconds of ours and of the peer, and the median of their ratio, peer / ours; `before` runs before each call.

    The peer goes first in every second round.
    """
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            taken[side].append(timed((ours, peer)[side], before)[0])
    mine, theirs = (statistics.median(side) for side in taken)
    return mine, theirs, statistics.median(b / a for a, b in zip(*taken, strict=True))


def result(
    benchmark: str, measure: str, value: float, peer: str, peer_value: float, ratio: float, n: int, *, least: float, **more: Any
) -> None:
    """Print one JSON line; `ok` is whether the ratio is at least `least`."""
    numbers = {"value": value, "peer": peer, "peer_value": peer_value, "ratio": ratio}
    shown = {name: float(f"{v:.5g}") if isinstance(v, float | np.floating) else v for name, v in numbers.items()}
    line = {"benchmark": benchmark, "measure": measure, **shown, "n": n, "least": least, "ok": bool(ratio >= least)}
    print(json.dumps(line | more), flush=True)


def instructions(n: int, seed: int = 0) -> list[str]:
    """n short coding instructions: those of CodeAlpaca, then copies in which a random share of words is replaced.

    The files are in the folder BENCH_DATA, which is not part of the project.
    """
    folder = Path(os.environ.get("BENCH_DATA", "../shared/data"))
    missing = [name for name in TEXTS if not (folder / name).is_file()]
    if missing:
        raise SystemExit(f"BENCH_DATA={folder}: expected CodeAlpaca's {' and '.join(TEXTS)}; missing {', '.join(missing)}")
    rows = [row for name in TEXTS for row in json.loads((folder / name).read_text(encoding="utf-8"))]
    real = [(row["instruction"] + "\n" + row.get("input", "")).strip() for row in rows]
    chance = random.Random(seed)
    words = [word for text in real for word in text.split()]
    texts = real[:n]
    while len(texts) < n:
        share = chance.random()
        changed = (chance.choice(words) if chance.random() < share else word for word in chance.choice(real).split())
        texts.append(" ".join(changed))
    return texts
