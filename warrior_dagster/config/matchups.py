"""A matchup is an unordered pair of competitors; its key joins their names in roster order."""

from collections.abc import Sequence

from warrior_dagster.config.arena import MATCHUP_SEPARATOR


def matchup_keys(roster: Sequence[str]) -> list[str]:
    """Each pair once, ordered by the later of the two, so that an appended competitor's matchups are one contiguous range."""
    return [f"{roster[i]}{MATCHUP_SEPARATOR}{roster[j]}" for j in range(len(roster)) for i in range(j)]


def sides(matchup: str) -> tuple[str, str]:
    """The left and right competitor of a matchup's key."""
    left, right = matchup.split(MATCHUP_SEPARATOR)
    return left, right
