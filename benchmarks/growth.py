"""Time and memory of every stage without a model at growing numbers of rows, from its input tables to its output table.

Each stage runs in its own process. Its peak memory includes Python and libraries. Embedding uses a model and is measured at
fewer rows (`EMBEDDED`). Texts are those of `measure.instructions`; vectors are random, with 384 dimensions.
    python -m benchmarks.growth [QUICK]     # with DOCS=1 also writes docs/growth.md and docs/growth.svg
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.measure import QUICK, instructions, result, timed
from warrior_dagster.analysis.novelty import nearest_references
from warrior_dagster.config.stages import Deduplication, Embedding, Ratings, Selection
from warrior_dagster.stages.curation import embedding, selection
from warrior_dagster.stages.curation.columns import RATED
from warrior_dagster.stages.curation.dedup import mark_duplicates
from warrior_dagster.stages.export.files import write_dataset
from warrior_dagster.stages.export.sft import sft_rows
from warrior_dagster.stages.ratings import leaderboard, scores
from warrior_dagster.warehouse.tables import Warehouse

SIZES = [10_000] if QUICK else [10_000, 30_000, 100_000, 300_000, 1_000_000]
EMBEDDED = 10_000
WIDTH, CENTRES, REFERENCES, PARTS = 384, 1_400, 5_000, 4
ROSTER = [f"model-{number}" for number in range(5)]
SKIPPED_IF_QUICK = ("embed", "select_in_parts", "novelty", "rate", "score_and_export")
"""Stages that have their own benchmarks or show nothing at the small size."""
LIMIT = 4.0
"""Peak GiB that curation of a million instructions may use."""


def mine(warehouse: Warehouse, n: int) -> None:
    """Write the input of all stages: n mined instructions of one competitor."""
    texts = instructions(n)
    ids = pl.Series("row_id", [f"{number:08d}" for number in np.random.default_rng(0).permutation(n)])
    same = {"competitor": "a", "language": "Python", "temperature": 1.0, "top_p": 0.99, "status": "ok", "completion_key": "k"}
    rows = pl.DataFrame({"row_id": ids, "instruction_id": ids, "instruction": texts, "sample": range(n), "score": 7.0})
    warehouse.write("mined", "a", rows.with_columns(pl.lit(value).alias(name) for name, value in same.items()))


def deduplicate(warehouse: Warehouse, n: int) -> None:
    warehouse.write("unique", "a", mark_duplicates(warehouse.read("mined", ["a"]), ["a"], Deduplication()))


def embed(warehouse: Warehouse, n: int) -> None:
    settings = Embedding(model=str(Path("models/all-MiniLM-L6-v2").absolute()))
    warehouse.write("embedded", "a", embedding.embed_instructions(warehouse.read("mined", ["a"], RATED), settings))


def store_vectors(warehouse: Warehouse, n: int) -> None:
    rng, rows = np.random.default_rng(0), warehouse.read("mined", ["a"], RATED)
    kind = pl.Array(pl.Float32, WIDTH)
    frames = (
        part.with_columns(pl.Series("vector", rng.standard_normal((len(part), WIDTH), dtype=np.float32), dtype=kind))
        for part in rows.iter_slices(embedding.CHUNK)
    )
    warehouse.write("vectors", "a", frames)


def select(warehouse: Warehouse, n: int, part_rows: int = 10**9) -> None:
    rows = warehouse.read("vectors", ["a"], RATED)
    settings = Selection(centres=CENTRES, part_rows=part_rows)
    chosen = selection.select_centres(
        rows, ["a"], settings, lambda name, some: warehouse.vectors("vectors", name, some["row_id"])
    )
    warehouse.write("selected", "a", chosen)


def select_in_parts(warehouse: Warehouse, n: int) -> None:
    select(warehouse, n, max(-(-n // PARTS), 2 * CENTRES))


def novelty(warehouse: Warehouse, n: int) -> None:
    rows = warehouse.read("mined", ["a"], ["instruction"])
    found = nearest_references(rows["instruction"].to_list(), instructions(REFERENCES, seed=1))
    warehouse.write("novelty", "a", pl.concat([rows.select("row_id"), found], how="horizontal"))


def rate(warehouse: Warehouse, n: int) -> None:
    """Elo of n battles with 1,000 bootstraps."""
    rng, pairs = np.random.default_rng(0), np.array(list(combinations(ROSTER, 2)))
    sides = pairs[rng.integers(0, len(pairs), n)]
    battles = pl.DataFrame({"left": sides[:, 0], "right": sides[:, 1], "outcome": rng.choice([0.0, 0.5, 1.0], n)})
    warehouse.write("ratings", "a", leaderboard.rate(battles, ROSTER, Ratings(bootstrap_rounds=1000)))


def score_and_export(warehouse: Warehouse, n: int) -> None:
    """Final scores of n answers, five to an instruction, and the SFT data set."""
    rng, pairs = np.random.default_rng(0), list(combinations(ROSTER, 2))
    selected = (
        warehouse.read("mined", ["a"], ["instruction"]).head(n // len(ROSTER)).select("instruction", instruction_id="row_id")
    )
    ids = selected["instruction_id"]
    outcomes = pl.concat(
        pl.DataFrame({"instruction_id": ids, "left": a, "right": b, "local_left": rng.random(len(ids))}) for a, b in pairs
    )
    answers = pl.concat(
        selected.select(
            "instruction_id",
            competitor=pl.lit(name),
            usable=True,
            answer=pl.format("{} {}", pl.lit(name), "instruction"),
            completion_key="instruction_id",
            finished=True,
        )
        for name in ROSTER
    )
    scored = scores.final_scores(outcomes, dict.fromkeys(ROSTER, 1000.0), answers, ROSTER, alpha=0.7)
    attacked = selected.with_columns(
        attacker=pl.lit(ROSTER[0]), language=pl.lit("Python"), difficulty=7.0, decided_by=pl.lit("opinion")
    )
    records = scored.join(attacked, on="instruction_id").join(answers, on=["instruction_id", "competitor"])
    write_dataset(sft_rows(records), Path(warehouse.uri), "sft", "")


STAGES: dict[str, Callable[[Warehouse, int], None]] = {
    stage.__name__: stage
    for stage in (mine, deduplicate, embed, store_vectors, select, select_in_parts, novelty, rate, score_and_export)
}


def measured(stage: str, n: int, folder: str) -> tuple[float, float]:
    """Seconds and peak GiB of a stage in its own process."""
    command = [sys.executable, "-m", "benchmarks.growth", "stage", stage, str(n), folder]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def grow() -> pl.DataFrame:
    """Print the result of every stage at every size, and each stage's exponent between its two largest sizes."""
    rows = []
    for n in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            for stage in STAGES:
                if (stage == "embed" and n > EMBEDDED) or (QUICK and stage in SKIPPED_IF_QUICK):
                    continue
                seconds, peak = measured(stage, n, folder)
                if stage == "mine":
                    continue
                rows.append({"stage": stage, "n": n, "seconds": seconds, "gib": peak})
                result(
                    "growth", f"peak GiB of {stage}", peak, "4 GiB", LIMIT, LIMIT / peak, n, least=1, seconds=round(seconds, 2)
                )
    found = pl.DataFrame(rows)
    for (stage,), own in found.group_by("stage", maintain_order=True):
        if len(own) > 1:
            slope = exponent(own)
            result("growth", f"exponent of {stage}", slope, "linear", 1.0, 1 / max(slope, 0.01), own["n"][-1], least=0)
    return found


def exponent(own: pl.DataFrame) -> float:
    """The exponent of a stage's time in its number of rows, between the two largest sizes."""
    (few, fast), (many, slow) = own[-2:].select("n", "seconds").rows()
    return float(np.log(slow / fast) / np.log(many / few))


def document(found: pl.DataFrame) -> None:
    """Write the table and the plot of docs/."""
    import matplotlib.pyplot as plt

    figure, (times, peaks) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    lines = ["| stage | " + " | ".join(f"{n:,}" for n in SIZES) + " | exponent |", "|---|" + "---:|" * (len(SIZES) + 1)]
    for (stage,), own in found.group_by("stage", maintain_order=True):
        name = str(stage).replace("_", " ")
        times.loglog(own["n"], own["seconds"], marker="o", label=name)
        peaks.semilogx(own["n"], own["gib"], marker="o", label=name)
        cells = {n: f"{seconds:.1f} s, {gib:.2f} GiB" for n, seconds, gib in own.select("n", "seconds", "gib").iter_rows()}
        slope = f"{exponent(own):.2f}" if len(own) > 1 else ""
        lines.append(f"| {name} | " + " | ".join(cells.get(n, "") for n in SIZES) + f" | {slope} |")
    times.set(xlabel="rows", ylabel="seconds", title=f"Time on {os.cpu_count()} cores")
    peaks.set(xlabel="rows", ylabel="GiB", title="Peak memory of the process")
    peaks.axhline(LIMIT, color="grey", linestyle=":")
    times.legend(fontsize=8)
    figure.savefig("docs/growth.svg", metadata={"Date": None})
    page = Path("docs/growth.md")
    text = page.read_text(encoding="utf-8")
    before, after = text.split("<!-- table -->")[0], text.split("<!-- table -->")[-1]
    page.write_text(before + "<!-- table -->\n" + "\n".join(lines) + "\n<!-- table -->" + after, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["stage"]:
        stage, n, folder = STAGES[sys.argv[2]], int(sys.argv[3]), sys.argv[4]
        seconds, _ = timed(lambda: stage(Warehouse(folder), n))
        print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20]))
    else:
        found = grow()
        if os.environ.get("DOCS") == "1" and not QUICK:
            document(found)
