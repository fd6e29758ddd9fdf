"""The sensor that makes everything current: it materializes every asset as soon as possible, and again after a change of what
it depends on.

Dagster 1.13's own `eager()` does not suffice: it starts nothing in a fresh install, and runs again for equal rows.
"""

import json
from collections.abc import Sequence

import dagster as dg

from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.staleness import COMPETITORS, READS, reads
from warrior_dagster.warehouse.tables import WHOLE

SENSOR = "make_everything_current"
SECONDS = 30


class CompetitorsChanged(dg.AutomationCondition[dg.AssetKey]):
    """True once for partitions that depend on competitors whose own settings, panel or order changed since the last tick.

    Dagster has one code version for all partitions of an asset, and these settings are those of single partitions.
    """

    @property
    def name(self) -> str:
        return "competitors_changed"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult[dg.AssetKey]:
        now: dict[str, str] = dict(context.asset_graph.get(context.key).metadata.get(COMPETITORS, {}))
        then = json.loads(context.cursor) if context.cursor else now
        changed = {partition for partition in now if then.get(partition, now[partition]) != now[partition]}
        subset = context.get_empty_subset()
        if context.partitions_def and changed:
            view = context.asset_graph_view
            subset = view.get_subset_from_partition_keys(context.key, context.partitions_def, changed)
        elif WHOLE in changed:
            subset = context.candidate_subset
        return dg.AutomationResult(context, subset, cursor=json.dumps(now))


class AnyUndrawn(dg.AutomationCondition[dg.AssetKey]):
    """True for partitions that read a partition for which another condition holds, without an edge in the graph.

    Dagster's conditions of inputs see edges only (materialization.drawn_edges).
    """

    def __init__(self, scope: Scope, condition: dg.AutomationCondition) -> None:
        self.scope, self.condition = scope, condition

    @property
    def name(self) -> str:
        return "any_undrawn"

    @property
    def children(self) -> Sequence[dg.AutomationCondition]:
        return [self.condition]

    async def evaluate(  # type: ignore[override]  # as Dagster's own conditions of conditions
        self, context: dg.AutomationContext
    ) -> dg.AutomationResult[dg.AssetKey]:
        if context.candidate_subset.is_empty:
            return dg.AutomationResult(context, context.candidate_subset)
        graph, view, own = context.asset_graph, context.asset_graph_view, context.partitions_def
        node, true, results = graph.get(context.key), dict[str, set[str]](), []
        for place, table in enumerate(sorted(node.metadata.get(READS, {}))):
            if (key := self.scope.key(table)) not in node.parent_keys:
                child = context.for_child_condition(self.condition, [place], view.get_full_subset(key=key))
                results.append(result := await child.evaluate_async())
                if not result.true_subset.is_empty:
                    partitioned = result.true_subset.is_partitioned
                    true[table] = set(result.true_subset.expensively_compute_partition_keys()) if partitioned else {WHOLE}

        def matches(partition: str) -> bool:
            read = reads(self.scope, graph, context.key, partition)
            return any(not partitions.isdisjoint(read[table]) for table, partitions in true.items())

        subset = context.get_empty_subset()
        if true and own is None:
            subset = context.candidate_subset
        elif true and own and (matching := set(filter(matches, own.get_partition_keys()))):
            wanted = view.get_subset_from_partition_keys(context.key, own, matching)
            subset = context.candidate_subset.compute_intersection(wanted)
        return dg.AutomationResult(context, subset, child_results=results)


def incremental(scope: Scope) -> dg.AutomationCondition:
    """The condition: the asset is missing, or the data version of an input, its own code version or the settings of its
    competitors changed, or it failed (one retry); and all of its inputs exist, without a failed blocking check.

    Dagster stores one data version for all partitions of a run. So a partition that is materialized alone after a range counts
    as changed once, although its rows are equal: assets that read it run again, without any request.
    """
    condition = dg.AutomationCondition
    missing = condition.missing() & ~condition.execution_failed()
    drawn = condition.any_deps_updated().replace("newly_updated", condition.data_version_changed())
    undrawn = AnyUndrawn(scope, condition.data_version_changed() & ~condition.executed_with_root_target())
    events = drawn | undrawn | CompetitorsChanged()
    pending = events.since(condition.newly_requested() | condition.initial_evaluation())
    again = condition.execution_failed().newly_true()  # without newly_true, every tick would request a failing partition
    wanted = missing | pending | condition.code_version_changed() | again
    failed_check = condition.any_checks_match(condition.check_failed(), blocking_only=True)
    wrong = condition.any_deps_match(failed_check)
    not_yet = (condition.missing() & ~condition.will_be_requested()) | condition.in_progress()
    waits = AnyUndrawn(scope, not_yet | failed_check)
    ready = ~condition.any_deps_missing() & ~condition.any_deps_in_progress() & ~condition.in_progress() & ~wrong & ~waits
    return (wanted & ready).with_label("incremental")


def automated(scope: Scope, assets: list[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The assets with the condition."""
    specs = dg.map_asset_specs(lambda spec: spec.replace_attributes(automation_condition=incremental(scope)), assets)
    return [asset for asset in specs if isinstance(asset, dg.AssetsDefinition)]


def automation_sensor(scope: Scope, assets: list[dg.AssetsDefinition]) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the conditions of these assets; stopped until a user turns it on, since it costs GPU hours."""
    return dg.AutomationConditionSensorDefinition(
        scope.name(SENSOR),
        target=dg.AssetSelection.assets(*[asset.key for asset in assets]),
        default_status=dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=SECONDS,
        use_user_code_server=True,  # CompetitorsChanged is a condition of our own
        description="Makes what is missing, and what depends on rows, settings, competitors or code that have changed. What it"
        " starts costs GPU hours: look at `arena_plan` before you turn it on.",
    )
