"""Arenas without models or files that together have every table and every column."""

from typing import Any

from warrior_dagster.config.arena import Arena

NAMES = ("zed", "bob", "ann", "cyd", "dan", "eve")
"""More than there are founders, and not in the order of the alphabet."""
EVERY_KIND = {"evidence": ["execution", "behaviour", "opinion"], "opinions": "open", "exam": 8, "judges": 2}
OF_EACH_KIND: dict[str, dict[str, Any]] = {
    "opinions alone": {},
    "opinions after an exam": {"battles": {"exam": 4}, "ratings": {"orders": "one"}},
    "everything": {
        "battles": EVERY_KIND,
        "analysis": {"categories": True},
        "answers": {"samples": 3},
        "export": {"dpo_rejected": "own_sample"},
    },
    "votes that add up": {
        "battles": {"evidence": ["opinion", "execution", "behaviour"], "combine": "sum", "exam": 4},
        "difficulty": {"off_topic": "drop"},
        "ratings": {"method": "judge_aware"},
    },
}
"""Settings by what is particular about them."""


def arena_with(names: tuple[str, ...] = NAMES, **values: Any) -> Arena:
    """An arena of these names, with settings of OF_EACH_KIND or others."""
    competitors = [{"name": name, "model": f"org/{name}"} for name in names]
    return Arena.model_validate({"name": "small", "competitors": competitors, "warehouse": "nowhere"} | values)
