"""Competitors and matchups as partitions, and which partition needs which.

Static, built from the roster: only built-in mappings between static partitions reach Dagster's daemon and UI. Matchup keys
are ordered by the LATER competitor, so that all matchups of an appended one are one contiguous range, and one run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import dagster as dg

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.warehouse.tables import WHOLE

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
"""Dagster's own names of the tags that make one run of a range of partitions."""

SAME, EARLIER, BOTH_SIDES, EVERYONE = "same", "earlier", "both_sides", "everyone"
FIRST, JUDGES, UNTRACKED = "first", "judges", "untracked"
"""How an asset reads another table's partitions: the one with its own key; that of its competitor and of all before it in the
roster; those of a matchup's two competitors; all of them; those of the founders, the first competitors of the roster;
those of a matchup's judges; or whatever exists, without depending on it.
"""


@dataclass(frozen=True)
class Scope:
    """What all assets of one arena share: its partitions, and its prefix among other arenas of a code location."""

    arena: Arena
    prefix: str = ""
    """The arena's name where a code location has several, else empty: assets, jobs, sensors and resources begin with it."""

    @cached_property
    def competitors(self) -> dg.StaticPartitionsDefinition:
        """One partition a competitor."""
        return dg.StaticPartitionsDefinition(self.arena.roster)

    @cached_property
    def matchups(self) -> dg.StaticPartitionsDefinition:
        """One partition a matchup."""
        return dg.StaticPartitionsDefinition(matchup_keys(self.arena.roster))

    def partitions_of(self, partitioned_by: str) -> dg.StaticPartitionsDefinition | None:
        """The partitions of a table that is partitioned by `competitor`, `matchup` or `nothing`."""
        return {"competitor": self.competitors, "matchup": self.matchups}.get(partitioned_by)

    def mapping(self, how: str) -> dg.PartitionMapping | None:
        """The partition mapping, from upstream to downstream, of one of the ways to read above; None for Dagster's default."""
        roster, matchups = self.arena.roster, matchup_keys(self.arena.roster)
        if how == EARLIER:
            return dg.StaticPartitionMapping({name: roster[i:] for i, name in enumerate(roster)})
        if how == BOTH_SIDES:
            return dg.StaticPartitionMapping({name: [m for m in matchups if name in sides(m)] for name in roster})
        if how == FIRST:
            return dg.StaticPartitionMapping(dict.fromkeys(self.arena.founders, roster))
        if how == JUDGES:
            judged = {name: [m for m in matchups if name in self.arena.judges(*sides(m))] for name in roster}
            return dg.StaticPartitionMapping({name: own for name, own in judged.items() if own})
        return dg.AllPartitionMapping() if how == EVERYONE else None

    def read_partitions(self, how: str, partitioned_by: str, partition: str) -> list[str]:
        """The partitions of a table, partitioned as `partitions_of` says, that one partition of an asset reads; all of them if
        the asset has no partitions. The same ones as Dagster's graph says, where it has the edge.
        """
        if partitioned_by == "nothing":
            return [WHOLE]
        definition = self.partitions_of(partitioned_by)
        assert definition
        if partition == WHOLE:
            return list(definition.get_partition_keys())
        read: dict[str, Callable[[], list[str]]] = {
            SAME: lambda: [partition],
            EARLIER: lambda: self.arena.roster[: self.arena.roster.index(partition) + 1],
            BOTH_SIDES: lambda: list(sides(partition)),
            EVERYONE: lambda: list(definition.get_partition_keys()),
            FIRST: lambda: self.arena.founders,
            JUDGES: lambda: self.arena.judges(*sides(partition)),
        }
        return sorted(read[how]())

    def key(self, table: str) -> dg.AssetKey:
        """The asset of a table."""
        return dg.AssetKey([self.prefix, table] if self.prefix else [table])

    def name(self, name: str) -> str:
        """The name of a job, sensor, schedule, check or resource."""
        return f"{self.prefix}__{name}" if self.prefix else name

    def group(self, name: str) -> str:
        """The name of an asset group. In the UI the groups of an arena with a prefix are inside a group of that name."""
        return f"{self.prefix}/{name}" if self.prefix else name
