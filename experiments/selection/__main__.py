"""`make experiment-selection`: does the arena choose well? One JSON line a result; tables and pictures go to docs/selection/.

What was asked before is in the arena's ledger, and what was run lies beside it: killed and started again it goes on.
docs/selection.md says what it shows.
"""

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console

from experiments.selection import drawing, rules
from experiments.selection.asking import Evidence, gather, right, without
from experiments.selection.simulated import sweep
from experiments.selection.tasks import in_hidden, tasks
from warrior_dagster.analysis.pictures import as_svg
from warrior_dagster.arena import Arena
from warrior_dagster.arena_file import load_arena, missing_here, no_isolation
from warrior_dagster.build import open_engines
from warrior_dagster.execution import results
from warrior_dagster.inference.engine import Engines
from warrior_dagster.inference.progress import calmly

HERE = Path(__file__).parent
SEEDS = range(20)
"""Elo depends on the order in which battles are replayed, which a seed fixes: each figure is the mean over these."""
say = partial(Console(stderr=True, highlight=False, soft_wrap=True).print)


def main(
    most: Annotated[int, typer.Option("--tasks", min=2, max=164, help="So many tasks, the same each time.")] = 164,
    file: Annotated[Path, typer.Option("--arena", help="Who competes.")] = HERE / "arena.yaml",
    folder: Annotated[Path, typer.Option(help="Where tables and pictures go.")] = HERE.parent.parent / "docs" / "selection",
) -> None:
    """The simulated arena, then the real one: tests from the whole prompts, from prompts without examples, and of these those
    that no hidden test repeats.
    """
    arena = load_arena(file)
    if missing := [*missing_here(arena), *no_isolation(arena)]:
        raise SystemExit("\n".join(missing))
    folder.mkdir(parents=True, exist_ok=True)
    simulate(folder)
    with open_engines(arena, calmly(say)) as engines:
        battle(arena, engines, tasks().sort("instruction_id").head(most), folder)  # hashes: a random sample


def simulate(folder: Path) -> None:
    """The simulated arena."""
    rows = pl.DataFrame(list(sweep()))
    write(rows, folder / "simulated.csv")
    (folder / "simulated.svg").write_text(as_svg(drawing.sweeps(rows), "Where does each rule break?"))


def battle(arena: Arena, engines: Engines, problems: pl.DataFrame, folder: Path) -> None:
    """The real one, with each kind of tests. The answers are the same for all, and so is what the hidden tests say of them."""
    ran = Path(arena.warehouse) / "ran.parquet"
    known = dict[str, Evidence]()
    for variant in ("whole", "stripped"):
        before = pl.read_parquet(ran) if ran.exists() else pl.DataFrame(schema=results.SCHEMA)
        one = known[variant] = gather(arena, engines, problems, before, stripped=variant == "stripped")
        pl.concat([before, one.run]).unique("run_key", keep="first", maintain_order=True).write_parquet(ran)
    known["unseen"] = without(arena, known["stripped"], in_hidden(known["stripped"].tests, problems))
    truth = right(known["whole"].answers, problems)
    for variant, one in known.items():
        weigh(variant, arena, problems, one, truth, folder)


def weigh(variant: str, arena: Arena, problems: pl.DataFrame, known: Evidence, truth: pl.DataFrame, folder: Path) -> None:
    """Have every rule pick, and write how often it was right; `truth` are the rows of asking.right."""
    ids, roster = problems["instruction_id"].to_list(), arena.roster
    votes = (known.answers, known.pairs, known.opinions, known.executed)
    chosen = rules.picks(*votes, roster, arena.battles, arena.ratings, seeds=SEEDS)
    matrix = rules.matrix(known.answers, truth, ids, roster)
    hits = rules.hits(matrix, known.answers, chosen, ids, roster)
    rows = rules.table(hits, matrix, roster)
    judges = rules.verdicts({m: pl.concat([known.opinions[m], known.executed[m]]) for m in known.pairs}, truth)
    kept = known.tests.filter(status="ok")
    told = {
        "tasks": len(ids),
        "answers_differ": int((matrix.min(axis=1) != matrix.max(axis=1)).sum()),
        "hidden_timeouts": truth.filter(why=results.TIMEOUT).height,
        "tests_kept": len(kept),
        "tests_in_hidden": len(in_hidden(kept, problems)),
        "tasks_with_tests": kept["instruction_id"].n_unique(),
    }
    for name, frame in (("rules", rows), ("judges", judges), ("counts", pl.DataFrame([told]))):
        write(frame, folder / f"{name}_{variant}.csv")
        for row in frame.iter_rows(named=True):
            print(json.dumps({"experiment": "selection", "tests": variant, "table": name, **row}), flush=True)
    write(pl.DataFrame({"task_id": problems["task_id"], **hits}), folder / f"tasks_{variant}.csv")
    (folder / f"rules_{variant}.svg").write_text(as_svg(drawing.bars(rows, roster), f"Pass rates, tests: {variant}"))
    (folder / f"alpha_{variant}.svg").write_text(as_svg(drawing.over_alpha(rows), f"Pass rate over alpha, tests: {variant}"))


def write(frame: pl.DataFrame, file: Path) -> None:
    """As CSV, numbers to four places."""
    frame.with_columns(pl.col(pl.Float64).round(4)).write_csv(file)


if __name__ == "__main__":
    typer.run(main)
