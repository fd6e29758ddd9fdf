"""The order of matchups, and the ranges that are one run."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.materialization.staleness import MISSING
from warrior_dagster.orchestration.upcoming_work import most_informative_first, ranges

ROSTER = ["ann", "bob", "cyd", "dan", "eve"]
KEYS = matchup_keys(ROSTER)
STALE = st.dictionaries(st.sampled_from(KEYS), st.sampled_from([MISSING, "the rows of judge_votes have changed"]))
WIDTHS = st.dictionaries(st.sampled_from(ROSTER), st.floats(0, 400))


@given(STALE, WIDTHS)
def test_missing_matchups_come_first_then_the_least_certain(stale: dict[str, str], widths: dict[str, float]) -> None:
    def importance(matchup: str) -> tuple[bool, float]:
        return stale[matchup] == MISSING, sum(widths.get(name, float("inf")) for name in sides(matchup))

    found = most_informative_first(stale, widths)
    assert sorted(found) == sorted(stale)
    assert all(importance(one) >= importance(other) for one, other in pairwise(found))


@given(st.sets(st.sampled_from(KEYS)))
def test_contiguous_matchups_are_one_run(chosen: set[str]) -> None:
    found = ranges(sorted(chosen), KEYS)
    covered = [KEYS[KEYS.index(first) : KEYS.index(last) + 1] for first, last in found]
    assert sorted(key for part in covered for key in part) == sorted(chosen)
    for (_, last), (first, _) in pairwise(found):
        assert KEYS.index(first) > KEYS.index(last) + 1


def test_the_matchups_of_an_appended_competitor_are_one_run() -> None:
    assert ranges([key for key in KEYS if "eve" in key], KEYS) == [("ann__eve", "dan__eve")]
