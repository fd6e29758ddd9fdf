"""The output of the command line: plans, results of runs, lineages, and search results.

Text of models goes through `visible`, to a console without markup: none of it is obeyed.
"""

import os
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

from warrior_dagster.config.battles import UNDECIDED
from warrior_dagster.config.messages import all_visible, visible
from warrior_dagster.report import evidence_shown
from warrior_dagster.report.lineage import Lineage
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

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
    console.print(Panel(one["instruction"], title=Text(f"{one['instruction_id']}, mined from {one['attacker']}")))
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


def undecided_left_out(warehouse: Warehouse, dataset: pl.DataFrame) -> int:
    """The instructions that no evidence decided, if the SFT data set has none of them."""
    undecided = pl.col("decided_by").is_in(UNDECIDED)
    if "decided_by" not in dataset.columns or dataset.select(undecided.any()).item():  # of an earlier version, or kept
        return 0
    return warehouse.read("answer_scores", [WHOLE], ["gold", "decided_by"]).filter("gold", undecided).height


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


def show_result(console: Console, warehouse: Warehouse, result: dict[str, Any]) -> None:
    """The ratings, the best row of the data set, and the paths of all results."""
    result = all_visible(result)
    over_orders = any("order_deviation" in row for row in result["ratings"])
    columns = (
        "competitor",
        "rating",
        *(["± by order"] if over_orders else []),
        "95 % interval",
        "battles",
        "won",
        "tied",
        "lost",
    )
    table = Table(*columns, title="Ratings")
    for row in result["ratings"]:
        interval = "" if row["low"] is None else f"{row['low']:.0f} to {row['high']:.0f}"
        by_order = [f"{row['order_deviation']:.0f}"] if over_orders else []
        counts = [str(row[name]) for name in ("battles", "wins", "ties", "losses")]
        table.add_row(row["competitor"], f"{row['rating']:.0f}", *by_order, interval, *counts)
    console.print(table)
    if result["rows"].get("sft_dataset"):
        selected, exported = result["rows"]["selected_instructions"], result["rows"]["sft_dataset"]
        dataset = warehouse.read("sft_dataset", [WHOLE])
        count = undecided_left_out(warehouse, dataset)
        console.print(
            f"{exported} of {selected} instructions are exported: gold answers that hit the token limit, and rows that"
            " overlap a benchmark, are left out."
            + (f" So are {count} whose best answer no evidence decided, but only a rating or its length." if count else "")
        )
        for row in all_visible(dataset.sort("score", descending=True).head(1).to_dicts()):
            console.rule(f"best of {len(dataset)} rows: mined from {row['attacker']}, answered by {row['competitor']}")
            for message in row["messages"]:
                console.print(Text.assemble((message["role"], "bold"), f": {message['content']}\n"))
    per_asset = Table("asset", "rows", "seconds", title="Assets")
    for name, rows in result["rows"].items():
        per_asset.add_row(name, str(rows), f"{result['seconds'].get(name, 0):.1f}")
    console.print(per_asset)
    for kind, path in result["exports"].items():
        console.print(f"{kind} data set: {path}", soft_wrap=True)
    console.print(f"tables and ledger: {result['warehouse']}", soft_wrap=True)
    console.print(f"runs: {os.environ['DAGSTER_HOME']}   open the UI with: make ui ARENA=FILE", soft_wrap=True)
