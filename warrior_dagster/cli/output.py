"""Prints lines, JSON and errors: what models and servers wrote is shown, and never obeyed by the terminal."""

import json
from functools import partial
from typing import Any, NoReturn

import typer
from rich.console import Console

from warrior_dagster.config.messages import visible

plain_console = partial(Console, markup=False, emoji=False, highlight=False)
"""A console that prints text as it is: `[link=...]` and `:bug:` in a model's text mean nothing."""
errors = plain_console(stderr=True, soft_wrap=True)


def say(text: str) -> None:
    """Print a line."""
    typer.echo(visible(text))


def say_json(value: Any, indent: int | None = None) -> None:
    """Print a value as JSON."""
    say(json.dumps(value, ensure_ascii=False, indent=indent))


def note(text: str) -> None:
    """Print a line to standard error."""
    errors.print(visible(text))


def warn(text: str) -> None:
    note(f"warning: {text}")


def fail(message: str) -> NoReturn:
    """Exit with status 1 and a message."""
    errors.print(visible(message), style="red")
    raise typer.Exit(1)
