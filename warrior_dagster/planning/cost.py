"""The plan: for each stage and model the completions that are paid, those to ask for, and what these take."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.planning import lengths, speeds
from warrior_dagster.planning.changed_parameters import changed_parameters
from warrior_dagster.planning.forecast import Forecast
from warrior_dagster.planning.hardware import ROUGH
from warrior_dagster.planning.last_run import read_last_run
from warrior_dagster.planning.lengths import Asked
from warrior_dagster.planning.plan import StagePlan, walk
from warrior_dagster.planning.speeds import Pace
from warrior_dagster.planning.starts import engine_starts, seconds_of_a_start
from warrior_dagster.planning.storage import Storage, storage_of
from warrior_dagster.warehouse.tables import Warehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """What asking for some completions takes."""

    to_send: int
    """Completions."""
    prompt_tokens: int
    completion_tokens: int
    engine_starts: int
    seconds: float | None
    """Of one machine, engine starts included; None if the speed is unknown."""
    gpu_hours: float | None
    cost: float | None
    """None if the price, or the hours that it is for, are unknown."""
    bytes: int
    """In the ledger and the tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine(Amounts):
    """One stage and model of a plan: what is expected, and a lower and an upper bound of it.

    The lower bound has only the completions that are known to be missing; the upper bound has every estimate at its most, and
    every completion at its max_tokens. Where a speed is a rule of thumb, they are ROUGH times as fast and as slow.
    """

    stage: str
    model: str
    in_ledger: int
    """Completions that are paid."""
    estimated: int
    """The part of `to_send` that is estimated."""
    low: Amounts
    high: Amounts
    reasons: tuple[str, ...] = ()
    """Why completions are asked for again, where their parameters have changed, and how the estimates are made."""

    @property
    def basis(self) -> str:
        """The reasons as one text."""
        return "; ".join(self.reasons)


class Measures(NamedTuple):
    """What is measured so far."""

    identities: Mapping[str, set[str]]
    """The identities of each model."""
    speeds: Mapping[speeds.Parameters, speeds.Measured]
    starts: Mapping[str, float]
    """Seconds of an engine start, by model."""
    storage: Storage


def plan(arena: Arena, ledger: LedgerReader, warehouse: Warehouse) -> list[PlanLine]:
    """The cost of materializing the whole arena, a line for each stage and model.

    A competitor that cannot be prompted is named in a line's basis.
    """
    return costs(arena, ledger, walk(arena, ledger, warehouse))


def costs(arena: Arena, ledger: LedgerReader, stages: Sequence[StagePlan]) -> list[PlanLine]:
    """The lines of the stages that `walk` gives. Raises LedgerError."""
    return lines(arena, stages, measures_of(arena, ledger, stages), changed_parameters(stages, ledger))


def measures_of(arena: Arena, ledger: LedgerReader, stages: Sequence[StagePlan]) -> Measures:
    """What the ledger, the warehouse and earlier runs show. Raises LedgerError."""
    last, identities = read_last_run(arena), dict[str, set[str]]()
    for stage in stages:
        for model, forecast in stage.forecasts.items():
            identities.setdefault(model, set()).update(identity for identity, _ in forecast.params)
    starts = last.start_seconds if last else {}
    return Measures(identities, speeds.measured(ledger), starts, storage_of(arena.warehouse, ledger))


def lines(
    arena: Arena, stages: Sequence[StagePlan], measures: Measures, again: Mapping[tuple[str, str], str]
) -> list[PlanLine]:
    """The lines of all stages, models in roster order; `again` says why completions are asked for again, by stage and model."""
    models = list(dict.fromkeys(one.model for one in arena.competitors))
    asked = {(stage.table.name, model): lengths.asked(arena, stage, model) for stage in stages for model in models}
    least, expected, most = (
        engine_starts(arena, stages, {place: bounds[which].completions for place, (bounds, _) in asked.items()})
        for which in range(3)
    )
    made = []
    for stage in stages:
        for model in models:
            place = (stage.table.name, model)
            in_order = (min(least[place], expected[place]), expected[place], max(expected[place], most[place]))
            made.append(line(arena, stage, model, *asked[place], in_order, measures, again.get(place, "")))
    return [one for one in made if one]


def line(
    arena: Arena,
    stage: StagePlan,
    model: str,
    asked: tuple[Asked, Asked, Asked],
    tokens_from: str,
    starts: tuple[int, int, int],
    measures: Measures,
    again: str,
) -> PlanLine | None:
    """The line of a stage and model, None if there is nothing to say. `asked` and `starts` are at least, as expected, and at
    most.
    """
    forecast = stage.forecasts.get(model, Forecast())
    failed = [f"{n} cannot be prompted: {why}" for n, why in stage.failures.items() if arena.competitor(n).model == model]
    if not (forecast.in_ledger or asked[-1].completions or failed):
        return None
    pace, speed_from = speeds.pace_of(arena, model, forecast.params, measures.identities.get(model, ()), measures.speeds)
    low, expected, high = (
        amounts(arena, model, one, pace, count, factor, measures)
        for one, count, factor in zip(asked, starts, (1 / ROUGH, 1.0, ROUGH), strict=True)
    )
    estimated = expected.to_send - low.to_send
    reasons = [again, *failed, *([f"expected: {stage.how}"] if estimated else [])]
    if expected.to_send:
        reasons += [tokens_from, speed_from, *([] if arena.devices(model) else [prices_of(arena, model)])]
    return PlanLine(
        **asdict(expected),
        stage=stage.table.name,
        model=model,
        in_ledger=forecast.in_ledger,
        estimated=estimated,
        low=low,
        high=high,
        reasons=tuple(filter(None, (*reasons, stage.saves))),
    )


def amounts(
    arena: Arena, model: str, asked: Asked, pace: Pace | None, starts: int, factor: float, measures: Measures
) -> Amounts:
    """What some completions of a model take; what is a rule of thumb takes `factor` times as long."""
    seconds: float | None = 0.0
    if asked.completions:
        asking = pace.seconds(asked.prompt_tokens, asked.completion_tokens) * (factor if pace.rough else 1.0) if pace else None
        starting = measures.starts[model] if model in measures.starts else factor * seconds_of_a_start(arena, model)
        seconds = None if asking is None else asking + starts * starting
    devices = arena.devices(model)
    hours = 0.0 if not devices else None if seconds is None else seconds * devices / 3600
    return Amounts(
        to_send=asked.completions,
        prompt_tokens=asked.prompt_tokens,
        completion_tokens=asked.completion_tokens,
        engine_starts=starts,
        seconds=seconds,
        gpu_hours=hours,
        cost=arena.cost(model, hours, asked.prompt_tokens, asked.completion_tokens),
        bytes=measures.storage.bytes(*asked),
    )


def prices_of(arena: Arena, model: str) -> str:
    """Where the cost of a service's tokens comes from."""
    priced = arena.server_of(model).price_per_million_tokens is not None
    return "cost: at the service's prices" if priced else "cost: unknown; price_per_million_tokens is not set"


def total(some: Iterable[Amounts]) -> Amounts:
    """The sums; seconds, hours and cost are None if those of one with completions to ask for are."""
    some, sums = list(some), dict[str, Any]()
    for name in ("to_send", "prompt_tokens", "completion_tokens", "engine_starts", "bytes"):
        sums[name] = sum(getattr(one, name) for one in some)
    for name in ("seconds", "gpu_hours", "cost"):
        values = [getattr(one, name) for one in some if one.to_send]
        sums[name] = None if None in values else sum(values)
    return Amounts(**sums)


def totals(plan: Iterable[PlanLine]) -> dict[str, Any]:
    """The sums over a plan's lines, with those of the bounds in `low` and `high`."""
    plan = list(plan)
    return {
        "in_ledger": sum(one.in_ledger for one in plan),
        "estimated": sum(one.estimated for one in plan),
        **asdict(total(plan)),
        "low": asdict(total(one.low for one in plan)),
        "high": asdict(total(one.high for one in plan)),
    }


def as_row(line: PlanLine) -> dict[str, Any]:
    """A line as plain values, for JSON."""
    row = asdict(line)
    del row["reasons"]
    return row | {"basis": line.basis}
