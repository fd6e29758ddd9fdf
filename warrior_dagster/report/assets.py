"""The report as an asset: materialize it last."""

import os
from datetime import UTC, datetime
from hashlib import sha256
from importlib import resources
from pathlib import Path

import dagster as dg
import polars as pl

from warrior_dagster.analysis import pictures
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import SAME
from warrior_dagster.materialization.recording import Step, record
from warrior_dagster.materialization.table import table
from warrior_dagster.report import lineage, page
from warrior_dagster.warehouse.locks import file_lock
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

FILE = "report.html"
TITLE = b"<title>Arena report: "
READ = 4096
"""Bytes of a page in which its title is."""
TEMPLATE = resources.files("warrior_dagster.report").joinpath("templates/report.html.jinja")


@table(
    group="analysis",
    partitioned_by="nothing",
    columns=("row_id", "sha256", "bytes"),
    meanings={"sha256": "The SHA-256 of the file without the time in it.", "bytes": "The size of the file."},
    reads=lambda arena: {one.name: SAME for one in (*page.tables(arena), *lineage.tables(arena))},
    settings=lambda arena: [TEMPLATE.read_text(encoding="utf-8"), page.shown_settings(arena), *arena.competitors],
    origins=origins(),  # a file made of everything
    kinds=("html",),
    code=[pictures],
    reads_ledger=True,
)
def arena_report(step: Step) -> dg.MaterializeResult:
    """The arena report: one HTML file, which opens without a network, with every figure of the analysis and, for each
    instruction, its answers, votes, prompts and origin.
    """
    file, digest, size = write_report(step.arena, step.warehouse, step.ledger)
    row = pl.DataFrame({"row_id": ["report"], "sha256": [digest], "bytes": [size]})
    metadata = {"path": dg.MetadataValue.path(str(file)), "open": dg.MetadataValue.url(file.as_uri()), "bytes": size}
    return record(step, {WHOLE: row}, metadata=metadata)


def write_report(arena: Arena, warehouse: Warehouse, ledger: LedgerReader) -> tuple[Path, str, int]:
    """Write the report beside the exports; its path, the SHA-256 of everything but the time in it, and its size in bytes.

    Raises FileExistsError if another file has its name.
    """
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    text = page.report(arena, warehouse, ledger, now).encode("utf-8", "replace")
    file = Path(arena.export.folder) / FILE
    new = file.with_name(f".{FILE}.new")
    with file_lock(file.with_name(f".{FILE}.lock")):
        if os.path.lexists(file) and not is_report(file):
            raise FileExistsError(f"{file}: expected a report, because another one replaces it; move this file away")
        new.unlink(missing_ok=True)
        with new.open("xb") as unfinished:  # follows no link
            unfinished.write(text)
        new.replace(file)  # at once: a reader never opens half of a report
    return file, sha256(text.replace(now.encode(), b"")).hexdigest(), len(text)


def is_report(file: Path) -> bool:
    """Whether a file is a report of any arena."""
    if file.is_symlink() or not file.is_file():
        return False
    with file.open("rb") as written:
        return TITLE in written.read(READ)
