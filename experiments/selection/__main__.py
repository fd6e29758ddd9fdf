"""`make experiment-selection`: how often does each rule pick a right answer? Prints JSON lines; writes results/.

Completions are stored in the arena's ledger and test runs in its warehouse, so a killed run continues when it is started again.
README.md explains the results.
"""

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console

from experiments.selection import drawing, rules
from experiments.selection.evidence import Evidence, gather, grade, without_tests
from experiments.selection.simulated import sweep
from experiments.selection.tasks import may_repeat, tasks
from warrior_dagster.analysis.pictures import as_svg
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import load_arena
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.progress import periodic_log
from warrior_dagster.orchestration.definitions import open_engines
from warrior_dagster.planning.preflight import missing_here, no_isolation
from warrior_dagster.stages.battles.sandbox_runs import TIMEOUT
from warrior_dagster.stages.battles.unit_tests import execution

HERE = Path(__file__).parent
SEEDS = range(20)
"""Elo depends on the order of battles, which a seed fixes. Each figure is the mean over these seeds."""
print_log = partial(Console(stderr=True, highlight=False, soft_wrap=True).print)


def main(
    count: Annotated[int, typer.Option("--tasks", min=2, max=164, help="Number of tasks, in a fixed order.")] = 164,
    judged: Annotated[
        int, typer.Option(min=2, max=164, help="Number of tasks for the slow parts: opinions, and tests without examples.")
    ] = 164,
    file: Annotated[Path, typer.Option("--arena", help="The arena's YAML file.")] = HERE / "arena.yaml",
    folder: Annotated[Path, typer.Option(help="Folder for tables and pictures.")] = HERE / "results",
) -> None:
    """Run the simulated arena, then the real one."""
    arena = load_arena(file)
    if missing := [*missing_here(arena), *no_isolation(arena)]:
        raise SystemExit("\n".join(missing))
    folder.mkdir(parents=True, exist_ok=True)
    simulate(folder)
    with open_engines(arena, periodic_log(print_log)) as engines:
        battle(arena, engines, tasks(), count, judged, folder)


def simulate(folder: Path) -> None:
    """Write the table and the picture of the simulated arena."""
    rows = pl.DataFrame(list(sweep()))
    write(rows, folder / "simulated.csv")
    (folder / "simulated.svg").write_text(as_svg(drawing.sweeps(rows), "Where does each rule break?"))


def battle(arena: Arena, engines: Engines, every: pl.DataFrame, count: int, judged: int, folder: Path) -> None:
    """Run the real arena: tests alone on the first `count` tasks, opinions too on the first `judged`. These have three kinds of
    tests: from whole prompts, from prompts without examples, and from the latter only tests that repeat no hidden one.
    """
    ran = Path(arena.warehouse) / "ran.parquet"
    first_tasks = every.sort("instruction_id").head(count)  # the ids are hashes, so this is a random sample
    first_judged = first_tasks.head(judged)
    variants = {"whole": (first_judged, False, True), "stripped": (first_judged, True, True)}
    if judged < count:
        variants = {"whole_all_tasks": (first_tasks, False, False), **variants}
    known = dict[str, Evidence]()
    for variant, (subset, stripped, opinions) in variants.items():
        before = pl.read_parquet(ran) if ran.exists() else pl.DataFrame(schema=execution.SCHEMA)
        gathered = known[variant] = gather(arena, engines, subset, before, stripped=stripped, opinions=opinions)
        pl.concat([before, gathered.run]).unique("run_key", keep="first", maintain_order=True).write_parquet(ran)
    known["unseen"] = without_tests(arena, known["stripped"], may_repeat(known["stripped"].tests, first_judged))
    widest = next(iter(known.values()))
    truth = grade(widest.answers, widest.tasks)
    for variant, gathered in known.items():
        evaluate(variant, arena, gathered, truth, folder)


def evaluate(variant: str, arena: Arena, known: Evidence, truth: pl.DataFrame, folder: Path) -> None:
    """Let every rule pick, and write how often it was right. Without opinions, only rules that use tests alone. `truth` has the
    rows of evidence.grade.
    """
    ids, roster = known.tasks["instruction_id"].to_list(), arena.roster
    votes = (known.answers, known.pairs, known.opinions, known.executed)
    has_opinions = any(map(len, known.opinions.values()))
    can_pick = [rule for rule in rules.RULES if has_opinions or rule.kind in rules.WITHOUT_OPINIONS]
    chosen = rules.picks(*votes, roster, arena.battles, arena.ratings, rules=can_pick, seeds=SEEDS)
    matrix = rules.matrix(known.answers, truth, ids, roster)
    hits = rules.hits(matrix, known.answers, truth, chosen, ids, roster)
    rows = rules.table(hits, matrix, roster)
    judges = rules.verdicts({m: pl.concat([known.opinions[m], known.executed[m]]) for m in known.pairs}, truth)
    missed = rules.missed(chosen[rules.MEASURE][0], known.executed, matrix, ids, roster)
    totals = counts(known, truth, matrix) | missed
    for name, frame in (("rules", rows), ("judges", judges), ("counts", pl.DataFrame([totals]))):
        for row in write(frame, folder / f"{name}_{variant}.csv").iter_rows(named=True):
            print(json.dumps({"experiment": "selection", "tests": variant, "table": name, **row}), flush=True)
    title = f"tests: {variant.replace('_', ' ')}, {len(ids)} tasks"
    write(pl.DataFrame({"task_id": known.tasks["task_id"], **hits}), folder / f"tasks_{variant}.csv")
    (folder / f"rules_{variant}.svg").write_text(as_svg(drawing.bars(rows, roster), f"Pass rates, {title}"))
    (folder / f"alpha_{variant}.svg").write_text(as_svg(drawing.over_alpha(rows), f"Pass rate over alpha, {title}"))


def counts(known: Evidence, truth: pl.DataFrame, matrix: rules.Hits) -> dict[str, int]:
    """The numbers of tasks, answers and tests, by kind."""
    kept, grades = known.tests.filter(status="ok"), truth.join(known.tasks, on="instruction_id", how="semi")
    decisive = pl.concat(list(known.executed.values())).filter(pl.col("p_left") != 0.5)
    return {
        "tasks": len(known.tasks),
        "answers_differ": int((matrix.min(axis=1) != matrix.max(axis=1)).sum()),
        "answers_right": grades.filter("right").height,
        "answers_that_do_not_load": grades.filter(~pl.col("loads")).height,
        "hidden_timeouts": grades.filter(pl.col("why").str.starts_with(TIMEOUT)).height,
        "tests_kept": len(kept),
        "tests_that_may_repeat": len(may_repeat(kept, known.tasks)),
        "tasks_with_tests": kept["instruction_id"].n_unique(),
        "tasks_where_tests_tell": decisive["instruction_id"].n_unique(),
    }


def write(frame: pl.DataFrame, file: Path) -> pl.DataFrame:
    """Write a CSV file with four decimal places. Returns the rounded frame."""
    rounded = frame.with_columns(pl.col(pl.Float64).round(4))
    rounded.write_csv(file)
    return rounded


if __name__ == "__main__":
    typer.run(main)
