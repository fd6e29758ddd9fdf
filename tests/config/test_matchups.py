from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.config.matchups import matchup_keys, sides

names = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,5}(_[a-z0-9]{1,3})?", fullmatch=True), min_size=3, max_size=12, unique=True)


@given(names)
def test_every_unordered_pair_is_one_matchup_and_its_key_can_be_split_again(roster: list[str]) -> None:
    keys = matchup_keys(roster)
    pairs = [sides(key) for key in keys]
    assert {frozenset(p) for p in pairs} == {frozenset((a, b)) for a in roster for b in roster if a != b}
    assert len(keys) == len(roster) * (len(roster) - 1) // 2
    assert all(roster.index(left) < roster.index(right) for left, right in pairs)
