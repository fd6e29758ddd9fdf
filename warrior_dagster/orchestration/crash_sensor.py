"""Fails runs whose process crashed: Dagster's default launcher misses them, and they would hold their pool slot forever.

Each process of a run locks a file named after the run and the process. The kernel releases the lock when the process ends, so
that an unlocked file was left by a process that crashed, and with it the run, which is a single process.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.warehouse.locks import file_lock, is_locked
from warrior_dagster.warehouse.state import local_folder

SENSOR = "fail_crashed_runs"
SECONDS = 60


def runs_folder(warehouse: str) -> Path:
    """The folder with the lock files of this machine's runs on a warehouse."""
    return local_folder(warehouse) / "locks" / "runs"


@contextmanager
def alive(run_id: str, warehouse: str) -> Iterator[None]:
    """Hold the lock file of this process of a run."""
    file = runs_folder(warehouse) / f"{run_id}.{os.getpid()}"
    with file_lock(file):
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def fail_crashed(instance: dg.DagsterInstance, warehouse: str, settled: float = SECONDS) -> list[str]:
    """Fail this machine's unfinished runs whose process crashed; returns their ids.

    Files younger than `settled` seconds are ignored: their process may not hold the lock yet.
    """
    failed, folder = [], runs_folder(warehouse)
    for file in sorted(folder.iterdir()) if folder.exists() else []:
        run = instance.get_run_by_id(file.stem) if is_abandoned(file, settled) else None
        if run is None:
            continue  # locked, or a run of another Dagster instance, which has its own sensor
        if not run.is_finished:
            instance.report_run_failed(run, "The run's process is gone. Start it again: completions so far are in the ledger.")
            failed.append(run.run_id)
        file.unlink(missing_ok=True)
    return failed


def is_abandoned(file: Path, settled: float) -> bool:
    """Whether a lock file is older than `settled` seconds and unlocked; a run that ends removes its file."""
    try:
        return time.time() - file.stat().st_mtime >= settled and not is_locked(file) and file.exists()
    except FileNotFoundError:
        return False


def crash_sensor(scope: Scope) -> dg.SensorDefinition:
    """The sensor that fails crashed runs; it sends no request."""

    @dg.sensor(
        name=scope.name(SENSOR),
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Fails runs of this machine whose process is gone, so that the next run in the queue gets the engine.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        failed = fail_crashed(context.instance, scope.arena.warehouse)
        return dg.SkipReason(f"failed, because their process is gone: {', '.join(failed)}" if failed else "no run has crashed")

    return sensor
