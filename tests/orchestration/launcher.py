"""Runs inside the daemon's own process, where starting Python anew for each would take most of a test's time."""

import sys
from contextlib import suppress

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.launcher import LaunchRunContext
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher


class InDaemon(SyncInMemoryRunLauncher):
    """Dagster's launcher in memory, which reads the definitions anew for each run, as a new process would."""

    def launch_run(self, context: LaunchRunContext) -> None:
        sys.modules.pop("defs", None)
        ReconstructableJob.get_definition.cache_clear()
        ReconstructableJob.get_repository_definition.cache_clear()
        with suppress(dg.DagsterError):  # a run that failed has said so in its events
            super().launch_run(context)
