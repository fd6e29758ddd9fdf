"""The automation condition: what each tick requests after an event."""

from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from warrior_dagster.materialization.partitions import BOTH_SIDES, SAME, Scope
from warrior_dagster.materialization.staleness import COMPETITORS, READS
from warrior_dagster.orchestration.automation_sensor import automated, automation_sensor

NAMES = ["ann", "bob", "cyd"]
SCOPE = Scope(SimpleNamespace(roster=NAMES))  # type: ignore[arg-type]


class Graph:
    """A small graph with the arena's partitions, whose rows and failures the test sets."""

    def __init__(self) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor: Any = None
        self.rows, self.failing, self.code = dict[str, str](), set[str](), "1"
        self.settings = dict[str, str]()

    def made(self, context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        key = context.partition_key
        if key in self.failing:
            raise RuntimeError(key)
        return dg.MaterializeResult(data_version=dg.DataVersion(self.rows.get(key, "first")))

    def assets(self, names: list[str]) -> list[dg.AssetsDefinition]:
        scope = Scope(SimpleNamespace(roster=names))  # type: ignore[arg-type]

        @dg.asset(
            partitions_def=scope.competitors, metadata={COMPETITORS: {name: self.settings.get(name, "") for name in names}}
        )
        def mined(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
            return self.made(context)

        @dg.asset(
            partitions_def=scope.matchups,
            deps=[dg.AssetDep("mined", partition_mapping=scope.mapping(BOTH_SIDES))],
            code_version=self.code,
        )
        def votes(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
            return self.made(context)

        @dg.asset(deps=["votes"])
        def ratings() -> dg.MaterializeResult[Any]:
            return dg.MaterializeResult(data_version=dg.DataVersion("ratings"))

        return automated(scope, [mined, votes, ratings])

    def tick(self, names: list[str]) -> set[str]:
        """Evaluate and materialize one tick; returns what it requested."""
        assets = self.assets(names)
        result = dg.evaluate_automation_conditions(assets, self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        requested = set()
        for asset in assets:
            for partition in sorted(result.get_requested_partitions(asset.key), key=str):
                requested.add(f"{asset.key.to_user_string()}[{partition}]" if partition else asset.key.to_user_string())
                dg.materialize(assets, selection=[asset], partition_key=partition, instance=self.instance, raise_on_error=False)
        return requested


class WithUndrawnReads(Graph):
    """A graph whose votes and ratings read `mined` without an edge: the edges through answers imply these reads."""

    def assets(self, names: list[str]) -> list[dg.AssetsDefinition]:
        scope = Scope(SimpleNamespace(roster=names))  # type: ignore[arg-type]
        of_mined = {"partitioned_by": "competitor", "how": BOTH_SIDES}

        @dg.asset(partitions_def=scope.competitors)
        def mined(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
            return self.made(context)

        @dg.asset(partitions_def=scope.competitors, deps=["mined"])
        def answers() -> dg.MaterializeResult[Any]:
            return dg.MaterializeResult(data_version=dg.DataVersion("the same, whatever was mined"))

        @dg.asset(
            partitions_def=scope.matchups,
            deps=[dg.AssetDep("answers", partition_mapping=scope.mapping(BOTH_SIDES))],
            metadata={READS: {"answers": of_mined, "mined": of_mined}},
        )
        def votes() -> dg.MaterializeResult[Any]:
            return dg.MaterializeResult(data_version=dg.DataVersion("votes"))

        @dg.asset(deps=["votes"], metadata={READS: {"votes": {"partitioned_by": "matchup", "how": SAME}, "mined": of_mined}})
        def ratings() -> dg.MaterializeResult[Any]:
            return dg.MaterializeResult(data_version=dg.DataVersion("ratings"))

        return automated(scope, [mined, answers, votes, ratings])

    def materialize(self, name: str, partition: str) -> None:
        (asset,) = (one for one in self.assets(NAMES) if one.key == dg.AssetKey(name))
        dg.materialize(self.assets(NAMES), selection=[asset], partition_key=partition, instance=self.instance)


def of(asset: str, *partitions: str) -> set[str]:
    return {f"{asset}[{partition}]" for partition in partitions}


@pytest.fixture
def graph() -> Graph:
    """A graph of three competitors that automation materialized from nothing."""
    graph = Graph()
    assert graph.tick(NAMES) == of("mined", *NAMES)
    assert graph.tick(NAMES) == of("votes", "ann__bob", "ann__cyd", "bob__cyd")
    assert graph.tick(NAMES) == {"ratings"}
    assert graph.tick(NAMES) == set()
    return graph


def test_a_new_competitor_requests_only_its_own_partitions_and_matchups(graph: Graph) -> None:
    more = [*NAMES, "dan"]
    assert graph.tick(more) == of("mined", "dan")
    assert graph.tick(more) == of("votes", "ann__dan", "bob__dan", "cyd__dan")
    assert graph.tick(more) == {"ratings"}
    assert graph.tick(more) == set()


def test_a_failed_partition_is_requested_once_more_and_then_not_again(graph: Graph) -> None:
    more = [*NAMES, "dan"]
    graph.failing = {"bob__dan"}
    graph.tick(more)
    assert graph.tick(more) == of("votes", "ann__dan", "bob__dan", "cyd__dan")
    assert graph.tick(more) == of("votes", "bob__dan")
    assert [graph.tick(more) for _ in range(3)] == [set()] * 3  # no ratings without it


@pytest.mark.parametrize(("rows", "requested"), [("first", set()), ("second", of("votes", "ann__bob", "ann__cyd"))])
def test_a_rewritten_partition_requests_its_readers_only_if_its_rows_changed(
    graph: Graph, rows: str, requested: set[str]
) -> None:
    graph.rows["ann"] = rows
    assets = graph.assets(NAMES)
    dg.materialize(assets, selection=[assets[0]], partition_key="ann", instance=graph.instance)
    assert graph.tick(NAMES) == requested


def test_another_code_version_requests_its_asset_again(graph: Graph) -> None:
    graph.code = "2"
    assert graph.tick(NAMES) == of("votes", "ann__bob", "ann__cyd", "bob__cyd")
    assert graph.tick(NAMES) == set()  # the rows are the same


def test_a_competitor_whose_own_settings_changed_is_requested_again_once_and_no_other(graph: Graph) -> None:
    graph.settings["bob"] = "another prompt"
    assert graph.tick(NAMES) == of("mined", "bob")
    assert graph.tick(NAMES) == set()  # the rows are the same
    graph.settings["bob"] = "a third prompt"
    graph.rows["bob"] = "second"
    assert graph.tick(NAMES) == of("mined", "bob")
    assert graph.tick(NAMES) == of("votes", "ann__bob", "bob__cyd")


def test_nothing_downstream_of_a_failed_blocking_check_is_requested_until_it_passes(graph: Graph) -> None:
    passes = False

    @dg.asset_check(asset="mined", blocking=True)
    def is_sound() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=passes)

    graph.rows["ann"] = "wrong"
    (mined, *_) = assets = graph.assets(NAMES)
    definitions, instance = dg.Definitions(assets, asset_checks=[is_sound]), graph.instance
    for passes, requested in ((False, set()), (True, {"ann__bob", "ann__cyd"})):  # noqa: B007
        dg.materialize([*assets, is_sound], selection=[mined], partition_key="ann", instance=instance, raise_on_error=False)
        result = dg.evaluate_automation_conditions(definitions, instance, cursor=graph.cursor)
        graph.cursor = result.cursor
        assert result.get_requested_partitions(dg.AssetKey("votes")) == requested


@pytest.fixture
def undrawn() -> WithUndrawnReads:
    """A graph of three competitors with reads that are not drawn, that automation materialized from nothing."""
    graph = WithUndrawnReads()
    assert graph.tick(NAMES) == of("mined", *NAMES) | of("answers", *NAMES)  # one run takes both
    assert graph.tick(NAMES) == of("votes", "ann__bob", "ann__cyd", "bob__cyd")
    assert graph.tick(NAMES) == {"ratings"}
    assert graph.tick(NAMES) == set()
    return graph


def test_what_reads_changed_rows_is_requested_though_the_graph_draws_no_edge(undrawn: WithUndrawnReads) -> None:
    undrawn.rows["ann"] = "second"
    undrawn.materialize("mined", "ann")
    assert undrawn.tick(NAMES) == of("answers", "ann") | of("votes", "ann__bob", "ann__cyd") | {"ratings"}
    assert undrawn.tick(NAMES) == set()


def test_equal_rows_without_an_edge_request_nothing(undrawn: WithUndrawnReads) -> None:
    undrawn.materialize("mined", "ann")
    assert undrawn.tick(NAMES) == set()


def test_nothing_is_requested_while_a_failed_check_blocks_what_it_reads_without_an_edge(undrawn: WithUndrawnReads) -> None:
    @dg.asset_check(asset="mined", blocking=True)
    def is_sound() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    undrawn.rows["ann"] = "wrong"
    (mined, *_) = assets = undrawn.assets(NAMES)
    dg.materialize([*assets, is_sound], selection=[mined], partition_key="ann", instance=undrawn.instance, raise_on_error=False)
    definitions = dg.Definitions(assets, asset_checks=[is_sound])
    result = dg.evaluate_automation_conditions(definitions, undrawn.instance, cursor=undrawn.cursor)
    assert result.total_requested == 0


def test_the_sensor_ships_stopped() -> None:

    assert automation_sensor(SCOPE, []).default_status == dg.DefaultSensorStatus.STOPPED
