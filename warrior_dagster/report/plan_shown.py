"""The output of `warrior plan`: what a plan counts, in a table and a sentence, and what the last run planned and took.

Names of models and reasons go through `visible`, to a console without markup: none of it is obeyed.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from warrior_dagster.config.messages import visible
from warrior_dagster.planning.cost import PlanLine
from warrior_dagster.planning.last_run import LastRun, Use
from warrior_dagster.planning.quantities import compact, duration, hours, listed, money, short_names
from warrior_dagster.planning.runs import RunsLine

COUNTS = ("in_ledger", "to_send", "estimated", "prompt_tokens", "completion_tokens")
MEANING = (
    "Counts are of completions: `paid` are in the ledger, `to ask` are not. `tokens in` are those of prompts, each of which is"
    " read once for all of its completions; `tokens out` are written."
)


def narrow(number: int) -> str:
    """A count in at most five characters, so that a table of them fits a terminal of 80 columns."""
    return compact(number).replace(" ", "")


def compact_table(title: str, columns: Sequence[str], footers: Sequence[str]) -> Table:
    """A table without lines, with one text column, which is folded if the table is too wide, and then numbers."""
    table = Table(title=title, show_footer=True, box=box.SIMPLE, padding=(0, 1), collapse_padding=True, pad_edge=False)
    for place, (name, footer) in enumerate(zip(columns, footers, strict=True)):
        if place:
            table.add_column(name, footer, justify="right", no_wrap=True)
        else:
            table.add_column(name, footer, overflow="fold")
    return table


def show_plan(console: Console, lines: Sequence[PlanLine], total: dict[str, Any], on_gpus: bool = True) -> None:
    """A plan as a table, and how its numbers are estimated. Without GPUs, hours are the time of this machine."""
    priced = any(line.cost is not None for line in lines)
    names = ["stage", "paid", "to ask", "of it\nestimated", "tokens\nin", "tokens\nout", "GPU\nhours" if on_gpus else "time"]
    footers = ["all", *(narrow(total[name]) for name in COUNTS), time(total["gpu_hours"], total["seconds"], on_gpus)]
    if priced:
        names, footers = [*names, "cost"], [*footers, money(total["cost"])]
    table = compact_table("Plan", names, footers)
    for model, name in short_names(line.model for line in lines).items():
        table.add_row(Text(visible(name), style="bold"))
        for line in (line for line in lines if line.model == model):
            numbers = (narrow(getattr(line, name)) for name in COUNTS)
            taken = [time(line.gpu_hours, line.seconds, on_gpus), *([money(line.cost)] if priced else [])]
            table.add_row(line.stage, *numbers, *(taken if line.to_send else []))
    console.print(table)
    if total["to_send"]:
        console.print(MEANING, soft_wrap=True)
    for reason in reasons(lines):
        console.print(visible(reason), soft_wrap=True)


def reasons(lines: Sequence[PlanLine]) -> list[str]:
    """The reasons of all lines, each once, after the models and stages that have it unless all have."""
    places = defaultdict[str, list[PlanLine]](list)
    for line in lines:
        for reason in line.reasons:
            places[reason].append(line)

    names = short_names(line.model for line in lines)

    def about(field: str, some: Sequence[PlanLine], among: Sequence[PlanLine]) -> str:
        own, everywhere = (list(dict.fromkeys(getattr(line, field) for line in of)) for of in (some, among))
        return "" if len(own) == len(everywhere) else listed([names.get(name, name) for name in own], most=8)

    asked, found = [line for line in lines if line.to_send], []
    for reason, some in places.items():
        models, stages = {line.model for line in some}, {line.stage for line in some}
        of_models = about("model", some, [line for line in asked if line.stage in stages])
        of_stages = about("stage", some, [line for line in asked if line.model in models])
        found.append(": ".join(filter(None, (of_models, of_stages, reason))))
    return found


def show_runs(console: Console, lines: Sequence[RunsLine]) -> None:
    """A line for each table that runs code."""
    for line in lines:
        expected = f" ({line.expected} of them expected)" if line.expected else ""
        time = "time unknown" if line.seconds is None else f"at least {duration(line.seconds)}"
        took = f"; {time} on this machine" if line.to_run else ""
        basis = f" ({line.basis})" if line.basis else ""
        console.print(
            f"{line.stage}: {line.to_run} runs of code to do{expected}, {line.done} done{took}{basis}", soft_wrap=True
        )


def show_last_run(console: Console, run: LastRun, on_gpus: bool = True) -> None:
    """What the last run planned at its start, and what it took, by stage. Without GPUs, hours are the time of this machine."""
    stages = [name for name in dict.fromkeys([*run.planned, *run.actual]) if completions(run, name)]
    if not stages:
        return
    counts = ("asked", "tokens out", "GPU hours" if on_gpus else "time")
    names = ("stage", *(f"{count}\n{when}" for count in counts for when in ("plan", "actual")))
    ends = "" if run.finished else ", which did not end"
    title = f"The run of {run.started:%Y-%m-%d %H:%M} UTC{ends}: planned and actual"
    table = compact_table(title, names, row("all", total(run.planned), total(run.actual), on_gpus))
    for name in stages:
        table.add_row(*row(name, run.planned.get(name, Use()), run.actual.get(name, Use()), on_gpus))
    console.print(table)


def completions(run: LastRun, stage: str) -> int:
    """The completions that a stage planned and asked for."""
    return sum(uses[stage].completions for uses in (run.planned, run.actual) if stage in uses)


def total(uses: dict[str, Use]) -> Use:
    """What all stages took."""
    all_of_them = Use()
    for use in uses.values():
        all_of_them = all_of_them.plus(use)
    return all_of_them


def row(name: str, planned: Use, actual: Use, on_gpus: bool) -> tuple[str, ...]:
    """A row of the comparison."""
    counts = [narrow(getattr(one, field)) for field in ("completions", "completion_tokens") for one in (planned, actual)]
    return (name, *counts, *(time(one.gpu_hours, one.seconds, on_gpus) for one in (planned, actual)))


def time(gpu_hours: float | None, seconds: float | None, on_gpus: bool) -> str:
    """GPU hours, or where there are no GPUs the time."""
    return hours(gpu_hours) if on_gpus else duration(seconds)
