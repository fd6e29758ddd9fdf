"""Jobs that save a selection of assets without partitions. None of them sends a request.

The selections of Dagster's open-source UI cannot be saved otherwise.
"""

from typing import Any

import dagster as dg

from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.orchestration.catalog import EXPORTS, TABLES, tables_of
from warrior_dagster.report.assets import arena_report

ANALYSIS = tuple(one for one in TABLES if one.group == arena_report.group and one.partitioned_by == "nothing")
JOBS = {
    "update_analysis": (ANALYSIS, "Makes the tables and pictures of the analysis and the report again, from what exists."),
    "export_data_sets": (EXPORTS, "Writes the data sets again, from what exists, after a look for texts of benchmarks."),
}
"""The tables of each job, and its description."""


def selection_jobs(scope: Scope) -> list[Any]:
    """The jobs of an arena."""
    return [
        dg.define_asset_job(
            scope.name(name),
            selection=dg.AssetSelection.assets(*(scope.key(one.name) for one in tables_of(scope.arena, tables))),
            executor_def=dg.in_process_executor,
            description=f"{description} It sends no request.",
        )
        for name, (tables, description) in JOBS.items()
    ]
