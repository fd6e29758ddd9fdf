"""The tables of ratings."""

from warrior_dagster.materialization.table import Table
from warrior_dagster.stages.ratings.leaderboard import RATING_SCHEMA

RATINGS = Table("elo_ratings", "nothing", tuple(RATING_SCHEMA))
SCORES = Table(
    "answer_scores",
    "nothing",
    ("row_id", "instruction_id", "competitor", "score", "elo_part", "local_part", "rank", "gold", "advantage", "opponents"),
)
TABLES = [RATINGS, SCORES]
