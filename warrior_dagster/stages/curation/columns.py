"""Columns that the tables of curation share."""

from warrior_dagster.config.arena import Arena

INSTRUCTION = ["row_id", "instruction_id", "competitor", "language", "instruction"]
RATED = [*INSTRUCTION, "score"]
RATING = ["score", "scored_by", "abstained", "ratings", "band", "kept"]


def topic_column(arena: Arena) -> list[str]:
    """The column of an arena that drops what is off topic."""
    return ["on_topic"] if arena.difficulty.off_topic == "drop" else []
