"""The arguments that commands share, and the arena that they are about."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from warrior_dagster.cli.output import fail, warn
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import ArenaError, load_arena, place
from warrior_dagster.config.messages import CREDENTIALS, MASK
from warrior_dagster.config.yaml_values import steps_of
from warrior_dagster.planning.preflight import missing_here, no_isolation
from warrior_dagster.warehouse.state import UnsafeFolder, local_folder

ArenaFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="The arena's YAML; `-c FILE` anywhere says the same.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON object instead of tables.")]


class ArenaCommand(TyperCommand):
    """A command whose first argument is the arena's file, which may be given as an option instead: `-c FILE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, file_first(args))


def file_first(args: list[str]) -> list[str]:
    """The arguments with the value of `-c` or `--config` in front of the others."""
    for index, word in enumerate(args):
        if word == "--":
            break
        if word in ("-c", "--config") and index + 1 < len(args):
            return [args[index + 1], *args[:index], *args[index + 2 :]]
        if joined := re.fullmatch("(?:--config=|-c)(.+)", word):
            return [joined[1], *args[:index], *args[index + 1 :]]
    return args


def opened(file: Path) -> Arena:
    """The arena of a file; exits with one line for each mistake in it, or if its logs and locks have no safe place."""
    try:
        arena = load_arena(file)
    except ArenaError as error:
        fail(str(error))
    try:
        local_folder(arena.warehouse)
    except UnsafeFolder as error:
        fail(in_file(f"warehouse: {error}", arena, file))
    return arena


def ready(file: Path) -> Arena:
    """The arena of a file that can be run here; exits with one line for each mistake, and for each thing missing here."""
    arena = opened(file)
    if missing := [*missing_here(arena), *no_isolation(arena)]:
        fail("\n".join(in_file(line, arena, file) for line in missing))
    return arena


def warn_of(lines: list[str], arena: Arena, file: Path) -> None:
    """Warn of lines of preflight."""
    for line in lines:
        warn(in_file(line, arena, file))


def in_file(line: str, arena: Arena, file: Path) -> str:
    """A line of preflight, which begins with a key of the YAML, with the place of that key in its file. API keys are masked."""
    key, _, reason = line.partition(": ")
    steps = steps_of(key)
    for index, competitor in enumerate(arena.competitors):
        if key.startswith(start := f"competitors.{competitor.name}."):
            steps = ("competitors", index, *steps_of(key.removeprefix(start)))
    return f"{place(steps, file)}: {CREDENTIALS.sub(MASK, reason)}"
