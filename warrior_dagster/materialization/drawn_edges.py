"""Which of the tables that an asset reads are edges of Dagster's graph: those that no other edges imply.

Nearly every asset joins the selected instructions and the answers, and the report reads everything: with an edge for each of
these reads nobody could read the graph. An edge is left out if the partitions that it stands for are reached through other
edges, so that a backfill takes the same partitions in the same order. What is left out is not forgotten: fingerprints
(`staleness`), the automation sensor and the origins of columns have every read.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.partitions import EARLIER, EVERYONE, FIRST, JUDGES, SAME, UNTRACKED
from warrior_dagster.materialization.table import Read, Table, in_arena


def reads_of(tables: Sequence[Table], arena: Arena) -> dict[str, dict[str, Read]]:
    """How each table of an arena reads others, by names. A table comes after those that it reads; KeyError otherwise."""
    schemes, found = dict[str, str](), dict[str, dict[str, Read]]()
    ways = dict[str, dict[str, str]]()
    for one in tables:
        schemes[one.name] = one.partitioned_by
        declared = {name: how for name, how in in_arena(one.reads, arena).items() if how != UNTRACKED}
        ways[one.name] = {
            name: EVERYONE if "nothing" in (one.partitioned_by, schemes[name]) else how for name, how in declared.items()
        }
        found[one.name] = {name: Read(how, schemes[name]) for name, how in declared.items()}
    for name, implied in implied_reads(ways).items():
        for other in implied:
            found[name][other] = found[name][other]._replace(drawn=False)
    return found


def implied_reads(ways: Mapping[str, Mapping[str, str]]) -> dict[str, set[str]]:
    """The reads of each table that its other reads imply. `ways` has how each table reads others; EVERYONE: all partitions."""
    reached, implied = dict[str, dict[str, set[str]]](), dict[str, set[str]]()
    for name, own in ways.items():
        through_others = defaultdict[str, set[str]](set)
        for between, how in own.items():
            for origin, further in reached[between].items():
                through_others[origin] |= {through(how, then) for then in further}
        implied[name] = {
            origin for origin, how in own.items() if any(covers(other, how) for other in through_others.get(origin, ()))
        }
        reached[name] = {
            origin: through_others.get(origin, set()) | ({own[origin]} if origin in own else set())
            for origin in {*through_others, *own}
        }
    return implied


def through(how: str, then: str) -> str:
    """A way in which a table is read, at the least, if it is read in the way `then` by one that is read in the way `how`."""
    if then in (EVERYONE, FIRST, JUDGES):  # whatever is read of the one between
        return then
    return then if how == SAME else how


def covers(one: str, other: str) -> bool:
    """Whether one way to read takes all partitions that another takes."""
    return one in (other, EVERYONE) or (one, other) == (EARLIER, SAME)
