"""The kinds of evidence that decide battles. A new kind is a folder beside these and an entry here."""

from collections.abc import Callable
from dataclasses import dataclass

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import sides
from warrior_dagster.materialization.table import Table
from warrior_dagster.stages.battles.opinions.tables import JUDGE_VOTES
from warrior_dagster.stages.battles.unit_tests.tables import EXECUTION_VOTES
from warrior_dagster.stages.battles.votes import opinions_per_battle


@dataclass(frozen=True, eq=False)
class Evidence:
    """One kind of evidence."""

    kind: str
    """The value of the votes' column `evidence`, and its key in battles.weights."""
    votes: Table
    per_battle: Callable[[Arena, str], int]
    """How many votes a battle of a matchup has, abstentions included."""


KINDS = (
    Evidence("opinion", JUDGE_VOTES, opinions_per_battle),
    Evidence("execution", EXECUTION_VOTES, lambda arena, matchup: len(arena.judges(*sides(matchup)))),
)


def kinds_in(arena: Arena) -> list[Evidence]:
    """The kinds of evidence that an arena collects."""
    return [one for one in KINDS if one.votes.enabled(arena)]
