"""What every asset does once its rows are ready: write each partition, report to Dagster what was written, fail for the rest.

Dagster gives one data version to all partitions of a run: a run of one partition has that partition's hash, a run of several
the hash of all of theirs, so that a change of one marks what reads any of them. Each partition's own hash is in its metadata.
"""

import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.messages import visible
from warrior_dagster.inference.dispatch import DispatchResult
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.usage import Usage
from warrior_dagster.materialization.column_lineage import column_lineage
from warrior_dagster.materialization.dagster_internals import graph_of_run
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.staleness import Hashes, reads, save_fingerprints, table_of
from warrior_dagster.warehouse.tables import WHOLE, Warehouse, Written

PREVIEW_ROWS = 5
PREVIEW_CHARS = 80
"""The longest cell of a preview."""
FEW_FAILED, FEW_FAILED_MEANS = "few_failed_requests", "Whether few enough requests failed (engine.max_error_rate)."


@dataclass(frozen=True)
class Step:
    """What a function that fills a table works with: Dagster's context, the arena, and the resources that the table needs."""

    context: dg.AssetExecutionContext
    scope: Scope
    warehouse: Warehouse
    origins: Mapping[str, str]
    reads: Collection[str]
    completed_by: Callable[[str], Iterable[str]] | None = None
    """The competitors whose completions a partition is made from, where its rows come from models."""
    engines: Engines = None  # type: ignore[assignment]
    ledger: LedgerReader = None  # type: ignore[assignment]

    @property
    def arena(self) -> Arena:
        return self.scope.arena

    @property
    def keys(self) -> list[str]:
        """The keys of the partitions to fill."""
        return list(self.context.partition_keys)

    @property
    def log(self) -> logging.Logger:
        return self.context.log


def record(
    step: Step,
    frames: Mapping[str, pl.DataFrame | Iterable[pl.DataFrame]],
    *,
    describe: Callable[[pl.DataFrame], dict[str, Any]] | None = None,
    metadata: Mapping[str, Any] | None = None,
    result: DispatchResult | None = None,
    checks: Sequence[dg.AssetCheckResult] = (),
) -> dg.MaterializeResult:
    """Write each partition's frame to the asset's table and make the result of its materialization.

    Args:
        frames: by partition; a frame may come in pieces, which are written as they are made.
        describe: gives a partition's own metadata, from a whole frame only.
        metadata: what the run adds to all partitions.
        result: of the requests, where the rows come from models. A partition of a competitor whose requests failed is not
            written; the others are recorded, and then dagster.Failure is raised, so that a re-run takes only what is missing.
        checks: results of the asset's own checks.
    """
    context, key = step.context, step.context.asset_key
    usage = None if result is None else result.usage
    failed, asked = result.failures if result else {}, step.completed_by
    failures = {own: failed[name] for own in step.keys for name in asked(own) if name in failed} if failed and asked else {}
    notes: dict[str, dict[str, Any]] = {}
    written: dict[str, Written] = {}
    columns_of = cache(step.warehouse.columns)
    for partition, frame in frames.items():
        if partition in failures:
            continue
        done = written[partition] = step.warehouse.write(table_of(key), partition, frame)
        own = describe(frame) if describe and isinstance(frame, pl.DataFrame) else {}
        lineage = column_lineage(step.origins, done.first.columns, columns_of, step.scope.key, step.reads)
        notes[partition] = {**partition_metadata(done), **own, "dagster/column_lineage": lineage}
    save_fingerprints(step.scope, graph_of_run(context), key, written, step.warehouse)
    spent = {} if usage is None else usage_metadata(usage, step.arena)
    shared = {**(metadata or {}), **spent, "seconds": seconds_so_far(context)}
    if failures:
        log_partitions(context, written, notes, shared)
        reasons = visible("\n".join(f"{partition}: {reason}" for partition, reason in failures.items()))
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
            *([] if usage is None else [few_failed_requests(usage, step.arena.engine.max_error_rate)]),
            *checks,
        ],
    )


def check_same_source(step: Step, table: str) -> None:
    """Raise LookupError unless a table without partitions was made from the rows that this step reads of the same tables."""
    then = json.loads(step.warehouse.fingerprints(table).get(WHOLE, "{}"))
    now = reads(step.scope, graph_of_run(step.context), step.context.asset_key, WHOLE)
    hashes = Hashes(step.warehouse)
    changed = [name for name, keys in now.items() if name in then and then[name] != hashes(name, tuple(keys))]
    if changed or not then:
        since = f"the rows of {', '.join(changed)} have changed since" if then else "what it was made from was not recorded"
        raise LookupError(f"{table}: {since}; materialize {table} first")


def split(rows: pl.DataFrame, step: Step, column: str = "competitor") -> dict[str, pl.DataFrame]:
    """The rows of each partition of a step, by the competitor in a column."""
    return {name: rows.filter(pl.col(column) == name) for name in step.keys}


def counted(rows: pl.DataFrame, column: str) -> dict[str, int]:
    """How often each value of a column occurs."""
    return dict(rows[column].value_counts().sort(column).iter_rows())


def log_partitions(
    context: dg.AssetExecutionContext, written: Mapping[str, Written], notes: Mapping[str, Any], shared: Mapping[str, Any]
) -> None:
    """Record the partitions that were written by a step that is about to fail."""
    for partition, note in notes.items():
        tags = {
            "dagster/data_version": written[partition].sha256,
            "dagster/code_version": context.assets_def.code_versions_by_key[context.asset_key] or "",
        }
        context.log_event(
            dg.AssetMaterialization(context.asset_key, partition=partition, metadata={**shared, **note}, tags=tags)
        )


def seconds_so_far(context: dg.AssetExecutionContext) -> float:
    """Seconds since the asset's step began, over all partitions of the run."""
    stats = context.instance.get_run_step_stats(context.run_id, [context.op_def.name])
    return round(time.time() - stats[0].start_time, 3) if stats and stats[0].start_time else 0.0


def few_failed_requests(usage: Mapping[str, Usage], limit: float) -> dg.AssetCheckResult:
    """Whether the share of requests that failed is within the arena's limit."""
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
        "preview": as_table(written.first.head(PREVIEW_ROWS)),
    }


def usage_metadata(usage: Mapping[str, Usage], arena: Arena) -> dict[str, Any]:
    """Requests, tokens, seconds, engine starts, GPU hours and, where all prices are known, their cost, over a run's models.

    GPU hours count the time on all GPUs of a model, engine start and waiting for the lock included. A model whose answers were
    all in the ledger took none.
    """
    if not usage:
        return {}
    busy = sum(u.seconds * arena.devices(model) for model, u in usage.items() if u.requests)
    costs = [
        arena.cost(model, u.seconds * arena.devices(model) / 3600, u.prompt_tokens, u.completion_tokens)
        for model, u in usage.items()
        if u.requests
    ]
    priced = None not in costs if costs else arena.engine.price_per_gpu_hour is not None
    total = Usage()
    for of_model in usage.values():
        total.add(of_model)
    return {
        "requests_sent": total.requests,
        "completions_sent": total.sent,
        "completions_from_ledger": total.from_ledger,
        "completions_failed": total.failed,
        "prompt_tokens": total.prompt_tokens,
        "completion_tokens": total.completion_tokens,
        "engine_starts": total.engine_starts,
        "start_seconds": round(total.start_seconds, 3),
        "seconds_asking": round(total.seconds, 3),
        "gpu_hours": busy / 3600,
        **({"cost": sum(filter(None, costs))} if priced else {}),
    }


def as_table(frame: pl.DataFrame, longest: int = PREVIEW_CHARS) -> dg.TableMetadataValue:
    """The rows of a frame as a table of Dagster's UI: cells of at most `longest` characters, without row ids and vectors.

    A table shows text as it is. Markdown would make links of the addresses in a model's text.
    """
    shown = frame.select(name for name, kind in frame.schema.items() if name != "row_id" and not isinstance(kind, pl.Array))
    return dg.MetadataValue.table(
        [dg.TableRecord({name: cell(value, longest) for name, value in row.items()}) for row in shown.iter_rows(named=True)],
        dg.TableSchema([dg.TableColumn(name, str(kind)) for name, kind in shown.schema.items()]),
    )


def cell(value: Any, longest: int) -> str:
    """A value on one line, shortened; empty for none."""
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else " ".join(visible(str(value)).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
