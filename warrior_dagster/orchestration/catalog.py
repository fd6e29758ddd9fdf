"""The one list of an arena's assets and tables, in the order of the method. A new stage is a folder and an entry here."""

import dagster as dg

from warrior_dagster.analysis import assets as analysis
from warrior_dagster.analysis import tables as analysis_tables
from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.table import Table
from warrior_dagster.report import assets as report
from warrior_dagster.report import tables as report_tables
from warrior_dagster.stages.battles import assets as battles
from warrior_dagster.stages.battles.evidence import KINDS
from warrior_dagster.stages.battles.opinions import assets as opinions
from warrior_dagster.stages.battles.tables import ANSWERS, OUTCOMES
from warrior_dagster.stages.battles.unit_tests import assets as unit_tests
from warrior_dagster.stages.battles.unit_tests.tables import GENERATED, RESULTS
from warrior_dagster.stages.curation import assets as curation
from warrior_dagster.stages.curation import tables as curation_tables
from warrior_dagster.stages.export import assets as export
from warrior_dagster.stages.export import tables as export_tables
from warrior_dagster.stages.mining import assets as mining
from warrior_dagster.stages.mining import tables as mining_tables
from warrior_dagster.stages.ratings import assets as ratings
from warrior_dagster.stages.ratings import tables as ratings_tables

STAGE_TABLES = (
    *mining_tables.TABLES,
    *curation_tables.TABLES,
    *(GENERATED, ANSWERS, RESULTS, *(one.votes for one in KINDS), OUTCOMES),
    *ratings_tables.TABLES,
    *export_tables.TABLES,
)
"""The tables of the method, which row checks guard."""
TABLES = (*STAGE_TABLES, *analysis_tables.TABLES, *report_tables.TABLES)
GROUPS = tuple(dict.fromkeys(table.asset_group for table in TABLES))
"""The asset groups, each with one partition scheme, in the order of their dependencies."""


def tables_of(arena: Arena, tables: tuple[Table, ...] = TABLES) -> list[Table]:
    """Those of the tables that an arena has."""
    return [table for table in tables if table.enabled(arena)]


def arena_assets(scope: Scope) -> list[dg.AssetsDefinition]:
    """Every asset of the method, in its order."""
    counted = [table for table in tables_of(scope.arena) if table.on_card]
    return [
        *mining.assets(scope),
        *curation.assets(scope),
        *unit_tests.assets(scope),
        *battles.assets(scope),
        *opinions.assets(scope),
        *ratings.assets(scope),
        *export.assets(scope, counted),
        *analysis.assets(scope),
        *report.assets(scope),
    ]
