"""Runs inside the daemon's process, because a new Python process per run would take most of a test's time."""

import sys
from contextlib import suppress

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.launcher import LaunchRunContext
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher


class InDaemon(SyncInMemoryRunLauncher):
    """Dagster's launcher in memory, which loads the definitions again for each run, like a new process."""

    def launch_run(self, context: LaunchRunContext) -> None:
        sys.modules.pop("defs", None)
        ReconstructableJob.get_definition.cache_clear()
        ReconstructableJob.get_repository_definition.cache_clear()
        with suppress(dg.DagsterError):  # a failed run reports it in its events
            super().launch_run(context)
