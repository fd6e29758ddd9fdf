"""The table of the report: one row, which identifies the file."""

from warrior_dagster.materialization.table import Table

REPORT = Table("arena_report", "nothing", ("row_id", "sha256", "bytes"), group="analysis")
TABLES = [REPORT]
