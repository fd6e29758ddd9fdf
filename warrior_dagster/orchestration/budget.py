"""What a window of the schedule may spend, and what work would take of it, as the plan counts it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.automation import Schedule
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.orchestration.upcoming_work import Work
from warrior_dagster.planning import cost
from warrior_dagster.warehouse.tables import Warehouse

MATCHUPS = "matchups"
SLACK = 1e-6
"""Shares are rounded: three thirds of a budget fit in it."""
Amounts = Mapping[str, float | None]
"""Amounts by unit: `completions`, `gpu_hours`, `cost` or `matchups`. None is unknown."""
Plan = Mapping[tuple[str, str], Amounts]
"""The amounts of each table and model."""


def limits(schedule: Schedule) -> dict[str, float]:
    """What one window may spend, by unit; without the units that have no limit."""
    matchups = {} if schedule.matchups is None else {MATCHUPS: schedule.matchups}
    return {**schedule.budget.model_dump(exclude_none=True), **matchups}


def planned(arena: Arena, ledger: LedgerReader, warehouse: Warehouse) -> Plan:
    """What materializing everything would take now."""
    return {
        (line.stage, line.model): {
            "completions": line.to_send,
            "gpu_hours": line.gpu_hours if line.to_send else 0.0,
            "cost": line.cost if line.to_send else 0.0,
        }
        for line in cost.plan(arena, ledger, warehouse)
    }


def shares(arena: Arena, work: Work, plan: Callable[[], Plan], units: Sequence[str]) -> dict[str, Amounts]:
    """The amounts of each partition that is out of date: of every model that it asks an equal share of what the model takes."""
    requests, table = work.table.requests, work.table
    if not (requests and units):
        return {partition: dict.fromkeys(units, 0.0) for partition in work.stale}
    asked = {p: {arena.competitor(name).model for name in requests.asked(arena, p)} for p in work.stale}
    sharing = Counter(model for models in asked.values() for model in models)

    def amount(partition: str, unit: str) -> float | None:
        if unit == MATCHUPS:
            return float(table.partitioned_by == "matchup")
        of_models = {model: plan().get((table.name, model), {}).get(unit, 0.0) for model in asked[partition]}
        known = {model: total / sharing[model] for model, total in of_models.items() if total is not None}
        return sum(known.values()) if len(known) == len(of_models) else None

    return {partition: {unit: amount(partition, unit) for unit in units} for partition in work.stale}


def fitting(order: Sequence[str], amounts: Mapping[str, Amounts], left: Mapping[str, float]) -> list[str]:
    """The partitions, taken one after the other, each if what it takes is known and fits in what the earlier ones leave."""
    chosen, left = list[str](), dict(left)
    for partition in order:
        taken = {unit: amounts[partition][unit] for unit in left}
        if all(amount is not None and amount <= left[unit] + SLACK for unit, amount in taken.items()):
            chosen.append(partition)
            left = {unit: left[unit] - (taken[unit] or 0.0) for unit in left}
    return chosen


def total(partitions: Sequence[str], amounts: Mapping[str, Amounts]) -> dict[str, float]:
    """What some partitions take together, whose amounts are known."""
    units = {unit: None for partition in partitions for unit in amounts[partition]}
    return {unit: sum(amounts[partition][unit] or 0.0 for partition in partitions) for unit in units}


def too_much(partition: str, amounts: Amounts, left: Mapping[str, float]) -> str:
    """Why a partition does not fit."""

    def lacking(unit: str, amount: float | None) -> str:
        if amount is None:
            return f"{unit} that the plan cannot state"
        return f"{shown(amount)} of the {shown(left[unit])} {unit} that are left"

    over = {unit: amount for unit, amount in amounts.items() if amount is None or amount > left[unit] + SLACK}
    return f"{partition} needs {' and '.join(lacking(unit, amount) for unit, amount in over.items())}"


def shown(amount: float) -> str:
    """An amount for people; less than nothing is left where runs took more than was planned."""
    amount = max(amount, 0.0)
    return f"{amount:,.0f}" if amount >= 100 or amount == round(amount) else f"{amount:.3g}"
