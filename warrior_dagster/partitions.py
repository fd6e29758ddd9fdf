"""Competitors and matchups as partitions, and which partition needs which.

Static, from the roster, because a mapping between partitions must be built in to reach Dagster's daemon and UI. Matchup keys
are ordered by the LATER competitor: all matchups of a newly appended one are then one contiguous range, and one run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from warrior_dagster.arena import MATCHUP_SEPARATOR, Arena

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
"""Dagster's own names of the tags that make one run of a range of partitions."""


def matchup_keys(roster: Sequence[str]) -> list[str]:
    """Each unordered pair once, names in roster order, ordered by the later of the two."""
    return [f"{roster[i]}{MATCHUP_SEPARATOR}{roster[j]}" for j in range(len(roster)) for i in range(j)]


def sides(matchup: str) -> tuple[str, str]:
    """The left and right competitor of a matchup's key."""
    left, right = matchup.split(MATCHUP_SEPARATOR)
    return left, right


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
