"""An arena's file that changes under a running Dagster: competitors are appended, settings change."""

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from tests.runs import stale
from warrior_dagster.config.arena_file import load_arena
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.orchestration.catalog import arena_assets
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

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
        return stale(load_arena(self.file))

    def assets(self) -> list[str]:
        return [a.key.to_user_string() for a in arena_assets(Scope(load_arena(self.file)))]

    def complete(self) -> bool:
        """Whether everything is materialized and up to date, with all competitors in the leaderboard."""
        warehouse = Warehouse(load_arena(self.file).warehouse)
        if self.stale():
            return False
        assert set(warehouse.read("battle_outcomes")["partition"]) == set(matchup_keys(self.names))
        assert set(warehouse.read("elo_ratings", [WHOLE])["competitor"]) == set(self.names)
        return True

    def starts(self) -> Counter[str]:
        """The number of engine starts of each run so far."""
        file = self.file.parent / "starts.txt"
        return Counter(file.read_text().split()) if file.exists() else Counter()
