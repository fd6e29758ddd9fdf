"""A lineage and the results of a search, for a terminal."""

import polars as pl
from rich.columns import Columns
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from warrior_dagster.report.lineage import Lineage
from warrior_dagster.report.text import printable


def show_found(console: Console, found: pl.DataFrame) -> None:
    """One line for each instruction that a search found."""
    table = Table("id", *(["similarity"] if "similarity" in found.columns else []), "competitor", "instruction")
    for row in found.iter_rows(named=True):
        near = [f"{row['similarity']:.2f}"] if "similarity" in row else []
        text = " ".join(printable(row["instruction"]).split())
        table.add_row(row["instruction_id"][:12], *near, row["competitor"], escape(text[:200]))
    console.print(table)


def show_lineage(console: Console, one: Lineage) -> None:
    """An instruction, its answers side by side, the votes with their reasons, and how it came about."""
    mined, difficulty = one["mined"], one["difficulty"]
    console.print(Panel(escape(printable(one["instruction"])), title=f"{one['instruction_id']}, revealed by {one['attacker']}"))
    console.print(
        f"mined: {mined['language']}, temperature {mined['temperature']}, top-p {mined['top_p']}, sample {mined['sample']};"
        f" model {mined['asked']['model'] if mined['asked'] else 'unknown'}; completion {mined['completion_key']}",
        soft_wrap=True,
    )
    if one["duplicate_of"]:
        console.print(f"near duplicate ({one['similarity']:.2f}) of {one['duplicate_of']}", soft_wrap=True)
    if difficulty["band"]:
        score = "none" if difficulty["score"] is None else f"{difficulty['score']:.2f}"
        by = ", ".join(
            f"{r['judge']} {'abstained' if r['score'] is None else format(r['score'], '.2f')}" for r in one["ratings"]
        )
        console.print(f"difficulty: {score} ({difficulty['band']}), by {by}", soft_wrap=True)
    console.print("selected as number " + str(one["rank"] + 1) if one["rank"] is not None else "not selected")
    panels = [
        Panel(
            escape(printable(a["answer"] or "")),
            title=f"{'gold: ' if a['gold'] else ''}{a['competitor']}"
            + (f", score {a['score']:.3f}" if a["score"] is not None else ""),
            subtitle=f"{a['status']}, completion {(a['completion_key'] or '')[:12]}",
        )
        for a in one["answers"]
    ]
    console.print(Columns(panels, equal=True, expand=True, width=max(30, console.width // max(len(panels), 1) - 1)))
    votes = Table("judge", "left", "right", "order", "verdict", "for left", "its words, or why it abstained", "completion")
    for vote in one["votes"]:
        share = "" if vote["p_left"] is None else f"{vote['p_left']:.2f}"
        words = " ".join(printable(vote["reason"] or vote["text"] or "").split())
        verdict = vote["verdict"] or vote["status"]
        key = (vote["completion_key"] or "")[:12]
        order = vote["order"] or vote["evidence"]
        votes.add_row(vote["judge"], vote["left"], vote["right"], order, verdict, share, escape(words[:200]), key)
    console.print(votes)
    if one["tests"]:
        names = [answer["competitor"] for answer in one["answers"]]
        run = Table("test", "by", *map(escape, names))
        for test in one["tests"]:
            run.add_row(escape(printable(test["test"])), test["writer"], *(test["outcomes"].get(name, "") for name in names))
        console.print(run)
