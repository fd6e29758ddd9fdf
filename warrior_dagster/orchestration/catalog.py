"""The one list of an arena's tables, in the order of the method. A new stage is a folder and an entry here."""

import dagster as dg

from warrior_dagster.analysis import assets as analysis
from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.drawn_edges import reads_of
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.table import Table
from warrior_dagster.report.assets import arena_report
from warrior_dagster.stages.battles import assets as battles
from warrior_dagster.stages.curation import assets as curation
from warrior_dagster.stages.export import assets as export
from warrior_dagster.stages.mining import assets as mining
from warrior_dagster.stages.ratings import assets as ratings

BEFORE_EXPORT = (*mining.TABLES, *curation.TABLES, *battles.TABLES, *ratings.TABLES)
EXPORTS = (export.benchmark_overlap, *export.datasets([table for table in BEFORE_EXPORT if table.on_card]))
STAGE_TABLES = (*BEFORE_EXPORT, *EXPORTS)
"""The tables of the method, which row checks guard."""
TABLES = (*STAGE_TABLES, *analysis.TABLES, arena_report)
SCHEMES = tuple(dict.fromkeys(table.partitioned_by for table in TABLES))
"""What tables are partitioned by, in the order of their dependencies: `warrior run` makes one run of the tables of each."""


def tables_of(arena: Arena, tables: tuple[Table, ...] = TABLES) -> list[Table]:
    """Those of the tables that an arena has."""
    return [table for table in tables if table.enabled(arena)]


def arena_assets(scope: Scope) -> list[dg.AssetsDefinition]:
    """Every asset of the method, in its order."""
    tables = tables_of(scope.arena)
    reads = reads_of(tables, scope.arena)
    return [table.make(scope, reads[table.name]) for table in tables]
