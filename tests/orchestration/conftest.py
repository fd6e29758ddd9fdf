from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.conftest import scripted_engines
from tests.orchestration.growing import Arena
from tests.orchestration.served import Dagster, served
from tests.runs import EVERYTHING, materialize
from warrior_dagster.config.arena_file import load_arena


@pytest.fixture
def ui(tmp_path: Path, bundled_model: Path, bundled_embedder: Path) -> Iterator[tuple[Dagster, Arena]]:
    """A running Dagster with an arena of three competitors, all of it materialized."""
    arena = Arena(tmp_path, bundled_model, bundled_embedder)
    with served(arena.file) as dagster:
        loaded = load_arena(arena.file)
        with scripted_engines(loaded, [], []) as engines, dg.DagsterInstance.from_config(str(dagster.home)) as instance:
            materialize(loaded, engines, *EVERYTHING, instance=instance)
        yield dagster, arena
