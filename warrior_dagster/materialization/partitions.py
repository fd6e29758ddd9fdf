"""Competitors and matchups as partitions, and which partition needs which.

Static, from the roster, because a mapping between partitions must be built in to reach Dagster's daemon and UI. Matchup keys
are ordered by the LATER competitor: all matchups of a newly appended one are then one contiguous range, and one run.
"""

from dataclasses import dataclass

import dagster as dg

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys, sides

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
"""Dagster's own names of the tags that make one run of a range of partitions."""


@dataclass(frozen=True)
class Partitions:
    """The two partition schemes of an arena and the edges between their keys; each mapping goes from upstream to downstream."""

    competitors: dg.StaticPartitionsDefinition
    matchups: dg.StaticPartitionsDefinition
    itself_and_earlier: dg.StaticPartitionMapping
    """A competitor's partition reads its own upstream partition and those of all before it in the roster."""
    both_sides: dg.StaticPartitionMapping
    """A matchup reads the partitions of its two competitors."""
    everyone: dg.AllPartitionMapping


def partitions_of(arena: Arena) -> Partitions:
    """The partitions of an arena's roster."""
    roster, matchups = arena.roster, matchup_keys(arena.roster)
    return Partitions(
        competitors=dg.StaticPartitionsDefinition(roster),
        matchups=dg.StaticPartitionsDefinition(matchups),
        itself_and_earlier=dg.StaticPartitionMapping({name: roster[i:] for i, name in enumerate(roster)}),
        both_sides=dg.StaticPartitionMapping({name: [m for m in matchups if name in sides(m)] for name in roster}),
        everyone=dg.AllPartitionMapping(),
    )
