"""Automation: with its sensor on, every asset is made when it can be, and made again when what it rests on has changed.

The condition is tried against Dagster 1.13: its own `eager()` starts nothing in a fresh install and runs again for equal
rows. The sensor ships stopped, for what it starts costs GPU hours.
"""

import dagster as dg

SENSOR = "automation"
SECONDS = 30


def incremental() -> dg.AutomationCondition:
    """Missing, or reads rows of another data version, or has another code version, or failed (once more); and all that it reads
    is there, with no blocking check that failed.

    Dagster keeps one data version for all partitions of a run. So one that is made again by itself after it was made in a range
    counts as changed, once, though its rows are equal: what reads it is made again, from the ledger, and asks nothing.
    """
    condition = dg.AutomationCondition
    missing = condition.missing() & ~condition.execution_failed()
    changed = condition.any_deps_updated().replace("newly_updated", condition.data_version_changed())
    unanswered = changed.since(condition.newly_requested() | condition.initial_evaluation())
    again = condition.execution_failed().newly_true()  # bare, it would ask for a failing partition on every tick
    wanted = missing | unanswered | condition.code_version_changed() | again
    wrong = condition.any_deps_match(condition.any_checks_match(condition.check_failed(), blocking_only=True))
    ready = ~condition.any_deps_missing() & ~condition.any_deps_in_progress() & ~condition.in_progress() & ~wrong
    return (wanted & ready).with_label("incremental")


def automated(assets: list[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The assets, each with the condition."""
    specs = dg.map_asset_specs(lambda spec: spec.replace_attributes(automation_condition=incremental()), assets)
    return [asset for asset in specs if isinstance(asset, dg.AssetsDefinition)]


def automation_sensor(assets: list[dg.AssetsDefinition]) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the conditions of these assets, and of no others; stopped until somebody turns it on."""
    return dg.AutomationConditionSensorDefinition(
        SENSOR,
        target=dg.AssetSelection.assets(*[asset.key for asset in assets]),
        default_status=dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=SECONDS,
        description="Makes what is missing and what rests on other rows, settings or code than before, each once. What it"
        " starts costs GPU hours: look at `arena_plan` before you turn it on.",
    )
