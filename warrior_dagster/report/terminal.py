"""The output of the command line: plans, lineages, and search results.

Text of models goes through `visible`, to a console without markup: none of it is obeyed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from rich import box
from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from warrior_dagster.config.messages import all_visible, visible
from warrior_dagster.report import evidence_shown
from warrior_dagster.report.lineage import Lineage

if TYPE_CHECKING:
    from warrior_dagster.planning.cost import PlanLine
    from warrior_dagster.planning.runs import RunsLine


def show_found(console: Console, found: pl.DataFrame) -> None:
    """One line for each instruction that a search found."""
    table = Table("id", *(["similarity"] if "similarity" in found.columns else []), "competitor", "instruction")
    for row in all_visible(found.to_dicts()):
        near = [f"{row['similarity']:.2f}"] if "similarity" in row else []
        table.add_row(row["instruction_id"][:12], *near, row["competitor"], " ".join(row["instruction"].split())[:200])
    console.print(table)


def show_lineage(console: Console, one: Lineage) -> None:
    """An instruction, why the best answer won, how it was mined, its answers side by side, and the evidence on them."""
    one = all_visible(one)
    mined, difficulty = one["mined"], one["difficulty"]
    console.print(Panel(one["instruction"], title=Text(f"{one['instruction_id']}, revealed by {one['attacker']}")))
    for place, sentence in enumerate(one["why"]):
        console.print(Text(sentence, style="" if place else "bold"), soft_wrap=True)
    console.print(
        f"mined: {mined['language']}, temperature {mined['temperature']}, top-p {mined['top_p']}, sample {mined['sample']};"
        f" model {mined['asked']['model'] if mined['asked'] else 'unknown'}; completion {mined['completion_key']}",
        soft_wrap=True,
    )
    if one["duplicate_of"]:
        console.print(f"near duplicate ({one['similarity']:.2f}) of {one['duplicate_of']}", soft_wrap=True)
    if difficulty["band"]:
        score = "none" if difficulty["score"] is None else f"{difficulty['score']:.2f}"
        by = [f"{r['judge']} {rating_of(r)}" for r in one["ratings"]]
        console.print(f"difficulty: {score} ({difficulty['band']}), by {', '.join(by)}", soft_wrap=True)
    console.print("selected as number " + str(one["rank"] + 1) if one["rank"] is not None else "not selected")
    panels = []
    for a in one["answers"]:
        title = ("gold: " if a["gold"] else "") + a["competitor"] + ("" if a["score"] is None else f", score {a['score']:.3f}")
        subtitle = f"{a['status']}, completion {(a['completion_key'] or '')[:12]}"
        panels.append(Panel(a["answer"] or "", title=Text(title), subtitle=Text(subtitle)))
    console.print(Columns(panels, equal=True, expand=True, width=max(30, console.width // max(len(panels), 1) - 1)))
    for table in evidence_shown.tables(one):
        console.print(table)


def rating_of(rating: dict[str, Any]) -> str:
    """What one verdict of the panel says: a score, whether the instruction is on topic, or that the judge abstained."""
    if rating["score"] is not None:
        return f"{rating['score']:.2f}"
    return "abstained" if rating["on_topic"] is None else f"on topic with {rating['on_topic']:.2f}"


def show_plan(console: Console, lines: "Sequence[PlanLine]", total: dict[str, Any]) -> None:
    """A plan as a table, followed by how its numbers are estimated."""
    table = Table(title="Plan", show_footer=True, box=box.SIMPLE, padding=(0, 1), collapse_padding=True, pad_edge=False)
    names = ("stage", "ledger", "send", "expected", "prompt", "new", "GPU time")
    counts = ("in_ledger", "to_send", "estimated", "prompt_tokens", "completion_tokens")
    footers = ("all", *(compact(total[name]) for name in counts), duration(total["gpu_hours"]))
    for name, footer in zip(names, footers, strict=True):
        table.add_column(name, footer, justify="left" if name == "stage" else "right", no_wrap=True)
    priced = any(line.cost is not None for line in lines)
    if priced:
        table.add_column("cost", money(total["cost"]), justify="right", no_wrap=True)
    for model in dict.fromkeys(line.model for line in lines):
        table.add_row(Text(visible(Path(model).name), style="bold"))
        for line in (line for line in lines if line.model == model):
            numbers = (compact(getattr(line, name)) for name in counts)
            times = [duration(line.gpu_hours), *([money(line.cost)] if priced else [])] if line.to_send else []
            table.add_row(line.stage, *numbers, *times)
    console.print(table)
    if total["to_send"]:
        console.print("`expected` is the part of `send` that cannot be known yet; `prompt` and `new` are the tokens of `send`.")
    for basis in dict.fromkeys(f"{line.stage}: {line.basis}" for line in lines if line.basis):
        console.print(visible(basis), soft_wrap=True)


def show_runs(console: Console, lines: "Sequence[RunsLine]") -> None:
    """A line for each table that runs code."""
    for line in lines:
        expected = f" ({line.expected} of them expected)" if line.expected else ""
        time = "time unknown" if line.seconds is None else f"at least {duration(line.seconds / 3600)}"
        took = f"; {time} on this machine" if line.to_run else ""
        basis = f" ({line.basis})" if line.basis else ""
        console.print(
            f"{line.stage}: {line.to_run} runs of code to do{expected}, {line.done} done{took}{basis}", soft_wrap=True
        )


def compact(number: float) -> str:
    """A count of at most five characters."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (1e3 if unit == 'k' else size):.3g}{unit}"
    return str(number)


def duration(hours: float | None) -> str:
    """A time in hours, minutes or seconds, from hours; a question mark if it is unknown."""
    if hours is None:
        return "?"
    return f"{hours:.3g} h" if hours >= 1 else f"{hours * 60:.0f} min" if hours >= 0.05 else f"{hours * 3600:.0f} s"


def money(cost: float | None) -> str:
    """A cost in the currency of the arena's price; a question mark if it is unknown."""
    return "?" if cost is None else f"{cost:,.2f}"
