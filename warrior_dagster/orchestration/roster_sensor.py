"""The roster sensor: says when the arena's file names a newcomer, what the newcomer will cost, and, if the file asks for it,
starts exactly the work that is new.

That work is a backfill of the newcomers' partitions with everything downstream. Dagster then goes from stage to stage along the
graph's own edges, and each stage is one run, which loads each engine once.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.utils import make_new_backfill_id

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import ArenaError, load_arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.planning import cost
from warrior_dagster.warehouse.tables import Warehouse

SENSOR = "roster"
ROOT = "mined_instructions"
SECONDS = 60
PLAN_SECONDS = 20


def roster_sensor(arena: Arena, file: Path | None, assets: list[dg.AssetsDefinition]) -> dg.SensorDefinition:
    """The sensor of an arena that was read from a file; it costs nothing, and starts nothing unless the file asks for it."""
    keys = [asset.key for asset in assets]

    @dg.sensor(
        name=SENSOR,
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Says which competitors are new and what they will cost; with `automation.backfill_new_competitors` it"
        " starts their work.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        warehouse = Warehouse(arena.warehouse)
        if file and (news := news_on_disk(arena, file)):
            return dg.SkipReason(news)
        there = warehouse.partitions(ROOT)
        told = {name: said for name, said in json.loads(context.cursor or "{}").items() if name in arena.roster}
        new = [name for name in arena.roster if name not in there]
        if fresh := [name for name in new if name not in told]:
            names = ", ".join(fresh)
            if arena.automation.backfill_new_competitors:
                said = f"new: {names}; backfill {backfill(context, keys, fresh)} was started"
            else:
                said = f"new: {names}; to start it, materialize {ROOT} and everything downstream of it for {names}"
            said += f"; materializing everything will send {within(PLAN_SECONDS, lambda: in_words(arena, warehouse))}"
            told |= dict.fromkeys(fresh, said)
        # Each newcomer is told of, and started, once: until it is there, whoever else comes or gets done.
        context.update_cursor(json.dumps({name: told[name] for name in new}))
        return dg.SkipReason("\n".join(dict.fromkeys(told[name] for name in new)) or "no competitor is new")

    return sensor


def within(seconds: float, work: Callable[[], str]) -> str:
    """What `work` says if it is done in time: a tick that takes a minute is given up, and would never be told of."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(work).result(seconds)
    except TimeoutError:
        return "what `arena_plan` says: planning so much takes longer than a sensor may"
    finally:
        pool.shutdown(wait=False)


def news_on_disk(arena: Arena, file: Path) -> str:
    """What the file says that the loaded definitions do not know yet; nothing if they are the same."""
    try:
        there = load_arena(file)
    except ArenaError as error:
        return f"the arena's file cannot be read: {error}"
    if there == arena:
        return ""
    new = [name for name in there.roster if name not in arena.roster]
    return f"{file.name} has changed{': new are ' + ', '.join(new) if new else ''}; reload the code location"


def in_words(arena: Arena, warehouse: Warehouse) -> str:
    """What materializing everything would send now."""
    ledger = LedgerReader(arena.warehouse)
    total = cost.totals(cost.plan(arena, ledger, warehouse))
    hours = "unknown GPU hours" if total["gpu_hours"] is None else f"{total['gpu_hours']:.2g} GPU hours"
    cost_ = "" if total["cost"] is None else f", which cost {total['cost']:.2f}"
    tokens = (total["prompt_tokens"] or 0) + (total["completion_tokens"] or 0)
    return f"{total['to_send']} requests ({total['estimated']} of them estimated), about {tokens} tokens, {hours}{cost_}"


def backfill(context: dg.SensorEvaluationContext, assets: list[dg.AssetKey], competitors: list[str]) -> str:
    """Start a backfill of all assets, from the partitions of some competitors on; its id."""
    made = PartitionBackfill.from_asset_partitions(
        backfill_id=make_new_backfill_id(),
        asset_graph=context.repository_def.asset_graph,  # type: ignore[union-attr]
        partition_names=competitors,
        asset_selection=assets,
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=context.instance,
        all_partitions=False,
        title=f"new: {', '.join(competitors)}",
        description=None,
        run_config=None,
    )
    context.instance.add_backfill(made)
    return made.backfill_id
