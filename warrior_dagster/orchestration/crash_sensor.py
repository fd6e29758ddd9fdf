"""Runs whose process is gone are failed, or they would hold their pool's place for good: Dagster's own launcher cannot tell.

Each process of a run holds the lock of a file named after both, which ends with it, however that is. A file whose lock is free
is left by a process that came to no end of its own. Only where a run is one process is it the run that has crashed then.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from warrior_dagster.config.arena import Arena
from warrior_dagster.warehouse.locks import file_lock, is_locked, local_folder

SENSOR = "crashed_runs"
SECONDS = 60


def runs_folder(warehouse: str) -> Path:
    """Where the lock files of this machine's runs on a warehouse are."""
    return local_folder(warehouse) / "locks" / "runs"


@contextmanager
def alive(run_id: str, warehouse: str) -> Iterator[None]:
    """Hold the lock of this process of a run while it goes on."""
    file = runs_folder(warehouse) / f"{run_id}.{os.getpid()}"
    with file_lock(file):
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def fail_crashed(instance: dg.DagsterInstance, warehouse: str, settled: float = SECONDS) -> list[str]:
    """Fail the runs of this machine that are not over and whose process is gone; returns their ids.

    Files younger than `settled` seconds are left alone: their run may be about to take the lock.
    """
    failed, folder = [], runs_folder(warehouse)
    for file in sorted(folder.iterdir()) if folder.exists() else []:
        if not left_behind(file, settled):
            continue
        run = instance.get_run_by_id(file.stem)
        if run is None:
            continue  # of another Dagster instance, whose own sensor sees to it
        if not run.is_finished:
            instance.report_run_failed(run, "The run's process is gone. Start it again: what it was answered is in the ledger.")
            failed.append(run.run_id)
        file.unlink(missing_ok=True)
    return failed


def left_behind(file: Path, settled: float) -> bool:
    """Whether a lock's file is older than some seconds, nobody holds the lock, and the file stays: an ending run removes it."""
    try:
        return time.time() - file.stat().st_mtime >= settled and not is_locked(file) and file.exists()
    except FileNotFoundError:
        return False


def crash_sensor(arena: Arena) -> dg.SensorDefinition:
    """The sensor that looks for such runs; it costs nothing."""

    @dg.sensor(
        name=SENSOR,
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Fails runs of this machine whose process is gone, so that the next run in the queue gets its engine.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        failed = fail_crashed(context.instance, arena.warehouse)
        return dg.SkipReason(f"failed, because their process is gone: {', '.join(failed)}" if failed else "no run has crashed")

    return sensor
