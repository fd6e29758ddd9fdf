"""The tables of the export: what overlaps a benchmark, and one for each data set format."""

from collections.abc import Callable

from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.table import Table
from warrior_dagster.stages.export import contamination

OVERLAP = Table("benchmark_overlap", "nothing", tuple(contamination.SCHEMA), if_empty="ignore")
SOURCE = ("row_id", "instruction_id", "attacker")


def in_formats(kind: str) -> Callable[[Arena], bool]:
    """Whether an arena exports a format."""
    return lambda arena: kind in arena.export.formats


DATASETS = {
    kind: Table(f"{kind}_dataset", "nothing", (*SOURCE, *columns), if_empty="warn", enabled=in_formats(kind))
    for kind, columns in {
        "sft": ("messages", "competitor", "score"),
        "dpo": (
            *("prompt", "chosen", "rejected"),
            *("chosen_competitor", "rejected_competitor", "chosen_score", "rejected_score"),
        ),
        "kto": ("prompt", "completion", "label", "competitor", "score"),
    }.items()
}
"""The table of each format. One may be empty: all answers may be cut off, or have equal scores."""
TABLES = [OVERLAP, *DATASETS.values()]
