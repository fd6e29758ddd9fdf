"""The graph draws the fewest edges through which every read is reached, partition by partition."""

from collections.abc import Iterator
from functools import cache

import dagster as dg
import pytest

from tests.every_table import OF_EACH_KIND, arena_with
from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.dagster_internals import Graph, graph_of_assets, start_backfill
from warrior_dagster.materialization.drawn_edges import implied_reads, reads_of
from warrior_dagster.materialization.partitions import EARLIER, EVERYONE, FIRST, JUDGES, SAME, Scope
from warrior_dagster.materialization.table import Read
from warrior_dagster.orchestration.catalog import tables_of
from warrior_dagster.warehouse.tables import WHOLE

Reads = dict[str, dict[str, Read]]
Partition = tuple[str, str]
"""A table and the key of one of its partitions."""


@pytest.fixture(params=OF_EACH_KIND)
def arena(request: pytest.FixtureRequest) -> Arena:
    return arena_with(**OF_EACH_KIND[request.param])


def every_edge(arena: Arena) -> Reads:
    """How each table of an arena reads others, with an edge for each read."""
    return {
        name: {other: read._replace(drawn=True) for other, read in reads.items()}
        for name, reads in reads_of(tables_of(arena), arena).items()
    }


def assets_of(arena: Arena, reads: Reads) -> list[dg.AssetsDefinition]:
    """The assets of an arena, by how each of its tables reads others."""
    return [table.make(Scope(arena), reads[table.name]) for table in tables_of(arena)]


def edges_into(graph: Graph, table: str, partition: str) -> Iterator[Partition]:
    """The partitions that Dagster's graph has an edge from to one partition."""
    asset = dg.AssetKey(table)
    own = graph.get(asset).partitions_def
    for parent in graph.get(asset).parent_keys:
        theirs, found = graph.get(parent).partitions_def, [WHOLE]
        if own is None and theirs:
            found = list(theirs.get_partition_keys())
        elif own and theirs:
            subset, mapping = own.subset_with_partition_keys([partition]), graph.get_partition_mapping(asset, parent)
            upstream = mapping.get_upstream_mapped_partitions_result_for_partitions(subset, own, theirs)
            found = list(upstream.partitions_subset.get_partition_keys())
        yield from ((parent.path[-1], key) for key in found)


def test_a_partition_reads_what_dagster_s_graph_says_where_it_draws_every_read(arena: Arena) -> None:
    scope, every = Scope(arena), every_edge(arena)
    graph = graph_of_assets(assets_of(arena, every))
    for table in tables_of(arena):
        for partition in table.partitions(arena):
            declared = {
                (other, key)
                for other, read in every[table.name].items()
                for key in scope.read_partitions(read.how, read.partitioned_by, partition)
            }
            assert declared == set(edges_into(graph, table.name, partition)), (table.name, partition)


def test_each_read_is_reached_through_the_edges_that_are_drawn(arena: Arena) -> None:
    scope, reads = Scope(arena), reads_of(tables_of(arena), arena)
    graph = graph_of_assets(assets_of(arena, reads))

    @cache
    def upstream(table: str, partition: str) -> frozenset[Partition]:
        direct = set(edges_into(graph, table, partition))
        return frozenset(direct.union(*(upstream(*one) for one in direct)))

    for table in tables_of(arena):
        for partition in table.partitions(arena):
            for other, read in reads[table.name].items():
                read_of_it = {(other, key) for key in scope.read_partitions(read.how, read.partitioned_by, partition)}
                assert read_of_it <= upstream(table.name, partition), (table.name, partition, other)


def test_a_backfill_of_a_competitor_takes_every_partition_that_its_instructions_reach(arena: Arena) -> None:
    """With an edge for each read, Dagster 1.13 would leave some out, by the order in which it takes an asset's children."""
    assets = assets_of(arena, reads_of(tables_of(arena), arena))
    graph, tables = graph_of_assets(assets), [one for one in tables_of(arena) if one.partitioned_by != "nothing"]
    for name in arena.roster:
        reached = {("mined_instructions", name)}
        for table in tables:
            keys = table.partitions(arena)
            reached |= {(table.name, key) for key in keys if not reached.isdisjoint(edges_into(graph, table.name, key))}
        with dg.DagsterInstance.ephemeral() as instance:
            start_backfill(instance, assets, [name], name)
            (backfill,) = instance.get_backfills()
        target = backfill.asset_backfill_data.target_subset.partitions_subsets_by_asset_key  # type: ignore[union-attr]
        assert {(asset.path[-1], key) for asset, of in target.items() for key in of.get_partition_keys()} == reached, name


def test_most_reads_are_not_drawn_and_votes_have_few_edges() -> None:
    arena = arena_with(**OF_EACH_KIND["everything"])
    reads = reads_of(tables_of(arena), arena)
    drawn = {name: {other for other, read in own.items() if read.drawn} for name, own in reads.items()}
    assert sum(map(len, reads.values())) > 2 * sum(map(len, drawn.values()))
    assert drawn["execution_votes"] == {"execution_results"}
    assert drawn["behaviour_votes"] == {"answer_behaviours"}
    assert drawn["judge_votes"] == {"execution_votes", "behaviour_votes"}
    assert drawn["execution_results"] == {"answers", "generated_tests"}  # everybody's tests, and its own answers
    assert drawn["sft_dataset"] == {"benchmark_overlap"}


def test_a_read_is_implied_only_by_one_of_at_least_the_same_partitions() -> None:
    for nearer, further, own, implied in (
        (SAME, SAME, SAME, True),
        (SAME, SAME, EVERYONE, False),
        (EVERYONE, SAME, EVERYONE, True),
        (EARLIER, SAME, SAME, True),
        (SAME, EARLIER, SAME, True),
        (SAME, FIRST, EVERYONE, False),
        (EVERYONE, JUDGES, EVERYONE, False),
        (EVERYONE, FIRST, FIRST, True),
        (JUDGES, SAME, JUDGES, True),
    ):
        ways = {"origin": {}, "between": {"origin": further}, "reader": {"between": nearer, "origin": own}}
        assert implied_reads(ways)["reader"] == ({"origin"} if implied else set()), (nearer, further, own)


def test_a_table_before_one_that_it_reads_is_an_error() -> None:
    with pytest.raises(KeyError, match="later"):
        implied_reads({"first": {"later": SAME}, "later": {}})
