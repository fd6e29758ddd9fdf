"""What Dagster loads: the arena named by WARRIOR_ARENA, or the quick start's."""

import os
import warnings
from pathlib import Path

import dagster as dg

warnings.filterwarnings("ignore", category=dg.BetaWarning)

from warrior_dagster.config.arena_file import load_arena  # noqa: E402
from warrior_dagster.orchestration.definitions import build_definitions  # noqa: E402
from warrior_dagster.warehouse.arrow_memory import use_system_allocator  # noqa: E402

QUICKSTART = Path(__file__).parent / "arenas" / "quickstart.yaml"

ARENA = Path(os.environ.get("WARRIOR_ARENA", QUICKSTART))

use_system_allocator()
defs = build_definitions(load_arena(ARENA), ARENA)
