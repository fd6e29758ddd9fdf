"""The commands of `warrior ledger`."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, TypeVar

import typer

from warrior_dagster.cli.arguments import ArenaCommand, ArenaFile, AsJson, opened
from warrior_dagster.cli.output import fail, say, say_json
from warrior_dagster.inference.ledger import maintenance
from warrior_dagster.inference.ledger.table import LANCE_ERRORS

ledger_app = typer.Typer(no_args_is_help=True, help="What was paid for: show it, verify it, remove some to ask for it again.")
Result = TypeVar("Result")


@ledger_app.command(name="show", cls=ArenaCommand)
def show_ledger(
    file: ArenaFile,
    key: Annotated[str, typer.Argument(metavar="[KEY]", help="The beginning of a completion's key.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show what each model has in the ledger, or as JSON the completions whose key begins so."""
    uri = opened(file).warehouse
    if key:
        rows = in_ledger(partial(maintenance.stored, uri, key))
        for row in rows or fail(f"no completion has a key that begins with {key}"):
            say_json(row, indent=None if as_json else 2)
        return
    models, size = in_ledger(partial(maintenance.summary, uri))
    if as_json:
        say_json({"models": models.to_dicts(), "bytes": size})
        return
    for row in models.iter_rows(named=True):
        times = f"from {row['first']} to {row['last']} UTC"
        say(f"{row['model']}: {row['completions']:,} completions, {row['tokens']:,} tokens, {times}")
    say(f"{models['completions'].sum():,} completions, {size / 2**20:,.1f} MiB on this disk")


@ledger_app.command(name="verify", cls=ArenaCommand)
def verify_ledger(file: ArenaFile, as_json: AsJson = False) -> None:
    """Name completions that no model can have said or that lack what was asked for, and files that cannot be read."""
    faults, unread = in_ledger(partial(maintenance.verify, opened(file).warehouse))
    if as_json:
        say_json({"faults": [fault._asdict() for fault in faults], "unread": unread})
    else:
        for fault in faults:
            say(f"{fault.key} {fault.model}: {fault.reason}")
        for damaged in unread:
            say(f"{damaged}: cannot be read; its completions are requested again")
    if not faults and not unread and not as_json:
        say("nothing is wrong or doubtful")
    if faults:
        fail(f"{len(faults)} completions are wrong or doubtful; `warrior ledger drop --faulty` removes them")
    if unread:
        fail(f"{len(unread)} files cannot be read")


@ledger_app.command(name="drop", cls=ArenaCommand)
def drop_from_ledger(
    file: ArenaFile,
    keys: Annotated[list[str] | None, typer.Argument(help="Whole keys of completions.", show_default=False)] = None,
    faulty: Annotated[bool, typer.Option("--faulty", help="All completions that `verify` names.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove completions, so that the next run requests them again. Other runs may go on meanwhile."""
    uri = opened(file).warehouse
    if bool(keys) == faulty:
        fail("expected keys, or --faulty")
    faults = in_ledger(partial(maintenance.verify, uri))[0] if faulty else []
    if not yes:
        typer.confirm(f"Remove {len(faults or keys or ())} completions, and pay for them again?", abort=True, err=True)
    count = in_ledger(partial(maintenance.drop, uri, faults, keys or ()))
    say(f"{count} removed; `warrior run` requests them again")


def in_ledger(work: Callable[[], Result]) -> Result:
    """The result of `work`; exits with one line if the ledger cannot be read or written."""
    try:
        return work()
    except LANCE_ERRORS as error:
        fail(str(error))
