"""The arguments that commands share, and the arena that they are about."""

from pathlib import Path
from typing import Annotated

import typer

from warrior_dagster.cli.output import fail
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import ArenaError, load_arena, place
from warrior_dagster.planning.preflight import missing_here, no_isolation

ArenaFile = Annotated[Path, typer.Argument(help="The arena's YAML.", show_default=False)]
Config = Annotated[Path, typer.Option("--config", "-c", help="The arena's YAML.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON object instead of tables.")]


def ready(file: Path, *, to_run: bool = False) -> Arena:
    """The arena of a file; exits with one line for each mistake in it, and for each thing missing on this machine."""
    try:
        arena = load_arena(file)
    except ArenaError as error:
        fail(str(error))
    if missing := [*missing_here(arena), *(no_isolation(arena) if to_run else [])]:
        fail("\n".join(in_file(line, arena, file) for line in missing))
    return arena


def in_file(line: str, arena: Arena, file: Path) -> str:
    """A line of preflight, which begins with a key, with the place of that key in the arena's file."""
    key, _, reason = line.partition(": ")
    steps: list[str | int] = list(key.split("."))
    for index, competitor in enumerate(arena.competitors):
        if key.startswith(start := f"competitors.{competitor.name}."):
            steps = ["competitors", index, *key.removeprefix(start).split(".")]
    return f"{place(tuple(steps), file)}: {reason}"
