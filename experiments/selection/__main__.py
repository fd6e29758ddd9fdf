"""`make experiment-selection`: does the arena choose well? One JSON line a result; tables and pictures go to results/.

Completions are in the arena's ledger and test runs in its warehouse, so a killed run continues when it is started again.
README.md says what it shows.
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
from experiments.selection.tasks import may_repeat, tasks
from warrior_dagster.analysis.pictures import as_svg
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import load_arena
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.progress import periodic_log
from warrior_dagster.orchestration.definitions import open_engines
from warrior_dagster.planning.preflight import missing_here, no_isolation
from warrior_dagster.stages.battles.unit_tests import execution

HERE = Path(__file__).parent
SEEDS = range(20)
"""Elo depends on the order in which battles are replayed, which a seed fixes: each figure is the mean over these."""
say = partial(Console(stderr=True, highlight=False, soft_wrap=True).print)


def main(
    most: Annotated[int, typer.Option("--tasks", min=2, max=164, help="So many tasks, the same each time.")] = 164,
    judged: Annotated[
        int, typer.Option(min=2, max=164, help="So many of these get opinions, and tests without examples: both take long.")
    ] = 164,
    file: Annotated[Path, typer.Option("--arena", help="Who competes.")] = HERE / "arena.yaml",
    folder: Annotated[Path, typer.Option(help="Where tables and pictures go.")] = HERE / "results",
) -> None:
    """The simulated arena, then the real one."""
    arena = load_arena(file)
    if missing := [*missing_here(arena), *no_isolation(arena)]:
        raise SystemExit("\n".join(missing))
    folder.mkdir(parents=True, exist_ok=True)
    simulate(folder)
    with open_engines(arena, periodic_log(say)) as engines:
        battle(arena, engines, tasks(), most, judged, folder)


def simulate(folder: Path) -> None:
    """The simulated arena."""
    rows = pl.DataFrame(list(sweep()))
    write(rows, folder / "simulated.csv")
    (folder / "simulated.svg").write_text(as_svg(drawing.sweeps(rows), "Where does each rule break?"))


def battle(arena: Arena, engines: Engines, every: pl.DataFrame, most: int, judged: int, folder: Path) -> None:
    """The real one: tests alone on `most` of the tasks; on the first `judged` of these opinions too, with tests from the whole
    prompts, from prompts without examples, and of these those that repeat no hidden one. The answers are the same for all.
    """
    ran = Path(arena.warehouse) / "ran.parquet"
    some = every.sort("instruction_id").head(most)  # hashes: a random sample
    fewer = some.head(judged)
    variants = {"whole": (fewer, False, True), "stripped": (fewer, True, True)}
    if judged < most:
        variants = {"whole_all_tasks": (some, False, False), **variants}
    known = dict[str, Evidence]()
    for variant, (asked_on, stripped, opinions) in variants.items():
        before = pl.read_parquet(ran) if ran.exists() else pl.DataFrame(schema=execution.SCHEMA)
        one = known[variant] = gather(arena, engines, asked_on, before, stripped=stripped, opinions=opinions)
        pl.concat([before, one.run]).unique("run_key", keep="first", maintain_order=True).write_parquet(ran)
    known["unseen"] = without(arena, known["stripped"], may_repeat(known["stripped"].tests, fewer))
    widest = next(iter(known.values()))
    truth = right(widest.answers, widest.tasks)
    for variant, one in known.items():
        weigh(variant, arena, one, truth, folder)


def weigh(variant: str, arena: Arena, known: Evidence, truth: pl.DataFrame, folder: Path) -> None:
    """Have every rule pick, where there are no opinions every rule of tests alone, and write how often it was right; `truth`
    has the rows of asking.right.
    """
    ids, roster = known.tasks["instruction_id"].to_list(), arena.roster
    votes = (known.answers, known.pairs, known.opinions, known.executed)
    opined = any(map(len, known.opinions.values()))
    can_pick = [rule for rule in rules.RULES if opined or rule.kind in rules.WITHOUT_OPINIONS]
    chosen = rules.picks(*votes, roster, arena.battles, arena.ratings, rules=can_pick, seeds=SEEDS)
    matrix = rules.matrix(known.answers, truth, ids, roster)
    hits = rules.hits(matrix, known.answers, truth, chosen, ids, roster)
    rows = rules.table(hits, matrix, roster)
    judges = rules.verdicts({m: pl.concat([known.opinions[m], known.executed[m]]) for m in known.pairs}, truth)
    missed = rules.missed(chosen[rules.MEASURE][0], known.executed, matrix, ids, roster)
    told = counts(known, truth, matrix) | missed
    for name, frame in (("rules", rows), ("judges", judges), ("counts", pl.DataFrame([told]))):
        for row in write(frame, folder / f"{name}_{variant}.csv").iter_rows(named=True):
            print(json.dumps({"experiment": "selection", "tests": variant, "table": name, **row}), flush=True)
    title = f"tests: {variant.replace('_', ' ')}, {len(ids)} tasks"
    write(pl.DataFrame({"task_id": known.tasks["task_id"], **hits}), folder / f"tasks_{variant}.csv")
    (folder / f"rules_{variant}.svg").write_text(as_svg(drawing.bars(rows, roster), f"Pass rates, {title}"))
    (folder / f"alpha_{variant}.svg").write_text(as_svg(drawing.over_alpha(rows), f"Pass rate over alpha, {title}"))


def counts(known: Evidence, truth: pl.DataFrame, matrix: rules.Hits) -> dict[str, int]:
    """How many answers and tests there were, and of what kind."""
    kept, of_these = known.tests.filter(status="ok"), truth.join(known.tasks, on="instruction_id", how="semi")
    telling = pl.concat(list(known.executed.values())).filter(pl.col("p_left") != 0.5)
    return {
        "tasks": len(known.tasks),
        "answers_differ": int((matrix.min(axis=1) != matrix.max(axis=1)).sum()),
        "answers_right": of_these.filter("right").height,
        "answers_that_do_not_load": of_these.filter(~pl.col("loads")).height,
        "hidden_timeouts": of_these.filter(pl.col("why").str.starts_with(execution.TIMEOUT)).height,
        "tests_kept": len(kept),
        "tests_that_may_repeat": len(may_repeat(kept, known.tasks)),
        "tasks_with_tests": kept["instruction_id"].n_unique(),
        "tasks_where_tests_tell": telling["instruction_id"].n_unique(),
    }


def write(frame: pl.DataFrame, file: Path) -> pl.DataFrame:
    """As CSV, numbers to four places; the frame so rounded."""
    rounded = frame.with_columns(pl.col(pl.Float64).round(4))
    rounded.write_csv(file)
    return rounded


if __name__ == "__main__":
    typer.run(main)
