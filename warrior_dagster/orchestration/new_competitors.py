"""New competitors: a sensor reports them and their cost, and a job materializes everything for them; the sensor does so by
itself if the arena's file says so.

Both start a backfill of their partitions with everything downstream, one run per stage, which loads each engine once. A job of
assets could not do it: Dagster allows only one partition scheme in one.
"""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
from pydantic import Field

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import ArenaError, load_arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.materialization.dagster_internals import start_backfill
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.planning.cost import plan as plan_of
from warrior_dagster.planning.sentence import sentence
from warrior_dagster.stages.mining.assets import mined_instructions
from warrior_dagster.warehouse.tables import Warehouse

SENSOR = "new_competitors"
JOB = "materialize_new_competitors"
SECONDS = 60
PLAN_SECONDS = 20


class NewCompetitors(dg.Config):
    """The configuration of the job."""

    competitors: list[str] = Field(
        default=[], description="The competitors to materialize everything for; without any, all that were never mined."
    )


def never_mined(arena: Arena, warehouse: Warehouse) -> list[str]:
    """The competitors without mined instructions, in roster order."""
    mined = warehouse.partitions(mined_instructions.name)
    return [name for name in arena.roster if name not in mined]


def new_competitors_job(scope: Scope, assets: list[dg.AssetsDefinition]) -> dg.JobDefinition:
    """The job that starts the backfill of new competitors."""
    arena, resource = scope.arena, scope.name("warehouse")

    @dg.op(name=scope.name("start_backfill"), required_resource_keys={resource})
    def start(context: dg.OpExecutionContext, config: NewCompetitors) -> None:
        """Start one backfill of everything, from the partitions of some competitors on."""
        if unknown := set(config.competitors) - set(arena.roster):
            raise dg.Failure(f"expected names of the roster ({', '.join(arena.roster)}); found {', '.join(sorted(unknown))}")
        names = config.competitors or never_mined(arena, getattr(context.resources, resource))
        if not names:
            context.log.info("every competitor was mined before: nothing is started")
            return
        context.log.info(f"backfill {start_backfill(context.instance, assets, names, title(names))} of {', '.join(names)}")

    @dg.job(
        name=scope.name(JOB),
        description="Materializes everything for competitors that were never mined, or for those named in its configuration: it"
        " starts one backfill, from their instructions to the report. Look at `arena_plan` first for what that costs.",
        executor_def=dg.in_process_executor,
    )
    def job() -> None:
        start()

    return job


def title(names: Sequence[str]) -> str:
    """The title of a backfill for new competitors."""
    return f"new: {', '.join(names)}"


def new_competitors_sensor(scope: Scope, file: Path | None, assets: list[dg.AssetsDefinition]) -> dg.SensorDefinition:
    """The sensor of an arena that was read from `file`."""
    arena = scope.arena
    resources = {name: scope.name(name) for name in ("warehouse", "ledger")}

    @dg.sensor(
        name=scope.name(SENSOR),
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports which competitors are new, what they will cost, and whether the arena's file has changed. It"
        " starts nothing, unless the file has `automation: {backfill_new_competitors: true}`.",
        required_resource_keys=set(resources.values()),
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        if file and (change := change_on_disk(arena, file)):
            return dg.SkipReason(change)
        warehouse: Warehouse = getattr(context.resources, resources["warehouse"])
        ledger: LedgerReader = getattr(context.resources, resources["ledger"])
        reported = {name: text for name, text in json.loads(context.cursor or "{}").items() if name in arena.roster}
        new = never_mined(arena, warehouse)
        if unreported := [name for name in new if name not in reported]:
            # Before the work is started: if this raises, the cursor stays as it is, and the next tick would start it again.
            plan = with_timeout(PLAN_SECONDS, lambda: plan_summary(arena, warehouse, ledger))
            if arena.automation.backfill_new_competitors:
                backfill = start_backfill(context.instance, assets, unreported, title(unreported))
                text = f"backfill {backfill} was started"
            else:
                text = f"to start, launch the job {scope.name(JOB)}"
            reported |= dict.fromkeys(unreported, f"{text}; materializing everything: {plan}")
        # The cursor has the reports of new competitors that are not mined yet, so that each is started once.
        context.update_cursor(json.dumps({name: reported[name] for name in new}))
        alike = {text: [name for name in new if reported[name] == text] for text in (reported[name] for name in new)}
        lines = [f"new: {', '.join(names)}; {text}" for text, names in alike.items()]
        return dg.SkipReason("\n".join(lines) or "no competitor is new")

    return sensor


def with_timeout(seconds: float, work: Callable[[], str]) -> str:
    """The result of `work` if it is ready in time: Dagster ends a tick after a minute, without any report."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(work).result(seconds)
    except TimeoutError:
        return "see `arena_plan`, because planning takes longer than a sensor may"
    finally:
        pool.shutdown(wait=False)


def change_on_disk(arena: Arena, file: Path) -> str:
    """A change of the file since the definitions were loaded, as text; empty if it did not change."""
    try:
        on_disk = load_arena(file)
    except ArenaError as error:
        return f"the arena's file cannot be read: {error}"
    if on_disk == arena:
        return ""
    new = [name for name in on_disk.roster if name not in arena.roster]
    return f"{file.name} has changed{': new are ' + ', '.join(new) if new else ''}; reload the code location"


def plan_summary(arena: Arena, warehouse: Warehouse, ledger: LedgerReader) -> str:
    """What materializing everything takes now, in one sentence."""
    return sentence(arena, plan_of(arena, ledger, warehouse))
