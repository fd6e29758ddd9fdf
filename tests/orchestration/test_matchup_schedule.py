"""The matchup schedule: the matchups of a tick, and its runs."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import scripted_engines
from tests.runs import materialize
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.materialization.partitions import RANGE_END_TAG, RANGE_START_TAG
from warrior_dagster.materialization.staleness import MISSING
from warrior_dagster.orchestration.definitions import build_definitions
from warrior_dagster.orchestration.matchup_schedule import SCHEDULE, choose, ranges

ROSTER = ["ann", "bob", "cyd", "dan", "eve"]
KEYS = matchup_keys(ROSTER)
STALE = st.dictionaries(st.sampled_from(KEYS), st.sampled_from([MISSING, "the rows of judge_votes have changed"]))
WIDTHS = st.dictionaries(st.sampled_from(ROSTER), st.floats(0, 400))


@given(STALE, WIDTHS, st.integers(1, 12))
def test_missing_matchups_come_first_then_the_least_certain_and_none_that_is_up_to_date(
    stale: dict[str, str], widths: dict[str, float], most: int
) -> None:
    chosen = choose(stale, widths, most)
    assert len(chosen) == len(set(chosen)) == min(most, len(stale))
    assert set(chosen) <= set(stale)

    def uncertain(matchup: str) -> float:
        return sum(widths.get(name, float("inf")) for name in sides(matchup))

    for left in set(stale) - set(chosen):
        for taken in chosen:
            assert (stale[taken] == MISSING, uncertain(taken)) >= (stale[left] == MISSING, uncertain(left))


@given(st.sets(st.sampled_from(KEYS)))
def test_contiguous_matchups_are_one_run(chosen: set[str]) -> None:
    found = ranges(sorted(chosen), KEYS)
    covered = [KEYS[KEYS.index(first) : KEYS.index(last) + 1] for first, last in found]
    assert sorted(key for part in covered for key in part) == sorted(chosen)
    for (_, last), (first, _) in pairwise(found):
        assert KEYS.index(first) > KEYS.index(last) + 1


def test_the_matchups_of_an_appended_competitor_are_one_run() -> None:
    assert ranges([key for key in KEYS if "eve" in key], KEYS) == [("ann__eve", "dan__eve")]


def tick(arena: Arena, instance: dg.DagsterInstance) -> list[tuple[str, str]] | str:
    """The ranges that a tick requests, or its skip reason."""
    repository = build_definitions(arena).get_repository_def()
    with dg.build_schedule_context(
        instance=instance,
        repository_def=repository,
        resources=dict(repository.get_top_level_resources()),  # as the code server gives them
        scheduled_execution_time=datetime(2026, 1, 1, tzinfo=UTC),
    ) as context:
        result = repository.get_schedule_def(SCHEDULE).evaluate_tick(context)
    found = [(r.tags[RANGE_START_TAG], r.tags[RANGE_END_TAG]) for r in result.run_requests or []]
    return found or str(result.skip_message)


def test_ticks_start_missing_matchups_then_stale_ones_and_then_nothing(make_arena: Callable[..., Arena]) -> None:
    arena = make_arena(("ann", "bob", "cyd", "dan"), schedule={"matchups": 2})
    with dg.DagsterInstance.ephemeral() as instance, scripted_engines(arena, [], []) as engines:
        assert tick(arena, instance) == "6 matchups wait for instructions or answers that do not exist yet"
        materialize(arena, engines, ("competitors", None), instance=instance)
        assert tick(arena, instance) == [("ann__bob", "ann__cyd")]
        materialize(arena, engines, ("matchups", "ann__cyd"), instance=instance)
        assert tick(arena, instance) == [("ann__bob", "ann__bob"), ("bob__cyd", "bob__cyd")]  # two runs
        for one in ("ann__bob", "ann__dan", "bob__dan", "cyd__dan"):
            materialize(arena, engines, ("matchups", one), instance=instance)
        assert tick(arena, instance) == [("bob__cyd", "bob__cyd")]
        materialize(arena, engines, ("matchups", "bob__cyd"), ("ratings", None), instance=instance)
        assert tick(arena, instance) == "every matchup is up to date"
        changed = make_arena(("ann", "bob", "cyd", "dan"), schedule={"matchups": 2}, answers={"sampling": {"max_tokens": 65}})
    with dg.DagsterInstance.ephemeral() as instance, scripted_engines(changed, [], []) as engines:
        assert (
            tick(changed, instance) == "every matchup is up to date"
        )  # the answers that they battle with are still the old ones
        materialize(changed, engines, ("answers", "dan"), instance=instance)
        requested = tick(changed, instance)
        assert isinstance(requested, list)
        assert sum(KEYS.index(last) - KEYS.index(first) + 1 for first, last in requested) == 2
        assert all("dan" in key for key in (requested[0][0], requested[-1][1]))


@pytest.mark.parametrize(("key", "value"), [("cron", "every day"), ("timezone", "Mars/Olympus"), ("matchups", 0)])
def test_an_invalid_schedule_is_refused_with_its_key(key: str, value: object, make_arena: Callable[..., Arena]) -> None:
    with pytest.raises(ValueError, match=key):
        make_arena(schedule={key: value})
