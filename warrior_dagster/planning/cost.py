"""The plan: for each stage and model the requests in the ledger, those to send, and their tokens, GPU hours and cost."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.planning.changed_parameters import changed_parameters
from warrior_dagster.planning.forecast import Forecast
from warrior_dagster.planning.plan import StagePlan, walk
from warrior_dagster.warehouse.tables import Warehouse

IDLE_SECONDS = 60.0
"""After a longer gap between completions the model was idle."""
MEASURED_ROWS = 200_000

Pace = dict[tuple[str, str], float]
"""Seconds per completion, by model identity and sampling parameters."""


@dataclass(frozen=True, slots=True)
class PlanLine:
    """One stage and model of a plan; requests are counted in samples."""

    stage: str
    model: str
    in_ledger: int
    to_send: int
    estimated: int
    """The part of `to_send` that is estimated."""
    prompt_tokens: int
    completion_tokens: int
    gpu_hours: float | None
    """None if no speed is measured or configured."""
    cost: float | None
    """None if the price, or the hours that it is for, are unknown."""
    basis: str
    """Why requests are sent again, where their parameters have changed, and how the estimates are made."""


def plan(arena: Arena, ledger: LedgerReader, warehouse: Warehouse) -> list[PlanLine]:
    """The cost of materializing the whole arena, a line for each stage and model.

    A competitor that cannot be prompted is named in a line's basis.
    """
    return costs(arena, ledger, walk(arena, ledger, warehouse))


def costs(arena: Arena, ledger: LedgerReader, stages: Sequence[StagePlan]) -> list[PlanLine]:
    """The lines of the stages that `walk` gives."""
    paces, reasons = measured_paces(ledger), changed_parameters(stages, ledger)
    return [explained(line, reasons) for stage in stages for line in lines(arena, stage, paces)]


def explained(line: PlanLine, reasons: Mapping[tuple[str, str], str]) -> PlanLine:
    """The line with the reason why its requests are sent again before its basis."""
    reason = reasons.get((line.stage, line.model))
    return replace(line, basis=f"{reason}; {line.basis}") if reason else line


def lines(arena: Arena, stage: StagePlan, paces: Pace) -> list[PlanLine]:
    """The lines of one stage, in roster order."""
    result = []
    for model in dict.fromkeys(c.model for c in arena.competitors):
        forecast = stage.forecasts.get(model, Forecast())
        known = sum(one.samples for one in forecast.missing)
        more = stage.expected[model]
        failed = [f"{n} cannot be prompted: {why}" for n, why in stage.failures.items() if arena.competitor(n).model == model]
        if not (forecast.in_ledger or known or more or failed):
            continue
        prompt, completion, tokens_from = tokens(arena, stage, model, known, more)
        hours, pace_from = gpu_hours(arena, model, forecast, known + more, completion, paces)
        cost = arena.cost(model, hours, prompt, completion)
        expected = [f"expected: {stage.how}"] if more else []
        saves = [stage.saves] if stage.saves else []
        basis = "; ".join([*failed, *expected, *((tokens_from, pace_from) if known + more else ()), *saves])
        counts = (forecast.in_ledger, known + more, more, prompt, completion)
        result.append(PlanLine(stage.table.name, model, *counts, hours, cost, basis))
    return result


def tokens(arena: Arena, stage: StagePlan, model: str, known: int, more: int) -> tuple[int, int, str]:
    """Tokens of the prompts to send and of their completions, and where the numbers come from."""
    own = stage.forecasts.get(model, Forecast())
    everyone = list(stage.forecasts.values())
    for forecasts, source in (([own], "this model's so far"), (everyone, "the other models' so far")):
        if so_far := sum(f.in_ledger for f in forecasts):
            prompt, completion = (sum(getattr(f, n) for f in forecasts) for n in ("prompt_tokens", "completion_tokens"))
            return round((known + more) * prompt / so_far), round((known + more) * completion / so_far), f"tokens: as {source}"
    assert stage.table.requests
    most = [stage.table.requests.max_tokens(arena, c) for c in arena.competitors if c.model == model]
    prompt, completion = max(p for p, _ in most), max(c for _, c in most)
    exact = sum(one.prompt_tokens for one in own.missing)
    bound = sum(one.samples * one.max_tokens for one in own.missing)
    return exact + more * prompt, bound + more * completion, "tokens: prompts by their length, completions at most max_tokens"


def gpu_hours(
    arena: Arena, model: str, forecast: Forecast, samples: int, completion_tokens: int, paces: Pace
) -> tuple[float | None, str]:
    """GPU hours of a model (for an endpoint: server hours), and where the speed comes from."""
    devices = arena.devices(model)
    if not devices:
        priced = arena.server_of(model).price_per_million_tokens is not None
        return 0.0, "cost: at the service's prices" if priced else "cost: unknown; price_per_million_tokens is not set"
    if measured := [paces[params] for params in forecast.params if params in paces]:
        return samples * sum(measured) / len(measured) / 3600 * devices, "hours: at the speed measured so far"
    if speed := arena.engine.tokens_per_second:
        source = f"hours: at the configured {speed:g} new tokens/s; prompts are not counted"
        return completion_tokens / speed / 3600 * devices, source
    return None, "hours: unknown; no speed is measured, and engine.tokens_per_second is not set"


def measured_paces(ledger: LedgerReader) -> Pace:
    """Seconds per completion, from the times of the ledger's newest rows, without idle times."""
    gap = pl.col("created_at").diff().dt.total_microseconds().over("model", "params") / 1e6
    flushes = (
        ledger.newest(MEASURED_ROWS, ["model", "params", "created_at"])
        .group_by("model", "params", "created_at", maintain_order=True)
        .len()
        .sort("created_at")
        .with_columns(gap.alias("gap"))
        .filter(pl.col("gap") <= IDLE_SECONDS)
    )
    paced = flushes.group_by("model", "params").agg(pl.col("gap").sum() / pl.col("len").sum())
    return {(model, params): seconds for model, params, seconds in paced.iter_rows()}


def totals(plan: Iterable[PlanLine]) -> dict[str, float | int | None]:
    """The sums over a plan's lines; hours and cost are None if those of a line with requests to send are."""
    plan, sums = list(plan), dict[str, float | int | None]()
    for name in ("in_ledger", "to_send", "estimated", "prompt_tokens", "completion_tokens"):
        sums[name] = sum(getattr(line, name) for line in plan)
    for name in ("gpu_hours", "cost"):
        values = [getattr(line, name) for line in plan if line.to_send]
        sums[name] = None if None in values else sum(values)
    return sums
