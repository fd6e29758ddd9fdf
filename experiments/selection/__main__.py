"""`make experiment-selection`: how often does each rule pick a right answer? Prints JSON lines; writes results/.

Completions are stored in the arena's ledger, test runs and observations in its warehouse's folder, so a killed run continues
when it is started again. README.md explains the results.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import numpy as np
import polars as pl
import typer
from rich.console import Console

from experiments.selection import consensus, drawing, evidence, measures, rules, targeted
from experiments.selection.evidence import Battled, Made
from experiments.selection.measures import Hits
from experiments.selection.simulated import sweep
from experiments.selection.tasks import tasks
from warrior_dagster.analysis.pictures import as_svg
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import load_arena
from warrior_dagster.config.battles import EXECUTION, OPINION
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.progress import periodic_log
from warrior_dagster.orchestration.definitions import open_engines
from warrior_dagster.planning.preflight import missing_here, no_isolation

HERE = Path(__file__).parent
VARIANTS = {"whole": "instruction", "stripped": "stripped"}
"""How tasks are shown to those who write tests, and the column of tasks.tasks with that text."""
print_log = partial(Console(stderr=True, highlight=False, soft_wrap=True).print)


def main(
    count: Annotated[int, typer.Option("--tasks", min=2, max=164, help="Number of tasks, in a fixed order.")] = 164,
    judged: Annotated[int, typer.Option(min=0, max=164, help="Number of tasks with opinions, the slowest part.")] = 164,
    file: Annotated[Path, typer.Option("--arena", help="The arena's YAML file.")] = HERE / "arena.yaml",
    folder: Annotated[Path, typer.Option(help="Folder for tables and pictures.")] = HERE / "results",
) -> None:
    """Run the real arena, then the simulated one."""
    arena = load_arena(file)
    if missing := [*missing_here(arena), *no_isolation(arena)]:
        raise SystemExit("\n".join(missing))
    folder.mkdir(parents=True, exist_ok=True)
    with open_engines(arena, periodic_log(print_log)) as engines:
        battle(arena, engines, tasks(), count, judged, folder)
    simulate(folder)


def simulate(folder: Path) -> None:
    """Write the table and the picture of the simulated arena."""
    rows = pl.DataFrame(list(sweep()))
    write(rows, folder / "simulated.csv")
    (folder / "simulated.svg").write_text(as_svg(drawing.sweeps(rows), "Where does each rule break?"))


def battle(arena: Arena, engines: Engines, every: pl.DataFrame, count: int, judged: int, folder: Path) -> None:
    """Run the real arena on the first `count` tasks, and opinions on the first `judged`."""
    chosen = every.sort("instruction_id").head(count)  # the ids are hashes, so this is a random sample
    made, found = dict[str, Made](), dict[str, dict[str, Hits]]()
    truth = pl.DataFrame()  # one for all variants, whose answers are the same
    for variant, column in VARIANTS.items():
        own = made[variant] = evidence.make(arena, engines, chosen, column)
        if truth.is_empty():
            truth = evidence.grade(own.samples, chosen)
        found[variant] = evaluate(arena, own, truth)
        report(variant, found[variant], own, truth, arena.roster, folder)
        write(judges(arena, own, truth), folder / f"judges_{variant}.csv")
    if judged:
        own = made["whole"].of(chosen.head(judged))
        of_tests = {name: hits[:judged] for name, hits in found["whole"].items()}
        with_opinions = opinionated(arena, engines, own, truth)
        report("judged", {**of_tests, **with_opinions}, own, truth, arena.roster, folder)


def evaluate(arena: Arena, made: Made, truth: pl.DataFrame) -> dict[str, Hits]:
    """The share right of each task, by rule: means over draws of answers and of tests."""
    draws, samples = range(arena.execution.samples), arena.answers.samples
    found = dict[str, list[Hits]]()
    for suffix, suites in (("", [(draw,) for draw in draws]), ("; all tests", [tuple(draws)])):
        for drawn in suites:
            given = [(evidence.nth(made.samples, number), "one sample") for number in range(samples)]
            for answers, of in (*given, (evidence.settled(arena, made, drawn), "several samples")):
                add(found, arena, made, answers, truth, evidence.battles(arena, made, answers, drawn), f"; {of}{suffix}")
    return {name: np.mean(own, axis=0) for name, own in found.items()}


def opinionated(arena: Arena, engines: Engines, made: Made, truth: pl.DataFrame) -> dict[str, Hits]:
    """The share right of each task, by rule, with opinions too, of settled answers and with the first draw of tests."""
    answers, found = evidence.settled(arena, made, [0]), dict[str, list[Hits]]()
    battled = evidence.battles(arena, made, answers, [0])
    votes = {**battled.votes, OPINION: evidence.opinions(arena, engines, battled.pairs)}
    of = {targeted.NAME: targeted.picks(arena, engines, made, answers, battled)}
    add(found, arena, made, answers, truth, replace(battled, votes=votes), "; several samples", of)
    return {name: hits for name, (hits,) in found.items()}


def judges(arena: Arena, made: Made, truth: pl.DataFrame) -> pl.DataFrame:
    """How often tests of each writer, and behaviour, prefer the right one of two answers that were settled on."""
    answers = evidence.settled(arena, made, [0])
    votes = evidence.battles(arena, made, answers, [0]).votes
    right = answers.join(truth, on=["instruction_id", "completion_key"]).select("instruction_id", "competitor", "right")
    return measures.verdicts({m: pl.concat([own[m] for own in votes.values()]) for m in votes[EXECUTION]}, right)


def add(
    found: dict[str, list[Hits]],
    arena: Arena,
    made: Made,
    answers: pl.DataFrame,
    truth: pl.DataFrame,
    battled: Battled,
    suffix: str,
    picked: Mapping[str, pl.DataFrame] = MappingProxyType({}),
) -> None:
    """Add the hits of each rule and baseline with some answers, one of each competitor, and the votes on their battles; and
    those of further rules whose picks are given.
    """
    ids, roster = made.tasks["instruction_id"].to_list(), arena.roster
    right = measures.matrix(answers, truth, ids, roster)
    by_rule = rules.scored(answers, battled.pairs, battled.votes, roster, arena.battles, arena.ratings)
    chosen = {**rules.picks(by_rule, answers), **picked}
    by_behaviour = by_rule[rules.Rule("behaviour", 0.0)]
    chosen |= {f"{name}, then behaviour": own for name, own in consensus.picks(answers, battled.run, by_behaviour).items()}
    own = measures.baselines(right, answers, truth, ids, roster)
    for name, hits in {**own, **{name: measures.hits_of(one, right, ids, roster) for name, one in chosen.items()}}.items():
        found.setdefault(f"{name}{suffix}", []).append(hits)


def report(variant: str, found: dict[str, Hits], made: Made, truth: pl.DataFrame, roster: list[str], folder: Path) -> None:
    """Write the tables and pictures of one variant, and print its rows."""
    best = found[max((f"{name}; one sample" for name in roster), key=lambda name: found[name].mean())]
    every = truth.group_by("instruction_id").agg(pl.col("right").any())
    oracle = made.tasks.join(every, on="instruction_id", how="left", maintain_order="left")["right"].cast(pl.Float64).to_numpy()
    rows = measures.table(
        {**found, "the oracle of all answers": oracle}, best, oracle, found[f"{rules.BEFORE}; votes only; one sample"]
    )
    for row in write(rows, folder / f"rules_{variant}.csv").iter_rows(named=True):
        print(json.dumps({"experiment": "selection", "tests": variant, **row}), flush=True)
    write(pl.DataFrame({"task_id": made.tasks["task_id"], **found}), folder / f"tasks_{variant}.csv")
    title = f"tests from {variant} prompts, {len(oracle)} tasks"
    (folder / f"rules_{variant}.svg").write_text(as_svg(drawing.bars(rows, roster), f"Pass rates, {title}"))


def write(frame: pl.DataFrame, file: Path) -> pl.DataFrame:
    """Write a CSV file with four decimal places. Returns the rounded frame."""
    rounded = frame.with_columns(pl.col(pl.Float64).round(4))
    rounded.write_csv(file)
    return rounded


if __name__ == "__main__":
    typer.run(main)
