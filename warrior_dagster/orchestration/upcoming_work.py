"""What can be made next to bring an arena up to date, in the order of the method.

A partition is ready once everything that it reads exists and is up to date, so no table is made from rows that are about to
change. One run makes one table that asks models, with what follows from it without a request.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from math import inf

import polars as pl

from warrior_dagster.config.matchups import sides
from warrior_dagster.materialization.dagster_internals import Graph
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.staleness import MISSING, Hashes, fingerprint, reads, stale_partitions
from warrior_dagster.materialization.table import Table
from warrior_dagster.orchestration.catalog import tables_of
from warrior_dagster.stages.ratings.assets import elo_ratings
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

Stale = Callable[[str], Mapping[str, str]]
"""The partitions of a table, by name, that are missing or out of date, with the reasons."""


@dataclass(frozen=True, eq=False)
class Work:
    """A table with partitions that are out of date."""

    table: Table
    stale: Mapping[str, str]
    """All partitions that are missing or out of date, with the reasons."""
    ready: list[str]
    """Those of them that can be made now, the most important first."""


class Upcoming:
    """What is out of date in an arena at one moment."""

    def __init__(self, scope: Scope, graph: Graph, warehouse: Warehouse) -> None:
        self.scope, self.graph, self.warehouse = scope, graph, warehouse
        self.tables = tables_of(scope.arena)
        self.stale: Stale = cache(lambda table: stale_partitions(scope, graph, scope.key(table), warehouse))

    def work(self) -> Iterator[Work]:
        """The tables that are out of date, in the order of the method."""
        for table in self.tables:
            if stale := self.stale(table.name):
                ready = [partition for partition in stale if self._is_ready(table, [partition])]
                if table.partitioned_by == "matchup":
                    ready = most_informative_first({m: stale[m] for m in ready}, interval_widths(self.warehouse))
                yield Work(table, stale, ready)

    def in_one_run(self, work: Work, partitions: Sequence[str]) -> list[Table]:
        """The table, and those after it that follow from the same partitions of it without a request."""
        run = [work.table]
        for table in self.tables[self.tables.index(work.table) + 1 :]:
            same = not table.requests and table.partitioned_by == work.table.partitioned_by
            if same and self._follows(table, partitions, run) and self._is_ready(table, partitions, run):
                run.append(table)
        return run

    def inputs(self, work: Work, partitions: Sequence[str]) -> str:
        """A hash of everything that some partitions would be made from now."""
        key, hashes = self.scope.key(work.table.name), Hashes(self.warehouse)
        found = {partition: fingerprint(self.scope, self.graph, key, partition, hashes) for partition in sorted(partitions)}
        return sha256(json.dumps([work.table.name, found], sort_keys=True).encode()).hexdigest()[:16]

    def _is_ready(self, table: Table, partitions: Sequence[str], run: Sequence[Table] = ()) -> bool:
        """Whether all that some partitions read is up to date, or made before them in the run of the same partitions."""
        made = {(one.name, partition) for one in run for partition in partitions}
        return all(
            (parent, own) in made or own not in self.stale(parent)
            for partition in partitions
            for parent, read in reads(self.scope, self.graph, self.scope.key(table.name), partition).items()
            for own in read
        )

    def _follows(self, table: Table, partitions: Sequence[str], run: Sequence[Table]) -> bool:
        """Whether a table is out of date, or reads what the run makes."""
        parents = {parent for p in partitions for parent in reads(self.scope, self.graph, self.scope.key(table.name), p)}
        return not parents.isdisjoint(one.name for one in run) or not self.stale(table.name).keys().isdisjoint(partitions)


def most_informative_first(stale: Mapping[str, str], widths: Mapping[str, float]) -> list[str]:
    """The `stale` matchups (with reasons, in roster order): missing ones first, then those whose two ratings are least certain.

    `widths` are those of the competitors' rating intervals, in rating points; infinite where there is none.
    """

    def rank(matchup: str) -> tuple[bool, float]:
        return stale[matchup] != MISSING, -sum(widths.get(name, inf) for name in sides(matchup))

    return sorted(stale, key=rank)


def interval_widths(warehouse: Warehouse) -> dict[str, float]:
    """The width of each competitor's rating interval; empty without ratings or without intervals."""
    rated = warehouse.read_existing(elo_ratings.name, [WHOLE])
    if rated is None:
        return {}
    return dict(rated.drop_nulls("low").select("competitor", pl.col("high") - pl.col("low")).iter_rows())


def ranges(chosen: Sequence[str], keys: Sequence[str]) -> list[tuple[str, str]]:
    """The first and last key of each contiguous range of `keys`: one run per range loads each engine only once."""
    places = sorted(map(list(keys).index, chosen))
    starts = [p for p in places if p - 1 not in places]
    ends = [p for p in places if p + 1 not in places]
    return [(keys[first], keys[last]) for first, last in zip(starts, ends, strict=True)]
