"""Final scores and the three exports, compared with a plain Python loop that makes the same rows and files.

The loop is what a script would do: it computes e of each answer by METHOD's formula, makes records as dictionaries, and writes
them with `datasets`, the library that trainers read them with. A faster loop, with `json.dumps` and pyarrow's
`Table.from_pylist`, is shown as well, except with QUICK, and has no required ratio. First the benchmark asserts that the loop
makes the same rows and JSON Lines (with QUICK for a part of the instructions).
"""

import json
import random
import shutil
import tempfile
from itertools import combinations
from math import sqrt
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import QUICK, paired, result
from warrior_dagster.stages.export.dpo import dpo_rows
from warrior_dagster.stages.export.files import write_dataset
from warrior_dagster.stages.export.kto import kto_rows
from warrior_dagster.stages.export.sft import sft_rows
from warrior_dagster.stages.ratings.elo import expected
from warrior_dagster.stages.ratings.scores import final_scores

ROSTER = [f"model-{number}" for number in range(5)]
RATINGS = dict(zip(ROSTER, (1000.0, 1040.0, 950.0, 1110.0, 900.0), strict=True))
ALPHA, MARGIN = 0.7, 0.1
MEMORY = Path("/dev/shm")
"""Folder for the files if it has enough space, so that the disk is not measured."""
ANSWER = 600
"""Characters of an answer, on average."""

Rows = list[dict[str, Any]]


def arena(instructions: int) -> dict[str, pl.DataFrame]:
    """Instructions with five answers each, of realistic lengths, and the outcomes of all ten pairs."""
    rng, chance = np.random.default_rng(0), random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnoprstuvwxyz_", k=chance.randint(1, 9))) for _ in range(3_000)]
    text = " ".join(chance.choices(words + ["\n    ", '"é"', "(x)", "= 0"] * 300, k=400_000))
    ids = [f"{number:032x}" for number in rng.permutation(instructions)]
    pairs = list(combinations(ROSTER, 2))
    starts = rng.integers(0, len(text) - 2 * ANSWER, (6, instructions))
    lengths = rng.integers(ANSWER // 2, ANSWER * 3 // 2, (6, instructions))
    answers = [
        (one, name, text[start : start + length])
        for own_starts, own_lengths, name in zip(starts[1:], lengths[1:], ROSTER, strict=True)
        for one, start, length in zip(ids, own_starts, own_lengths, strict=True)
    ]
    return {
        "outcomes": pl.DataFrame(
            {
                "instruction_id": [one for one in ids for _ in pairs],
                "left": [a for a, _ in pairs] * instructions,
                "right": [b for _, b in pairs] * instructions,
                "local_left": rng.integers(0, 7, instructions * len(pairs)) / 6,
            }
        ),
        "answers": pl.DataFrame(answers, schema=["instruction_id", "competitor", "answer"], orient="row").with_columns(
            finished=pl.Series(rng.random(len(answers)) < 0.95),
            usable=True,
            completion_key=pl.format("{}:{}", "instruction_id", "competitor"),
        ),
        "instructions": pl.DataFrame(
            {
                "instruction_id": ids,
                "instruction": [text[start : start + 150] for start in starts[0]],
                "attacker": rng.choice(ROSTER, instructions),
                "language": "Python",
                "difficulty": rng.integers(60, 101, instructions) / 10,
                "decided_by": "opinion",
            }
        ),
    }


def ours(tables: dict[str, pl.DataFrame], folder: Path) -> dict[str, pl.DataFrame]:
    """This project's code, from tables to files."""
    answers = tables["answers"]
    scores = final_scores(tables["outcomes"], RATINGS, answers, ROSTER, alpha=ALPHA)
    records = scores.join(tables["instructions"], on="instruction_id", maintain_order="left").join(
        answers.drop("usable", "completion_key"), on=["instruction_id", "competitor"], maintain_order="left"
    )
    exports = {"sft": sft_rows(records), "dpo": dpo_rows(records, margin=MARGIN), "kto": kto_rows(records)}
    for kind, rows in exports.items():
        write_dataset(rows, folder, kind, "")
    return exports


def with_datasets(tables: dict[str, pl.DataFrame], folder: Path) -> None:
    """The same files by plain loops and `datasets`."""
    for kind, rows in loop_rows(tables).items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        dataset = datasets.Dataset.from_list(rows)
        dataset.to_parquet(folder / kind / "train.parquet")
        dataset.to_json(folder / kind / "train.jsonl", force_ascii=False)


def with_json(tables: dict[str, pl.DataFrame], folder: Path) -> None:
    """The same files by plain loops, json and pyarrow."""
    for kind, rows in loop_rows(tables).items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        with open(folder / kind / "train.jsonl", "w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        pq.write_table(pa.Table.from_pylist(rows), folder / kind / "train.parquet", compression="snappy")


def loop_rows(tables: dict[str, pl.DataFrame]) -> dict[str, Rows]:
    """The rows of the three exports, one instruction at a time. KTO's are then shuffled as in `kto.py`."""
    x: dict[str, dict[tuple[str, str], float]] = {}
    for one, left, right, local in tables["outcomes"].iter_rows():
        of_pair = x.setdefault(one, {})
        of_pair[left, right], of_pair[right, left] = local, 1.0 - local
    groups: dict[str, dict[str, tuple[str, bool]]] = {}
    for one, name, answer, finished, usable in tables["answers"].drop("completion_key").iter_rows():
        if usable:
            groups.setdefault(one, {})[name] = answer, finished
    instructions = {row.pop("instruction_id"): row for row in tables["instructions"].iter_rows(named=True)}
    overall = {(a, b): expected(RATINGS[a], RATINGS[b]) for a in ROSTER for b in ROSTER}
    exports: dict[str, Rows] = {"sft": [], "dpo": [], "kto": []}
    for one in sorted(groups):
        group, local_of = groups[one], x.get(one, {})
        scored: dict[str, float] = {}
        for a in group:
            elo_part = local_part = 0.0
            for b in group:
                if a != b:
                    elo_part += overall[a, b]
                    local_part += local_of.get((a, b), overall[a, b])
            scored[a] = round(ALPHA * elo_part + (1.0 - ALPHA) * local_part, 9)
        mean = sum(scored.values()) / len(scored)
        std = sqrt(sum((score - mean) ** 2 for score in scored.values()) / len(scored))
        advantages = {name: (score - mean) / std if std else 0.0 for name, score in scored.items()}
        ranked = sorted(group, key=lambda name: (-scored[name], len(group[name][0]), f"{one}:{name}"))
        assert advantages.keys() == scored.keys()
        best, worst = ranked[0], ranked[-1]
        of_instruction = {name: instructions[one][name] for name in ("attacker", "language", "difficulty")}
        decided_by = instructions[one]["decided_by"]
        prompt = [{"role": "user", "content": instructions[one]["instruction"]}]
        if group[best][1]:
            chosen = {"role": "assistant", "content": group[best][0]}
            sources = {**of_instruction, "competitor": best, "score": scored[best], "decided_by": decided_by}
            exports["sft"].append({"instruction_id": one, "messages": [*prompt, chosen], **sources})
            same = group[best][0].strip() == group[worst][0].strip()
            if round(scored[best] - scored[worst], 9) > MARGIN and not same:
                exports["dpo"].append(
                    {
                        "instruction_id": one,
                        "prompt": prompt,
                        "chosen": [chosen],
                        "rejected": [{"role": "assistant", "content": group[worst][0]}],
                        **of_instruction,
                        "chosen_competitor": best,
                        "rejected_competitor": worst,
                        "chosen_score": scored[best],
                        "rejected_score": scored[worst],
                        "decided_by": decided_by,
                    }
                )
        for name in sorted(group):
            above = round(scored[name] - mean, 9)
            if above < 0 or (above > 0 and group[name][1]):
                answer = [{"role": "assistant", "content": group[name][0]}]
                row = {"instruction_id": one, "prompt": prompt, "completion": answer, "label": above > 0}
                exports["kto"].append({**row, **of_instruction, "competitor": name, "score": scored[name]})
    turns: dict[str, int] = {}
    dealt: list[Rows] = [[] for _ in ROSTER]
    for place in np.random.default_rng(0).permutation(len(exports["kto"])).tolist():
        row = exports["kto"][place]
        turn = turns.get(row["instruction_id"], 0)
        turns[row["instruction_id"]] = turn + 1
        dealt[turn].append(row)
    return exports | {"kto": [row for turn in dealt for row in turn]}


def checked(tables: dict[str, pl.DataFrame], folder: Path) -> None:
    """Raise AssertionError if the two do not make the same rows, or if the files do not have them."""
    frames, loops = ours(tables, folder / "ours"), loop_rows(tables)
    with_datasets(tables, folder / "loop")
    for kind, rows in frames.items():
        twin = pl.DataFrame(loops[kind], schema=rows.schema)
        scores = [column for column in rows.columns if column.endswith("score")]
        assert rows.drop(scores).equals(twin.drop(scores)), kind
        assert all(np.allclose(rows[column], twin[column], rtol=0, atol=2e-9) for column in scores), kind
        assert pl.read_parquet(folder / "ours" / kind / "train.parquet").equals(rows), kind
        assert pl.read_ndjson(folder / "ours" / kind / "train.jsonl", schema=rows.schema).equals(rows), kind
        mine, theirs = ((folder / way / kind / "train.jsonl").read_bytes() for way in ("ours", "loop"))
        assert mine == theirs, kind


def main() -> None:
    """Print one result for each loop."""
    # The same size with QUICK, because a loop is faster per object with fewer objects.
    instructions, rounds = 100_000, 1 if QUICK else 3
    tables = arena(instructions)
    # 11 kB per instruction for each of the two, and the KTO files while they are replaced.
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 30_000 * instructions
    with tempfile.TemporaryDirectory(dir=MEMORY if roomy else None) as name:
        folder = Path(name)
        checked(arena(3_000) if QUICK else tables, folder)
        if QUICK:
            # Warm up both.
            ours(tables, folder / "ours")
            loop_rows(tables)

        def emptied() -> None:
            # Each then reuses the memory of files that were just removed. A virtual machine may take seconds to return memory.
            for way in ("ours", "loop"):
                shutil.rmtree(folder / way, ignore_errors=True)

        peers = [("plain loop, datasets", with_datasets, 8), ("plain loop, json and pyarrow", with_json, 0)]
        for peer, loop, least in peers[: 1 if QUICK else 2]:
            mine, theirs, ratio = paired(
                lambda: ours(tables, folder / "ours"),
                lambda loop=loop: loop(tables, folder / "loop"),  # type: ignore[misc]
                rounds=rounds,
                before=emptied,
            )
            result("exports", "scores_and_exports_s", mine, peer, theirs, ratio, instructions, least=least, in_memory=roomy)


if __name__ == "__main__":
    main()
