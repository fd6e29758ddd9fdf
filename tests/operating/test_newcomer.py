"""A new competitor through a real daemon, by each way there is: all of its work is done, and nothing is silently left out."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from tests.conftest import scripted_engines
from tests.operating.served import Dagster, served, waited
from tests.runs import materialize
from warrior_dagster.arena_file import load_arena
from warrior_dagster.build import arena_assets, build_definitions
from warrior_dagster.freshness import out_of_date
from warrior_dagster.matchups import matchup_keys
from warrior_dagster.running import GROUPS
from warrior_dagster.storage import WHOLE, Warehouse

pytestmark = pytest.mark.served
NAMES = ["ann", "bob", "cyd"]


class Arena:
    """An arena's file that competitors are appended to."""

    def __init__(self, folder: Path, model: Path, embedder: Path) -> None:
        self.file, self.model, self.embedder = folder / "arena.yaml", model, embedder
        self.names = list(NAMES)
        self.write()

    def write(self, **more: Any) -> None:
        values = {
            "name": "small",
            "warehouse": str(self.file.parent / "warehouse"),
            "competitors": [{"name": n, "model": str(self.model), "system_prompt": f"You are {n}."} for n in self.names],
            "mining": {"settings": [{"temperature": 1.0, "top_p": 0.99}], "samples": 6, "max_tokens": 64},
            "difficulty": {"verdict": "direct", "keep": 1.0},
            "embedding": {"model": str(self.embedder)},
            "selection": {"centres": 2},
            "answers": {"sampling": {"max_tokens": 64}},
            "battles": {"verdict": "direct", "votes": "soft"},
            "ratings": {"bootstrap_rounds": 5},
        }
        self.file.write_text(yaml.safe_dump(values | more))

    def append(self, name: str, **more: Any) -> None:
        self.names.append(name)
        self.write(**more)

    def stale(self) -> dict[str, dict[str, str]]:
        """Of each asset that has any, the partitions that are out of date."""
        arena = load_arena(self.file)
        graph, warehouse = build_definitions(arena).resolve_asset_graph(), Warehouse(arena.warehouse)
        found = {a.key.to_user_string(): out_of_date(graph, a.key, warehouse) for a in arena_assets(arena)}
        return {name: partitions for name, partitions in found.items() if partitions}

    def assets(self) -> list[str]:
        return [a.key.to_user_string() for a in arena_assets(load_arena(self.file))]

    def complete(self) -> bool:
        """Everything is there, made from what is there now, and the leaderboard is of all."""
        warehouse = Warehouse(load_arena(self.file).warehouse)
        if self.stale():
            return False
        assert set(warehouse.read("battle_outcomes")["partition"]) == set(matchup_keys(self.names))
        assert set(warehouse.read("elo_ratings", [WHOLE])["competitor"]) == set(self.names)
        return True

    def starts(self) -> Counter[str]:
        """How often each run so far started an engine."""
        file = self.file.parent / "starts.txt"
        return Counter(file.read_text().split()) if file.exists() else Counter()


@pytest.fixture
def ui(tmp_path: Path, bundled_model: Path, bundled_embedder: Path) -> Iterator[tuple[Dagster, Arena]]:
    """A running Dagster over an arena of three, all of which is materialized."""
    arena = Arena(tmp_path, bundled_model, bundled_embedder)
    with served(arena.file) as dagster:
        loaded = load_arena(arena.file)
        with scripted_engines(loaded, [], []) as engines, dg.DagsterInstance.from_config(str(dagster.home)) as instance:
            materialize(loaded, engines, *((group, None) for group in GROUPS), instance=instance)
        yield dagster, arena


def test_a_newcomer_is_told_of_and_all_of_its_work_is_done_by_one_choice_by_the_sensor_or_by_automation(
    ui: tuple[Dagster, Arena],
) -> None:
    dagster, arena = ui
    waited(lambda: dagster.said("roster") == "no competitor is new")
    brought_by_one_choice(dagster, arena, "dan")
    brought_by_the_sensor(dagster, arena, "eve")
    finished_by_automation(dagster, arena, "fay")


def brought_by_one_choice(dagster: Dagster, arena: Arena, newcomer: str) -> None:
    """The roster sensor says what is new and what it costs; one backfill from the newcomer's partition does all of it."""
    before = arena.starts()
    arena.append(newcomer)
    waited(lambda: dagster.said("roster") == f"arena.yaml has changed: new are {newcomer}; reload the code location")
    dagster.reload()
    to_start = f"to start it, materialize mined_instructions and everything downstream of it for {newcomer}"
    waited(lambda: dagster.said("roster").startswith(f"new: {newcomer}; {to_start}; materializing everything will send "))
    assert "requests" in dagster.said("roster")
    assert dagster.backfills() == {}
    assert dagster.finished(dagster.backfill(arena.assets(), [newcomer])) == "COMPLETED_SUCCESS"
    assert arena.complete()
    started = arena.starts() - before
    assert len(started) <= 3  # the competitors', the matchups', and at most one between
    assert set(started.values()) == {1}


def brought_by_the_sensor(dagster: Dagster, arena: Arena, newcomer: str) -> None:
    """Where the arena's file asks for it, the sensor starts that backfill itself, once."""
    there = set(dagster.backfills())
    arena.append(newcomer, automation={"backfill_new_competitors": True})
    dagster.reload()
    (started,) = waited(lambda: set(dagster.backfills()) - there)
    assert dagster.finished(started) == "COMPLETED_SUCCESS"
    assert arena.complete()
    waited(lambda: dagster.said("roster") == "no competitor is new")
    assert set(dagster.backfills()) - there == {started}


def finished_by_automation(dagster: Dagster, arena: Arena, newcomer: str) -> None:
    """Missing partitions only, group by group: what the earlier competitors must answer is out of date and not missing, so the
    matchups stop with an error, and nothing is silently left out. The automation sensor, turned on, does what is left.
    """
    arena.append(newcomer)
    dagster.reload()
    competitors = arena.assets()[:5]
    assert competitors[-1] == "selected_instructions"
    assert dagster.finished(dagster.backfill(competitors, [newcomer])) == "COMPLETED_SUCCESS"
    new = [m for m in matchup_keys(arena.names) if newcomer in m]
    assert dagster.finished(dagster.backfill(["judge_votes"], new)) == "COMPLETED_FAILED"
    assert set(arena.stale()["answers"]) == set(arena.names)
    dagster.turn_on("automation")
    waited(arena.complete)
