"""The roster sensor: says when the arena's file names a newcomer, what the newcomer will cost, and, if the file asks for it,
starts exactly the work that is new.

That work is a backfill of the newcomers' partitions with everything downstream. Dagster then goes from stage to stage along the
graph's own edges, and each stage is one run, which loads each engine once.
"""

import time
from pathlib import Path

import dagster as dg
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.utils import make_new_backfill_id

from warrior_dagster.arena import Arena
from warrior_dagster.arena_file import ArenaError, load_arena
from warrior_dagster.inference.ledger import Ledger
from warrior_dagster.planning import cost
from warrior_dagster.storage import Warehouse

SENSOR = "roster"
ROOT = "mined_instructions"
SECONDS = 60


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
        new = [name for name in arena.roster if name not in warehouse.partitions(ROOT)]
        if not new:
            context.update_cursor("")
            return dg.SkipReason("no competitor is new")
        told = f"new: {', '.join(new)}"
        if context.cursor and context.cursor.startswith(told):  # said, and started if it was to be
            return dg.SkipReason(context.cursor)
        told += f"; materializing everything will send {in_words(arena, warehouse)}"
        if arena.automation.backfill_new_competitors:
            told += f"; backfill {backfill(context, keys, new)} was started"
        else:
            told += f"; to start it, materialize {ROOT} and everything downstream of it for {', '.join(new)}"
        context.update_cursor(told)
        return dg.SkipReason(told)

    return sensor


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
    with Ledger(arena.warehouse) as ledger:
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
