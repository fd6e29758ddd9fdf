"""What every asset does once its rows are ready: write each partition, tell Dagster what was written, fail loudly for the rest.

Dagster gives one data version to all partitions of a run: a run of one partition has that partition's hash, a run of several
the hash of all of theirs, so that a change of one marks what reads any of them. Each partition's own hash is in its metadata.
"""

import ast
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from inspect import getsource
from types import ModuleType
from typing import Any

import dagster as dg
import polars as pl
from pydantic import BaseModel

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.coalescing import Usage
from warrior_dagster.materialization.column_lineage import ORIGINS, lineage
from warrior_dagster.materialization.staleness import vouch
from warrior_dagster.warehouse.tables import WHOLE, Warehouse, Written

PREVIEW_ROWS = 5
PREVIEW_CHARS = 120
OWNERS = ["team:warrior"]
FEW_FAILED = "few_failed_requests"


def code_version(*parts: BaseModel | Mapping[str, Any] | Sequence[str], modules: Sequence[ModuleType] = ()) -> str:
    """A hash of what an asset's rows rest on besides its inputs: its part of the YAML (prompts included) and its algorithm.

    The algorithm enters as its syntax tree, so that comments and layout change nothing.
    """
    digest = sha256()
    for part in parts:
        plain = part.model_dump(mode="json") if isinstance(part, BaseModel) else part
        values = dict(plain) if isinstance(plain, Mapping) else list(plain)
        digest.update(json.dumps(values, sort_keys=True).encode())
    for module in modules:
        digest.update(ast.dump(ast.parse(getsource(module))).encode())
    return digest.hexdigest()[:16]


def record(
    context: dg.AssetExecutionContext,
    warehouse: Warehouse,
    frames: Mapping[str, pl.DataFrame | Iterable[pl.DataFrame]],
    *,
    describe: Callable[[pl.DataFrame], dict[str, Any]] | None = None,
    metadata: Mapping[str, Any] | None = None,
    usage: Mapping[str, Usage] | None = None,
    failures: Mapping[str, str] | None = None,
    asked_by: Arena | None = None,
    checks: Sequence[dg.AssetCheckResult] | None = None,
) -> dg.MaterializeResult:
    """Write each partition's frame to the asset's table and make the result of its materialization.

    A frame may come in pieces, which are written as they are made. `describe` gives a partition's own metadata, from a whole
    frame only. What asking models cost comes as `usage`, and with the arena that asked, whose limits and price count.
    Partitions in `failures` (with reasons) are not written: the others are recorded, and dagster.Failure is raised, so that a
    re-run takes only what is missing.
    """
    table = context.asset_key.to_user_string()
    notes: dict[str, dict[str, Any]] = {}
    written: dict[str, Written] = {}
    for partition, frame in frames.items():
        if partition in (failures or {}):
            continue
        written[partition] = warehouse.write(table, partition, frame)
        own = describe(frame) if describe and isinstance(frame, pl.DataFrame) else {}
        notes[partition] = {**partition_metadata(written[partition]), **own}
        origins = context.assets_def.metadata_by_key[context.asset_key].get(ORIGINS, {})
        notes[partition]["dagster/column_lineage"] = lineage(origins, written[partition].first.columns, warehouse.columns)
    vouch(context.job_def.asset_layer.asset_graph, context.asset_key, written, warehouse)
    spent = usage_metadata(usage or {}, asked_by) if asked_by else {}
    shared = {**(metadata or {}), **spent, "seconds": seconds_so_far(context)}
    if failures:
        for partition, note in notes.items():
            tags = {
                "dagster/data_version": written[partition].sha256,
                "dagster/code_version": context.assets_def.code_versions_by_key[context.asset_key] or "",
            }
            context.log_event(
                dg.AssetMaterialization(context.asset_key, partition=partition, metadata={**shared, **note}, tags=tags)
            )
        reasons = "\n".join(f"{partition}: {reason}" for partition, reason in failures.items())
        raise dg.Failure(f"{len(failures)} of {len({*failures, *frames})} partitions were not materialized.\n{reasons}")
    for partition, note in notes.items():
        if partition == WHOLE:
            shared = {**shared, **note}
        else:
            context.add_asset_metadata(note, partition_key=partition)
    hashes = [written[p].sha256 for p in sorted(written)]
    return dg.MaterializeResult(
        metadata=shared,
        data_version=dg.DataVersion(hashes[0] if len(hashes) == 1 else sha256("".join(hashes).encode()).hexdigest()),
        check_results=[
            *([few_failed_requests(usage or {}, asked_by.engine.max_error_rate)] if asked_by else []),
            *(checks or []),
        ],
    )


def seconds_so_far(context: dg.AssetExecutionContext) -> float:
    """Seconds since the asset's step began, over all partitions of the run."""
    stats = context.instance.get_run_step_stats(context.run_id, [context.op_def.name])
    return round(time.time() - stats[0].start_time, 3) if stats and stats[0].start_time else 0.0


def few_failed_requests(usage: Mapping[str, Usage], limit: float) -> dg.AssetCheckResult:
    """Whether the share of requests that ended in an error is within the arena's limit."""
    failed = sum(u.failed for u in usage.values())
    asked = sum(u.sent + u.from_ledger for u in usage.values())
    rate = failed / asked if asked else 0.0
    return dg.AssetCheckResult(
        check_name=FEW_FAILED,
        passed=rate <= limit,
        metadata={"failed": failed, "asked": asked, "rate": rate, "limit": limit},
    )


def partition_metadata(written: Written) -> dict[str, Any]:
    """What the UI shows of any partition: count, columns, a preview, and what identifies its content."""
    return {
        "dagster/row_count": written.rows,
        "rows_sha256": written.sha256,
        "table_version": written.table_version,
        "dagster/column_schema": dg.TableSchema(
            columns=[dg.TableColumn(name, str(kind)) for name, kind in written.first.schema.items()]
        ),
        "preview": dg.MetadataValue.md(preview(written.first)),
    }


def usage_metadata(usage: Mapping[str, Usage], arena: Arena) -> dict[str, Any]:
    """Requests, tokens, seconds, engine starts, GPU hours and, where the arena has a price, their cost, over a run's models.

    GPU hours are those of a plan, the time on all GPUs of a model (of an endpoint: on all its servers), but with the start of
    the engine and the waiting for its turn. A model whose answers were all in the ledger took none.
    """
    if not usage:
        return {}
    busy = sum(u.seconds * arena.devices(model) for model, u in usage.items() if u.requests)
    price = arena.engine.price_per_gpu_hour
    total = {name: sum(getattr(u, name) for u in usage.values()) for name in Usage.__slots__}
    return {
        "requests_sent": total["requests"],
        "completions_sent": total["sent"],
        "completions_from_ledger": total["from_ledger"],
        "completions_failed": total["failed"],
        "prompt_tokens": total["prompt_tokens"],
        "completion_tokens": total["completion_tokens"],
        "engine_starts": total["engine_starts"],
        "seconds_asking": round(total["seconds"], 3),
        "gpu_hours": busy / 3600,
        **({} if price is None else {"cost": busy / 3600 * price}),
    }


def preview(frame: pl.DataFrame) -> str:
    """The first rows as a Markdown table, without vectors."""
    return markdown(frame.head(PREVIEW_ROWS).select(c for c, kind in frame.schema.items() if not isinstance(kind, pl.Array)))


def markdown(frame: pl.DataFrame) -> str:
    """A frame as a Markdown table, long texts shortened and row ids left out."""
    columns = [name for name in frame.columns if name != "row_id"]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(map(cell, row)) + " |" for row in frame.select(columns).iter_rows()])


def cell(value: Any) -> str:
    """A value on one line of a Markdown table, shortened; text of a model cannot leave its cell."""
    text = f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
    text = text if len(text) <= PREVIEW_CHARS else text[: PREVIEW_CHARS - 1] + "…"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;").replace("`", "&#96;").replace("[", "&#91;")
