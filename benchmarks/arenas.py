"""The arena of the benchmarks: small, on the scripted endpoint, with the bundled tokenizer and embedder."""

from pathlib import Path
from typing import Any

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.bundled_models import EMBEDDER, LLM

MODELS = Path(__file__).parent.parent / "models"
ROSTER = ("ann", "bob", "cyd", "dan")


def small_arena(folder: Path, serve: dict[str, Any], roster: tuple[str, ...] = ROSTER, **values: Any) -> Arena:
    """An arena with its tables in `folder`; keyword arguments change some values of a section.

    A competitor `new=old` has the name new and the system prompt of old: it is renamed, not changed.
    """
    named = [(name.split("=")[0], name.split("=")[-1]) for name in roster]
    base: dict[str, Any] = {
        "name": "benchmark",
        "competitors": [{"name": n, "model": str(MODELS / LLM), "system_prompt": f"You are {old}."} for n, old in named],
        "warehouse": str(folder / "warehouse"),
        "mining": {"settings": [{"temperature": 1.0, "top_p": 0.99}], "samples": 40, "samples_per_request": 1},
        "deduplication": {"threshold": 0.9},
        "difficulty": {"verdict": "direct", "keep": 5.0, "panel": 2},
        "embedding": {"model": str(MODELS / EMBEDDER)},
        "selection": {"centres": 6},
        "answers": {"sampling": {"max_tokens": 64}},
        "battles": {"verdict": "direct", "votes": "soft"},
        "ratings": {"bootstrap_rounds": 20},
        "export": {"folder": str(folder / "exports"), "formats": ["sft"]},
        "engine": {"serve": serve, "max_in_flight": 16},
    }  # fmt: skip
    changed = {key: base.get(key, {}) | value if isinstance(value, dict) else value for key, value in values.items()}
    return Arena.model_validate(base | changed)


def quiet_home(folder: Path) -> Path:
    """A folder for DAGSTER_HOME with telemetry off."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dagster.yaml").write_text("telemetry:\n  enabled: false\nnux:\n  enabled: false\n")
    return folder
