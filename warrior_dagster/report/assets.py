"""The report as an asset: materialize it last."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from importlib import resources
from pathlib import Path

import dagster as dg
import polars as pl

from warrior_dagster.analysis import audit, pictures
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.recording import OWNERS, code_version, record
from warrior_dagster.report import lineage, page
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

NAME = "report.html"


def assets(arena: Arena) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""
    template = resources.files("warrior_dagster.report").joinpath("templates/report.html.jinja").read_text(encoding="utf-8")
    drawn = [name for name in page.TITLES if name != "task_categories" or arena.analysis.categories]

    @dg.asset(
        group_name="analysis",
        kinds={"html"},
        owners=OWNERS,
        deps=[
            *drawn,
            "answer_scores",
            "judge_votes",
            "answers",
            "selected_instructions",
            *["execution_votes", "execution_results", "generated_tests"] * arena.runs_tests,
        ],
        code_version=code_version(
            [template, json.dumps(page.shown_settings(arena), sort_keys=True)],
            *arena.competitors,
            modules=[page, lineage, pictures, audit],
        ),
        metadata=origins(),  # a file of everything
    )
    def arena_report(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """The arena report: one HTML file, which opens without a network, with every figure of the analysis and, for each
        instruction, its answers, votes, prompts and how it was mined.
        """
        ledger = LedgerReader(arena.warehouse)
        file, digest, size = write_report(arena, warehouse, ledger)
        row = pl.DataFrame({"row_id": ["report"], "sha256": [digest], "bytes": [size]})
        metadata = {"path": dg.MetadataValue.path(str(file)), "open": dg.MetadataValue.url(file.as_uri()), "bytes": size}
        return record(context, warehouse, {WHOLE: row}, metadata=metadata)

    return [arena_report]


def write_report(arena: Arena, warehouse: Warehouse, ledger: LedgerReader) -> tuple[Path, str, int]:
    """Write the report beside the exports; its path, the SHA-256 of all but the time in it, and its size in bytes."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    text = page.report(arena, warehouse, ledger, now).encode("utf-8", "replace")
    file = Path(arena.export.folder) / NAME
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_bytes(text)
    new.replace(file)  # nobody ever opens half of it
    return file, sha256(text.replace(now.encode(), b"")).hexdigest(), len(text)
