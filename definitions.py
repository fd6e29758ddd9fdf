"""What Dagster loads: the arenas of the files that WARRIOR_ARENA names, separated by colons, or the quick start's."""

import os
import warnings
from pathlib import Path

import dagster as dg

warnings.filterwarnings("ignore", category=dg.BetaWarning)

from warrior_dagster.orchestration.definitions import definitions_of_files  # noqa: E402
from warrior_dagster.warehouse.arrow_memory import use_system_allocator  # noqa: E402

QUICKSTART = Path(__file__).parent / "arenas" / "quickstart.yaml"

use_system_allocator()
defs = definitions_of_files([Path(file) for file in os.environ.get("WARRIOR_ARENA", str(QUICKSTART)).split(os.pathsep)])
