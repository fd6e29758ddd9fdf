"""The command line."""

from warrior_dagster.cli.commands import app

__all__ = ["app"]
