"""What is known of a table before it has rows: declared once beside its stage, read by everything that lists tables."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.config.serving import Competitor
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

EVERY_ROW, ERROR = pl.col("row_id").is_not_null(), pl.col("error")
CHARS_PER_TOKEN = 4
"""Of code and English, approximately."""


@dataclass(frozen=True, eq=False)
class Requests:
    """What filling a table asks of models."""

    max_tokens: Callable[[Arena, Competitor], tuple[int, int]]
    """The most tokens of a prompt and of a completion of one request to a competitor, before any text is known."""
    error: pl.Expr = ERROR
    """From the table's rows the error of each of their requests, null where it succeeded."""


@dataclass(frozen=True, eq=False)
class Table:
    """One table of the warehouse, which is also one Dagster asset."""

    name: str
    partitioned_by: Literal["competitor", "matchup", "nothing"]
    columns: tuple[str, ...] | Callable[[Arena], tuple[str, ...]]
    """The columns that every partition has, besides `partition`."""
    group: str = ""
    """Dagster's asset group, which is one run of `warrior run`; by default that of the partition scheme."""
    usable: pl.Expr = EVERY_ROW
    """The rows that later stages work with."""
    usable_row: str = "present"
    """What messages call such a row: "no row is ..."."""
    if_empty: Literal["fail", "warn", "ignore"] = "fail"
    """What the check `not_empty` does where no partition has a usable row."""
    no_empty_partition: bool = False
    """Whether a partition with rows, none of which is usable, fails that check too."""
    on_card: bool = False
    """Whether the cards of exported data sets say how many rows this stage left."""
    requests: Requests | None = None
    """Set where the rows come from models."""
    enabled: Callable[[Arena], bool] = lambda arena: True
    """Whether an arena has this table."""

    @property
    def asset_group(self) -> str:
        """Dagster's asset group."""
        return self.group or {"competitor": "competitors", "matchup": "matchups", "nothing": "leaderboard"}[self.partitioned_by]

    def partitions(self, arena: Arena) -> list[str]:
        """The keys of all partitions that an arena's roster gives the table, in order."""
        of_matchups = self.partitioned_by == "matchup"
        return [WHOLE] if self.partitioned_by == "nothing" else matchup_keys(arena.roster) if of_matchups else arena.roster

    def columns_in(self, arena: Arena) -> tuple[str, ...]:
        """The columns that the table has in an arena."""
        return self.columns if isinstance(self.columns, tuple) else self.columns(arena)


def tokens_of(prompt: str) -> int:
    """About how many tokens a prompt's own text has."""
    return len(prompt) // CHARS_PER_TOKEN


def open_warehouse(arena: Arena) -> Warehouse:
    """The tables of an arena, which may share a warehouse with other arenas."""
    return Warehouse(arena.warehouse, arena.name)
