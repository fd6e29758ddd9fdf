"""What a partition was made from, and whether that is still so: Dagster's own staleness does not see partitions.

When a partition is recorded, its basis is kept beside it: the code version of its asset, and for each table that it reads a
hash over the rows of the partitions that it read. It is out of date once any of these is another. An asset that is made again
with the same rows makes nothing after it out of date.
"""

import json
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

from warrior_dagster.warehouse.tables import WHOLE, Warehouse

MISSING = "it was never materialized, or a failed check withdrew it"
CODE = "code"

Graph = BaseAssetGraph[Any]
Basis = dict[str, str]
"""The code version (`code`), and of each table read the hash of what was read of it; "" if some of that is not there."""


def reads(graph: Graph, asset: dg.AssetKey, partition: str) -> dict[str, list[str]]:
    """The partitions that a partition of an asset reads, by table."""
    node = graph.get(asset)
    found = {}
    for parent_key in sorted(node.parent_keys):
        parent = graph.get(parent_key)
        if parent.partitions_def is None:
            partitions = [WHOLE]
        elif node.partitions_def is None:
            partitions = list(parent.partitions_def.get_partition_keys())
        else:
            mapped = graph.get_partition_mapping(asset, parent_key).get_upstream_mapped_partitions_result_for_partitions(
                node.partitions_def.subset_with_partition_keys([partition]), node.partitions_def, parent.partitions_def
            )
            partitions = sorted(mapped.partitions_subset.get_partition_keys())
        found[parent_key.to_user_string()] = partitions
    return found


def basis(graph: Graph, asset: dg.AssetKey, partition: str, hashes: "Hashes") -> Basis:
    """What a partition would be made from now, or was made from a moment ago, by the `hashes` of what it reads."""
    code = graph.get(asset).code_version or ""
    return {CODE: code} | {table: hashes(table, tuple(keys)) for table, keys in reads(graph, asset, partition).items()}


class Hashes:
    """The hash of some partitions' rows, of those that a run of this warehouse read or else of those that are there."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._there = cache(warehouse.partitions)
        self._read = warehouse.read_hashes
        self._of = cache(self._hash)

    def __call__(self, table: str, partitions: tuple[str, ...]) -> str:
        return self._of(table, partitions)

    def _hash(self, table: str, partitions: tuple[str, ...]) -> str:
        there = self._there(table)
        hashes = [self._read.get((table, p)) or there.get(p) for p in partitions]
        return sha256(json.dumps(hashes).encode()).hexdigest()[:32] if all(hashes) else ""


def vouch(graph: Graph, asset: dg.AssetKey, partitions: Iterable[str], warehouse: Warehouse) -> None:
    """Keep the basis of partitions that were just written."""
    hashes = Hashes(warehouse)
    kept = {p: json.dumps(basis(graph, asset, p, hashes), sort_keys=True) for p in partitions}
    warehouse.keep_bases(asset.to_user_string(), kept)


def out_of_date(graph: Graph, asset: dg.AssetKey, warehouse: Warehouse) -> dict[str, str]:
    """The partitions of an asset that are missing or no longer what would be made now, each with the reason."""
    table, partitions_def = asset.to_user_string(), graph.get(asset).partitions_def
    there, kept, hashes = warehouse.partitions(table), warehouse.bases(table), Hashes(warehouse)
    found = {}
    for partition in partitions_def.get_partition_keys() if partitions_def else [WHOLE]:
        if not there.get(partition):
            found[partition] = MISSING
            continue
        then, now = json.loads(kept.get(partition, "{}")), basis(graph, asset, partition, hashes)
        if then != now:
            changed = [name for name in now if then.get(name) != now[name]]
            read = [name for name in changed if name != CODE]
            reasons = ["its settings or its code are others"] * (CODE in changed)
            reasons += [f"{', '.join(read)} {'has' if len(read) == 1 else 'have'} other rows"] * bool(read)
            found[partition] = "; ".join(reasons) if then else "what it was made from was not recorded"
    return found
