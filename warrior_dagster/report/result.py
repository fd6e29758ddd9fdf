"""What `warrior run` prints at its end, on one screen: what came out, why, what it cost, and what to do next.

Text of models goes through `visible`, to a console without markup: none of it is obeyed.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from warrior_dagster.analysis.assets import funnel
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.messages import all_visible
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.report import lineage
from warrior_dagster.report.plan_shown import compact_table, narrow
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

SHORT_ID = 12
ANSWER_LINES = 16
"""Lines of the answer that are shown."""


def show_result(
    console: Console, arena: Arena, warehouse: Warehouse, ledger: LedgerReader, result: Mapping[str, Any], file: str
) -> None:
    """Print the result of a run of the arena in a file."""
    result, best = all_visible(result), best_row(warehouse)
    console.print(Text(f"{arena.name}: {', '.join(arena.roster)}", style="bold"))
    if steps := funnel_steps(warehouse):
        console.print(" → ".join(f"{step['rows']} {step['stage']}" for step in steps), soft_wrap=True)
        if dropped := steps[-1]["dropped"]:
            console.print(f"{dropped} not {steps[-1]['stage']}: {steps[-1]['why']}", soft_wrap=True)
    show_ratings(console, result["ratings"], result["ratings_before"])
    if best:
        (made,) = lineage.lineages(arena, warehouse, ledger, [best["instruction_id"]])
        show_row(console, all_visible(best), all_visible(made))
    if result["up_to_date"]:
        console.print("everything was up to date: nothing was materialized, and no request was sent", soft_wrap=True)
    else:
        show_costs(console, result["stages"], result["seconds"], (result.get("planned_and_actual") or {}).get("planned", {}))
    for kind, path in result["exports"].items():
        console.print(f"{kind}: {path}", soft_wrap=True)
    console.print(f"tables and ledger: {result['warehouse']}", soft_wrap=True)
    show_next(console, file, best["instruction_id"][:SHORT_ID] if best else None)


def show_next(console: Console, file: str, instruction: str | None) -> None:
    """The commands that a reader may want now."""
    warrior = program()
    commands = {
        f"{warrior} show {file} {instruction or ''}".rstrip(): "an instruction with its answers, tests, values and votes",
        f"make ui ARENA={file}": "all tables, pictures and the report in Dagster",
        f"{warrior} plan {file}": "what a change of the file would cost; only new requests are sent",
    }
    console.print("next:", style="bold")
    width = max(map(len, commands))
    for command, what in commands.items():
        console.print(f"  {command:<{width}}  {what}", soft_wrap=True)


def program() -> str:
    """How to call `warrior` from here: by its name, or by its path if it is not on PATH."""
    beside = Path(sys.executable).with_name("warrior")
    if shutil.which("warrior") or not beside.exists():
        return "warrior"
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def best_row(warehouse: Warehouse) -> dict[str, Any] | None:
    """The exported row with the highest score, of equal ones the first; None if there is none."""
    rows = warehouse.read_existing("sft_dataset", [WHOLE])
    if rows is None or rows.is_empty():
        return None
    found: dict[str, Any] = rows.sort("score", "instruction_id", descending=[True, False]).row(0, named=True)
    return found


def funnel_steps(warehouse: Warehouse) -> list[dict[str, Any]]:
    """How many instructions each stage left and dropped, and why, in order; empty without a funnel."""
    rows = warehouse.read_existing(funnel.name, [WHOLE])
    if rows is None:
        return []
    return rows.filter(competitor="").sort("step").select("stage", "rows", "dropped", "why").to_dicts()


def show_ratings(console: Console, ratings: Sequence[Mapping[str, Any]], before: Mapping[str, float]) -> None:
    """The ratings with how they changed, and what they are worth with so many battles."""
    counts = ("battles", "wins", "ties", "losses")
    table = Table("competitor", "rating", "change", "95 % interval", "battles", "won", "tied", "lost", box=box.SIMPLE)
    for row in ratings:
        interval = "" if row["low"] is None else f"{row['low']:.0f} to {row['high']:.0f}"
        change = f"{row['rating'] - before[row['competitor']]:+.0f}" if row["competitor"] in before else "new"
        table.add_row(row["competitor"], f"{row['rating']:.0f}", change, interval, *(str(row[name]) for name in counts))
    console.print(table)
    if sentence := worth(ratings):
        console.print(sentence, soft_wrap=True)


def worth(ratings: Sequence[Mapping[str, Any]]) -> str:
    """What ratings say of who is best, by their intervals; empty without intervals."""
    if len(ratings) < 2 or any(row["low"] is None for row in ratings):
        return ""
    first, *others = sorted(ratings, key=lambda row: -row["rating"])
    near = [row["competitor"] for row in others if row["high"] >= first["low"]]
    if not near:
        return f"{first['competitor']} is the best: its interval is above all others."
    battles = sum(row["battles"] for row in ratings) // 2
    return f"{battles} battles do not say whether {first['competitor']} is better than {', '.join(near)}: intervals overlap."


def show_row(console: Console, row: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """One exported row with why its answer won."""
    console.rule(f"one row: mined from {row['attacker']}, answered by {row['competitor']}")
    for message in row["messages"]:
        lines = message["content"].splitlines()
        more = f"\n[{len(lines) - ANSWER_LINES} more lines]" if len(lines) > ANSWER_LINES else ""
        console.print(Text.assemble((message["role"], "bold"), f": {chr(10).join(lines[:ANSWER_LINES])}{more}"))
    console.print(Text("why this answer won: ", style="bold") + Text(" ".join(made["why"])), soft_wrap=True)
    console.rule()


def show_costs(
    console: Console,
    stages: Mapping[str, Mapping[str, Any]],
    seconds: Mapping[str, float],
    planned: Mapping[str, Mapping[str, Any]],
) -> None:
    """What each stage that asks models cost, and all of them, beside the completions that were planned."""
    names = ("completions_sent", "completions_from_ledger", "prompt_tokens", "completion_tokens", "engine_starts")
    columns = ["cost", "asked\nplan", "asked\nactual", "paid\nbefore", "tokens\nin", "tokens\nout", "engine\nstarts", "seconds"]
    sums = (narrow(sum(own[name] for own in stages.values())) for name in names)
    of_plan = narrow(sum(own["completions"] for own in planned.values())) if planned else ""
    table = compact_table("", columns, ("sum", of_plan, *sums, f"{sum(seconds.values()):.0f}"))
    for stage, own in stages.items():
        expected = narrow(planned[stage]["completions"]) if stage in planned else ""
        table.add_row(stage, expected, *(narrow(own[name]) for name in names), f"{seconds.get(stage, 0):.0f}")
    without = sum(took for stage, took in seconds.items() if stage not in stages)
    table.add_row("everything else", "", *[""] * len(names), f"{without:.0f}")
    console.print(table)
