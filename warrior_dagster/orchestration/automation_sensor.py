"""Automation: with its sensor on, every asset is made when it can be, and again when something that it depends on has changed.

The condition was tried with Dagster 1.13, whose own `eager()` starts nothing in a fresh install and runs again for equal rows.
The sensor ships stopped, because what it starts costs GPU hours.
"""

import dagster as dg

from warrior_dagster.materialization.partitions import Scope

SENSOR = "automation"
SECONDS = 30


def incremental() -> dg.AutomationCondition:
    """Missing, or reads rows with another data version, or has another code version, or failed (one retry); while everything
    that it reads exists, without a blocking check that failed.

    Dagster keeps one data version for all partitions of a run. So a partition that is made alone after it was made in a range
    counts as changed once, though its rows are equal: what reads it is made again, from the ledger, with no request.
    """
    condition = dg.AutomationCondition
    missing = condition.missing() & ~condition.execution_failed()
    changed = condition.any_deps_updated().replace("newly_updated", condition.data_version_changed())
    pending = changed.since(condition.newly_requested() | condition.initial_evaluation())
    again = condition.execution_failed().newly_true()  # bare, it would request a failing partition on every tick
    wanted = missing | pending | condition.code_version_changed() | again
    wrong = condition.any_deps_match(condition.any_checks_match(condition.check_failed(), blocking_only=True))
    ready = ~condition.any_deps_missing() & ~condition.any_deps_in_progress() & ~condition.in_progress() & ~wrong
    return (wanted & ready).with_label("incremental")


def automated(assets: list[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The assets, each with the condition."""
    specs = dg.map_asset_specs(lambda spec: spec.replace_attributes(automation_condition=incremental()), assets)
    return [asset for asset in specs if isinstance(asset, dg.AssetsDefinition)]


def automation_sensor(scope: Scope, assets: list[dg.AssetsDefinition]) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the conditions of these assets only; stopped until somebody turns it on."""
    return dg.AutomationConditionSensorDefinition(
        scope.name(SENSOR),
        target=dg.AssetSelection.assets(*[asset.key for asset in assets]),
        default_status=dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=SECONDS,
        description="Makes what is missing, and what depends on rows, settings or code that have changed. What it starts costs"
        " GPU hours: look at `arena_plan` before you turn it on.",
    )
