"""Mining: what each competitor reveals when it completes the bare prefix of its own chat template."""

from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.inference.engines import Engines
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.recording import record
from warrior_dagster.materialization.table_asset import table_asset
from warrior_dagster.stages.mining import sampling
from warrior_dagster.stages.mining.tables import MINED
from warrior_dagster.warehouse.tables import Warehouse


def assets(scope: Scope) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""
    arena = scope.arena

    @table_asset(scope, MINED, reads={}, settings=[arena.mining, arena.languages], origins=origins())
    def mined_instructions(context: dg.AssetExecutionContext, warehouse: Warehouse, engines: Engines) -> dg.MaterializeResult:
        """Instructions that a competitor reveals on its own. Every sample is a row; one that cannot be used has the reason as
        its status. No seed data: each is a sample of the model's own distribution.
        """
        names = context.partition_keys
        mined = sampling.mine(arena, engines, names, context.log)
        rows = pl.DataFrame(mined.rows, schema=sampling.SCHEMA)
        frames = {name: rows.filter(competitor=name) for name in names}
        return record(context, warehouse, frames, describe=statuses, usage=mined.usage, failures=mined.failures, arena=arena)

    return [mined_instructions]


def statuses(mined: pl.DataFrame) -> dict[str, Any]:
    """How many samples are usable, and why the others are not."""
    kinds = mined["status"].value_counts(sort=True)
    return {"usable": mined.filter(status="ok").height, "statuses": dict(kinds.iter_rows())}
