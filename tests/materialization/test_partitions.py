import dagster as dg
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.materialization.partitions import BOTH_SIDES, EARLIER, EVERYONE, SAME, Scope

names = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,5}(_[a-z0-9]{1,3})?", fullmatch=True), min_size=3, max_size=12, unique=True)


def arena_of(roster: list[str]) -> Arena:
    return Arena.model_validate({"name": "a", "competitors": [{"name": n, "model": "org/m"} for n in roster]})


@given(names)
def test_the_matchups_of_an_appended_competitor_are_one_range_at_the_end(roster: list[str]) -> None:
    before, after = matchup_keys(roster[:-1]), matchup_keys(roster)
    assert after[: len(before)] == before
    assert all(roster[-1] in sides(key) for key in after[len(before) :])


@given(names)
def test_edges_between_partitions_follow_the_roster(roster: list[str]) -> None:
    scope = Scope(arena_of(roster))

    def downstream(how: str, key: str, target: dg.PartitionsDefinition) -> set[str]:
        mapping = scope.mapping(how)
        assert mapping is not None
        subset = scope.competitors.subset_with_partition_keys([key])
        mapped = mapping.get_downstream_partitions_for_partitions(subset, scope.competitors, target)
        return set(mapped.get_partition_keys())

    for place, name in enumerate(roster):
        assert downstream(EARLIER, name, scope.competitors) == set(roster[place:])
        assert downstream(BOTH_SIDES, name, scope.matchups) == {m for m in matchup_keys(roster) if name in sides(m)}
        assert downstream(EVERYONE, name, scope.competitors) == set(roster)
    assert scope.mapping(SAME) is None  # Dagster's default: the partition with the same key
