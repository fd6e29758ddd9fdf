"""The automation sensor materializes every asset as soon as possible, and again after a change of what it depends on.

Dagster 1.13's own `eager()` does not suffice: it starts nothing in a fresh install, and runs again for equal rows.
"""

import json

import dagster as dg

from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.staleness import COMPETITORS
from warrior_dagster.warehouse.tables import WHOLE

SENSOR = "automation"
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


def incremental() -> dg.AutomationCondition:
    """The condition: the asset is missing, or the data version of an input, its own code version or the settings of its
    competitors changed, or it failed (one retry); and all of its inputs exist, without a failed blocking check.

    Dagster stores one data version for all partitions of a run. So a partition that is materialized alone after a range counts
    as changed once, although its rows are equal: assets that read it run again, without any request.
    """
    condition = dg.AutomationCondition
    missing = condition.missing() & ~condition.execution_failed()
    changed = condition.any_deps_updated().replace("newly_updated", condition.data_version_changed())
    events = changed | CompetitorsChanged()
    pending = events.since(condition.newly_requested() | condition.initial_evaluation())
    again = condition.execution_failed().newly_true()  # without newly_true, every tick would request a failing partition
    wanted = missing | pending | condition.code_version_changed() | again
    wrong = condition.any_deps_match(condition.any_checks_match(condition.check_failed(), blocking_only=True))
    ready = ~condition.any_deps_missing() & ~condition.any_deps_in_progress() & ~condition.in_progress() & ~wrong
    return (wanted & ready).with_label("incremental")


def automated(assets: list[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The assets with the condition."""
    specs = dg.map_asset_specs(lambda spec: spec.replace_attributes(automation_condition=incremental()), assets)
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
