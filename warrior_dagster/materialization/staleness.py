"""What a partition was made from, and whether that still holds: Dagster's own staleness does not see partitions, nor reads that
the graph does not draw.

When a partition is recorded, its fingerprint is stored beside it: the code version of its asset, a hash of what it depends on
of the competitors' own settings, and for each table that it reads a hash over the rows of the partitions that it read. The
partition is stale once any of these has changed. An asset that is materialized again with the same rows makes nothing
downstream stale.
"""

import json
from collections.abc import Iterable
from functools import cache
from hashlib import sha256

import dagster as dg

from warrior_dagster.materialization.dagster_internals import Graph
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

MISSING = "it was never materialized, or a failed check invalidated it"
CODE, COMPETITORS = "code", "competitors"
"""The keys of a fingerprint besides tables. The asset's metadata has, under the second, the hash of each partition."""
READS = "reads"
"""The key of an asset's metadata with all tables that it reads, each with the arguments of Scope.read_partitions."""
NOT_RECORDED = {COMPETITORS}
"""What fingerprints of earlier versions lack. Without it a partition counts as unchanged: an upgrade makes nothing stale."""

Fingerprint = dict[str, str]
"""The code version (`code`), the competitors' part (`competitors`) if it has any, and for each table read a hash of what was
read of it; "" if some of that does not exist.
"""


def table_of(asset: dg.AssetKey) -> str:
    """The table of an asset, whose key may begin with the arena's name."""
    return asset.path[-1]


def reads(scope: Scope, graph: Graph, asset: dg.AssetKey, partition: str) -> dict[str, list[str]]:
    """The partitions that a partition of an asset reads, by table."""
    declared = graph.get(asset).metadata.get(READS, {})
    return {table: scope.read_partitions(**how, partition=partition) for table, how in sorted(declared.items())}


def fingerprint(scope: Scope, graph: Graph, asset: dg.AssetKey, partition: str, hashes: "Hashes") -> Fingerprint:
    """What a partition would be made from now, or was made from a moment ago, by the `hashes` of what it reads."""
    node = graph.get(asset)
    own = {CODE: node.code_version or ""}
    if of_competitors := node.metadata.get(COMPETITORS, {}).get(partition):
        own[COMPETITORS] = of_competitors
    return own | {table: hashes(table, tuple(keys)) for table, keys in reads(scope, graph, asset, partition).items()}


class Hashes:
    """The hash of some partitions' rows: of the rows that a step read, or else of those that exist now."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._existing = cache(warehouse.partitions)
        self._read = warehouse.read_hashes
        self._of = cache(self._hash)

    def __call__(self, table: str, partitions: tuple[str, ...]) -> str:
        return self._of(table, partitions)

    def _hash(self, table: str, partitions: tuple[str, ...]) -> str:
        existing = self._existing(table)
        hashes = [self._read.get((table, p)) or existing.get(p) for p in partitions]
        return sha256(json.dumps(hashes).encode()).hexdigest()[:32] if all(hashes) else ""


def save_fingerprints(scope: Scope, graph: Graph, asset: dg.AssetKey, partitions: Iterable[str], warehouse: Warehouse) -> None:
    """Store the fingerprints of partitions that were just written."""
    hashes = Hashes(warehouse)
    made = {p: json.dumps(fingerprint(scope, graph, asset, p, hashes), sort_keys=True) for p in partitions}
    warehouse.save_fingerprints(table_of(asset), made)


def stale_partitions(scope: Scope, graph: Graph, asset: dg.AssetKey, warehouse: Warehouse) -> dict[str, str]:
    """The partitions of an asset that are missing or would be made from something else now, each with the reason."""
    table, partitions_def = table_of(asset), graph.get(asset).partitions_def
    existing, stored, hashes = warehouse.partitions(table), warehouse.fingerprints(table), Hashes(warehouse)
    found = {}
    for partition in partitions_def.get_partition_keys() if partitions_def else [WHOLE]:
        if not existing.get(partition):
            found[partition] = MISSING
            continue
        then, now = json.loads(stored.get(partition, "{}")), fingerprint(scope, graph, asset, partition, hashes)
        if not then:
            found[partition] = "what it was made from was not recorded"
        elif reason := difference(then, now):
            found[partition] = reason
    return found


def difference(then: Fingerprint, now: Fingerprint) -> str:
    """In words what has changed between two fingerprints; empty if nothing has."""
    changed = [name for name in now if then.get(name) != now[name] and not (name in NOT_RECORDED and name not in then)]
    tables = [name for name in changed if name not in (CODE, COMPETITORS)]
    reasons = ["its settings or its code have changed"] if CODE in changed else []
    reasons += ["the competitors that it depends on, or their own settings, have changed"] if COMPETITORS in changed else []
    reasons += [f"the rows of {', '.join(tables)} have changed"] if tables else []
    reasons += [f"it no longer reads {', '.join(gone)}"] if (gone := sorted(set(then) - set(now) - NOT_RECORDED)) else []
    return "; ".join(reasons)
