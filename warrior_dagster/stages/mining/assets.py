"""Mining: what each competitor reveals when it completes the bare prefix of its own chat template."""

from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference import ASKING
from warrior_dagster.inference.engines import Engines
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import Partitions
from warrior_dagster.materialization.recording import FEW_FAILED, OWNERS, code_version, record
from warrior_dagster.stages.mining import cleaning, prefix, sampling
from warrior_dagster.warehouse.tables import Warehouse


def assets(arena: Arena, parts: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""

    @dg.asset(
        partitions_def=parts.competitors,
        group_name="competitors",
        kinds={"vllm", "lancedb"},
        owners=OWNERS,
        pool="engine",
        backfill_policy=dg.BackfillPolicy.single_run(),
        code_version=code_version(arena.mining, arena.languages, modules=[sampling, prefix, cleaning, *ASKING]),
        metadata=origins(),
        check_specs=[dg.AssetCheckSpec(FEW_FAILED, asset="mined_instructions")],
    )
    def mined_instructions(
        context: dg.AssetExecutionContext,
        warehouse: dg.ResourceParam[Warehouse],
        engines: dg.ResourceParam[Engines],
    ) -> dg.MaterializeResult:
        """Instructions that a competitor reveals on its own. Every sample is a row; one that cannot be used has its reason as
        status. No seed data: each is a sample of the model's own distribution.
        """
        names = context.partition_keys
        asked = sampling.mine(arena, engines, names, context.log)
        rows = pl.DataFrame(asked.rows, schema=sampling.SCHEMA)
        return record(
            context,
            warehouse,
            {name: rows.filter(competitor=name) for name in names},
            describe=statuses,
            usage=asked.usage,
            failures=asked.failures,
            asked_by=arena,
        )

    return [mined_instructions]


def statuses(mined: pl.DataFrame) -> dict[str, Any]:
    """How many samples are usable, and why the others are not."""
    kinds = mined["status"].value_counts(sort=True)
    return {"usable": mined.filter(status="ok").height, "statuses": dict(kinds.iter_rows())}
