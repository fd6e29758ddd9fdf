"""A plan in one sentence that can be forwarded: what is known, then what is not, and which key would say it."""

from collections.abc import Iterable, Sequence

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import ChatService
from warrior_dagster.planning.cost import Amounts, PlanLine, total
from warrior_dagster.planning.hardware import Hardware, hardware_of
from warrior_dagster.planning.quantities import compact, counted, duration, hours, listed, money, short_names, size
from warrior_dagster.planning.runs import RunsLine


def sentence(arena: Arena, plan: Sequence[PlanLine], code: Sequence[RunsLine] = ()) -> str:
    """The sentence about a plan and the runs of code that it leads to."""
    asked = [line for line in plan if line.to_send]
    if not plan:
        return "How much is left to ask for is unknown: no competitor can be prompted."
    if not asked:
        return f"Nothing is left to ask for: {sum(line.in_ledger for line in plan):,} completions are paid."
    sums, estimated = total(asked), sum(line.estimated for line in asked)
    guessed = f" ({estimated:,} of them estimated)" if estimated else ""
    tokens = f"{compact(sums.prompt_tokens)} tokens in and {compact(sums.completion_tokens)} out"
    counts = f"{counted(len(models(asked)), 'model')}, {sums.to_send:,} completions to ask for{guessed}, {tokens}"
    parts = [in_hours(arena, asked), in_time(arena, asked, code), in_money(asked), f"{size(sums.bytes)} on disk"]
    return f"{counts}: {', '.join(filter(None, parts))}.{unknown(arena, asked)}"


def models(lines: Iterable[PlanLine]) -> list[str]:
    """The models of some lines, each once."""
    return list(dict.fromkeys(line.model for line in lines))


def bounds(lines: Sequence[PlanLine]) -> tuple[Amounts, Amounts, Amounts]:
    """The sums as expected, of the lower and of the upper bounds."""
    return total(lines), total(one.low for one in lines), total(one.high for one in lines)


def in_hours(arena: Arena, asked: Sequence[PlanLine]) -> str:
    """The GPU hours of the models whose speed is known, and on what; empty without any."""
    known = [line for line in asked if line.gpu_hours is not None and arena.devices(line.model)]
    if not known or not on_gpus(arena):
        return ""
    places = {hardware(arena, line.model) for line in known}
    expected, low, high = (hours(one.gpu_hours) for one in bounds(known))
    rough = any("rule of thumb" in line.basis for line in known)
    return f"{expected} GPU hours ({low} to {high}) on {in_words(places, rough)}"


def on_gpus(arena: Arena) -> bool:
    """Whether a model of the arena runs on GPUs that the plan counts."""
    return any(hardware(arena, one.model).gpus for one in arena.competitors if arena.devices(one.model))


def hardware(arena: Arena, model: str) -> Hardware:
    """What one server of a model runs on."""
    server = arena.server_of(model)
    assert not isinstance(server, ChatService), "its hardware is unknown"
    return hardware_of(server)


def in_words(places: set[Hardware], rough: bool) -> str:
    """The GPUs of some servers, such as `one A100` or, where a rule of thumb assumes them, `up to 8 GPUs like an A100`."""
    most = max(places, key=lambda one: one.gpus)
    number = f"{'up to ' if len(places) > 1 else ''}{most.gpus if most.gpus > 1 else 'one'}"
    if not most.assumed:
        return f"{number} {most.name}"
    return f"{number} GPU{'s' if most.gpus > 1 else ''}{f' like an {most.name}' if rough else ''}"


def in_time(arena: Arena, asked: Sequence[PlanLine], code: Sequence[RunsLine]) -> str:
    """How long it takes from start to end, as far as that is known: stages and models come one after another."""
    known = [line for line in asked if line.seconds is not None]
    if not known:
        return ""
    running = sum(line.seconds or 0.0 for line in code)
    expected, low, high = (duration((one.seconds or 0.0) + running) for one in bounds(known))
    here = f" ({low} to {high}) on this CPU" if any(map(arena.devices, models(asked))) and not on_gpus(arena) else ""
    starts = sum(line.engine_starts for line in asked)
    return f"about {expected}{here}" + (f" with {counted(starts, 'engine start')}" if starts else "")


def in_money(asked: Sequence[PlanLine]) -> str:
    """The cost of what has a price; empty if nothing has."""
    known = [line for line in asked if line.cost is not None]
    expected, low, high = (money(one.cost) for one in bounds(known))
    return f"cost {expected} ({low} to {high})" if known else ""


def unknown(arena: Arena, asked: Sequence[PlanLine]) -> str:
    """What is missing in these numbers, and which key would say it; empty if nothing is."""

    short = short_names(models(asked))

    def names(lines: Sequence[PlanLine]) -> str:
        return listed([short[model] for model in models(lines)])

    slow = [line for line in asked if line.seconds is None]
    services = [line for line in asked if line.cost is None and not arena.devices(line.model)]
    priceless = [line for line in asked if line.cost is None and line.seconds is not None and arena.devices(line.model)]
    ours = [line for line in priceless if hardware(arena, line.model).gpus]
    missing = [
        f"the time of {names(slow)} (set `speed` in its `serve`)" if slow else "",
        f"the cost of {names(services)} (set `price_per_million_tokens` in its `serve`)" if services else "",
        f"the cost of {names(ours)} (set `engine.price_per_gpu_hour`)" if ours else "",
    ]
    return f" Not in it: {'; '.join(filter(None, missing))}." if any(missing) else ""
