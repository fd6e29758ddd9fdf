"""The output of the command line: lineages, and search results. `plan_shown` has that of plans, `result` that of runs.

Text of models goes through `visible`, to a console without markup: none of it is obeyed.
"""

from typing import Any

import polars as pl
from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from warrior_dagster.config.messages import all_visible
from warrior_dagster.report import evidence_shown
from warrior_dagster.report.lineage import Lineage


def show_found(console: Console, found: pl.DataFrame) -> None:
    """One line for each instruction of a list."""
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
