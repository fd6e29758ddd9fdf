"""A table of the warehouse is one Dagster asset: described once, by the decorator of the function that fills it.

Everything that lists tables, or needs to know something of one, reads the description.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from types import ModuleType
from typing import Any, Literal, NamedTuple, TypeVar, Union

import dagster as dg
import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.config.serving import Competitor
from warrior_dagster.inference.text_settings import text_settings
from warrior_dagster.materialization.code_versions import code_version
from warrior_dagster.materialization.columns import MEANINGS
from warrior_dagster.materialization.overview import kinds_of, overview
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.recording import FEW_FAILED, FEW_FAILED_MEANS, Step
from warrior_dagster.materialization.staleness import COMPETITORS, READS
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

OWNERS = ["team:warrior"]
POOL = "engine"
"""What uses a GPU waits its turn in this pool."""
CHARS_PER_TOKEN = 4
"""Of code and English, approximately."""
EVERY_ROW, ERROR = pl.col("row_id").is_not_null(), pl.col("error")

UNKNOWN_TYPE = "?"
"""A column's type that Dagster's UI does not show."""

T = TypeVar("T")
PerArena = Union[T, Callable[[Arena], T]]  # noqa: UP007
"""A value, or a function that gives the value in an arena."""
Tokens = tuple[int, int]


class Read(NamedTuple):
    """How a table reads another one."""

    how: str
    """Which of its partitions (see materialization.partitions)."""
    partitioned_by: str
    """What that table is partitioned by."""
    drawn: bool = True
    """Whether the read is an edge of Dagster's graph (see materialization.drawn_edges)."""


@dataclass(frozen=True, eq=False)
class Requests:
    """The requests that filling a table sends."""

    max_tokens: Callable[[Arena, Competitor], Tokens]
    """The most tokens of a prompt and of a completion of one request to a competitor, before any text is known."""
    error: pl.Expr = ERROR
    """From the table's rows the error of each of their requests, null where it succeeded."""
    asked: Callable[[Arena, str], Sequence[str]] = lambda _, partition: [partition]
    """The competitors whose completions a partition is made from; by default its own."""
    settings: Callable[[Arena, Competitor], Mapping[str, Any]] = text_settings
    """What these completions depend on of a competitor's own settings."""
    samples: Callable[[Arena, Competitor], int] = lambda *_: 1
    """How many samples each prompt has; mining counts them by itself."""


@dataclass(frozen=True, slots=True)
class RunForecast:
    """The runs of code that a table needs, as far as its inputs are known."""

    needed: int
    """Pairs of an answer and what it is run on, such as a test."""
    to_run: int
    """Those of them that no earlier run has decided."""
    answers: int
    """The programs of answers that these are run on."""
    known: bool = True
    """Whether no further runs follow from runs that are still to be made."""


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of code in the sandbox that filling a table takes."""

    forecast: Callable[[Arena, Warehouse, Mapping[str, pl.DataFrame]], RunForecast]
    """From the rows of `selected_instructions`, `answers` and `generated_tests` that are known, by table."""
    most: Callable[[Arena], int]
    """The most runs of one answer, before any test is known."""
    processes: Callable[[int, int], int]
    """How many processes start for some runs of some answers."""
    limit: Callable[[Arena, int], int] | None = None
    """How many answers are run at most, given the number of instructions; None: all."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """The description of a table, and the asset that fills it."""

    compute: Callable[[Step], dg.MaterializeResult]
    """Fills the table; its docstring begins what the UI shows of it (see materialization.overview)."""
    name: str
    group: str
    """Dagster's asset group: what a user does with it."""
    partitioned_by: Literal["competitor", "matchup", "nothing"]
    columns: PerArena[Sequence[str]]
    """The columns of every partition, besides `partition`."""
    meanings: Mapping[str, str] = field(default_factory=dict)
    """What its own columns mean, and those that mean something else elsewhere; materialization.columns has the others."""
    reads: PerArena[Mapping[str, str]]
    """The tables that are read, each with how its partitions are (see materialization.partitions)."""
    origins: PerArena[Mapping[str, str]]
    """Which columns each column is made from (column_lineage.origins)."""
    settings: Callable[[Arena], Sequence[Any]] = lambda _: ()
    """The part of the arena that the rows depend on, for the code version."""
    code: Sequence[ModuleType] = ()
    """Modules that the rows depend on and that `compute` does not name, for the code version."""
    requests: Requests | None = None
    """Set where the rows come from models."""
    runs: Runs | None = None
    """Set where code is run."""
    ordered: Callable[[Arena, str], Sequence[str]] = lambda *_: ()
    """The competitors on whose names and order the rows of a partition depend, besides the rows that it reads."""
    uses_gpu: bool = False
    """Whether it waits for the engine pool though it asks no model."""
    reads_ledger: bool = False
    kinds: Sequence[str] = ("polars", "lancedb")
    """Tags in the UI, where no model is asked."""
    checks: Sequence[tuple[str, str]] = ()
    """Checks whose results `compute` returns, with their descriptions."""
    usable: pl.Expr = EVERY_ROW
    """The rows that later stages work with."""
    usable_row: str = "present"
    """What messages call such a row: "no row is ..."."""
    if_empty: PerArena[Literal["fail", "warn", "ignore"]] = "fail"
    """What the check `not_empty` does where no partition has a usable row."""
    no_empty_partition: bool = False
    """Whether a partition with rows, none of which is usable, fails that check too."""
    on_card: bool = False
    """Whether the cards of exported data sets say how many rows this stage left."""
    invalidate_files: Callable[[Arena], None] | None = None
    """Moves the files of a table aside whose rows are wrong, where it has any."""
    enabled: Callable[[Arena], bool] = lambda _: True
    """Whether an arena has this table."""

    def partitions(self, arena: Arena) -> list[str]:
        """The keys of all partitions that an arena's roster gives the table, in order."""
        of_matchups = self.partitioned_by == "matchup"
        return [WHOLE] if self.partitioned_by == "nothing" else matchup_keys(arena.roster) if of_matchups else arena.roster

    def of_competitors(self, arena: Arena) -> dict[str, str]:
        """For each partition a hash of what it depends on of the competitors' own settings and order; none if of nothing."""
        own = {c.name: dict(self.requests.settings(arena, c)) for c in arena.competitors} if self.requests else {}
        found = {}
        for partition in self.partitions(arena):
            asked = self.requests.asked(arena, partition) if self.requests else []
            ordered = list(self.ordered(arena, partition))
            if asked or ordered:
                depends_on = json.dumps([{name: own[name] for name in asked}, ordered], sort_keys=True)
                found[partition] = sha256(depends_on.encode()).hexdigest()[:16]
        return found

    def column_schema(self, columns: Iterable[str]) -> dg.TableSchema:
        """The columns with what they mean; their types are in the schema of each materialization. Raises KeyError for a column
        that is not described.
        """
        return dg.TableSchema([dg.TableColumn(c, UNKNOWN_TYPE, self.meanings.get(c) or MEANINGS[c]) for c in columns])

    def make(self, scope: Scope, tracked: Mapping[str, Read] | None = None) -> dg.AssetsDefinition:
        """The asset in an arena. Its step can read only what the table declares, and write only the declared columns.

        `tracked` are the reads that it depends on, by table; None: it depends on none.
        """
        partitions, reads = scope.partitions_of(self.partitioned_by), in_arena(self.reads, scope.arena)
        tracked = dict(tracked or {})
        asks, key = self.requests is not None, scope.key(self.name)
        needed = {"warehouse": True, "engines": asks or self.uses_gpu, "ledger": self.reads_ledger}
        resources = [name for name, wanted in needed.items() if wanted]
        columns, origins = in_arena(self.columns, scope.arena), in_arena(self.origins, scope.arena)
        completed_by = partial(self.requests.asked, scope.arena) if self.requests else None

        def step(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            given = {name: getattr(context.resources, scope.name(name)) for name in resources}
            given["warehouse"] = given["warehouse"].for_step(self.name, columns, reads)
            return self.compute(Step(context, scope, origins=origins, reads=reads, completed_by=completed_by, **given))

        return dg.asset(
            key=key,
            description=overview(self, scope.arena, [name for name, read in tracked.items() if not read.drawn]),
            group_name=scope.group(self.group),
            owners=OWNERS,
            kinds=kinds_of(self, scope.arena),
            partitions_def=partitions,
            backfill_policy=dg.BackfillPolicy.single_run() if partitions else None,
            pool=POOL if asks or self.uses_gpu else None,
            deps=[
                dg.AssetDep(scope.key(name), partition_mapping=scope.mapping(read.how))
                for name, read in tracked.items()
                if read.drawn
            ],
            required_resource_keys={scope.name(name) for name in resources},
            metadata={
                COMPETITORS: self.of_competitors(scope.arena),
                READS: {name: {"how": read.how, "partitioned_by": read.partitioned_by} for name, read in tracked.items()},
                "dagster/column_schema": self.column_schema(columns),
            },
            code_version=code_version(self.compute, self.settings(scope.arena), self.code),
            check_specs=[
                *([dg.AssetCheckSpec(FEW_FAILED, asset=key, description=FEW_FAILED_MEANS)] if asks else []),
                *(dg.AssetCheckSpec(name, asset=key, description=description) for name, description in self.checks),
            ],
        )(step)


def table(name: str = "", **described: Any) -> Callable[[Callable[[Step], dg.MaterializeResult]], Table]:
    """A decorator: the table that a function fills, called like it unless there is a `name`; see Table's fields."""
    return lambda compute: Table(compute=compute, name=name or compute.__name__, **described)


def in_arena(value: Any, arena: Arena) -> Any:
    """A value of a table's description in an arena."""
    return value(arena) if callable(value) else value


def tokens_of(prompt: str) -> int:
    """About how many tokens a prompt's own text has."""
    return len(prompt) // CHARS_PER_TOKEN


def open_warehouse(arena: Arena) -> Warehouse:
    """The tables of an arena, which may share a warehouse with other arenas."""
    return Warehouse(arena.warehouse, arena.name)
