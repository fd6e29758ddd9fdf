"""The scheduled update and the automation of an arena, with a real daemon."""

from collections.abc import Callable

import dagster as dg
import pytest

from tests.orchestration.growing import NAMES, Arena
from tests.orchestration.served import Dagster, waited
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.materialization.partitions import RANGE_END_TAG, RANGE_START_TAG
from warrior_dagster.orchestration.scheduled_update import SENSOR, WINDOW

pytestmark = pytest.mark.served
DOWNSTREAM_OF_RATINGS = {
    *("elo_ratings", "answer_scores", "benchmark_overlap", "sft_dataset", "dpo_dataset", "kto_dataset"),
    *("funnel", "rating_history", "arena_report"),
}
AUTOMATION = "make_everything_current"
BY_AUTOMATION = {"dagster/from_automation_condition": "true"}
AUTOMATION_LOOKS = 3
"""Automation is finished after this many ticks in a row without a request or a run."""


def test_the_scheduled_update_does_all_work_of_a_newcomer_within_the_matchups_of_each_window(ui: tuple[Dagster, Arena]) -> None:
    dagster, arena = ui
    arena.append("dan", schedule={"cron": "* * * * *", "hours": 1, "matchups": 4})  # a window for each minute
    dagster.reload()
    dagster.turn_on(SENSOR)
    waited(lambda: dagster.said(SENSOR) == "everything is up to date", 900)
    assert arena.complete()
    keys, taken = matchup_keys(arena.names), dict[str, set[str]]()
    with dg.DagsterInstance.from_config(str(dagster.home)) as instance:
        runs = [run for run in instance.get_runs() if WINDOW in run.tags]
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    for run in reversed(runs):
        made, first, last = run.asset_selection or (), run.tags.get(RANGE_START_TAG), run.tags.get(RANGE_END_TAG)
        if dg.AssetKey("mined_instructions") in made:
            assert (first, last) == ("dan", "dan")
        if dg.AssetKey("judge_votes") in made:
            assert dg.AssetKey("battle_outcomes") in made  # it follows without a request
            assert first
            assert last
            taken.setdefault(run.tags[WINDOW], set()).update(keys[keys.index(first) : keys.index(last) + 1])
    assert sorted(key for of_window in taken.values() for key in of_window) == sorted(keys)
    assert all(len(of_window) <= 4 for of_window in taken.values())
    new = {key for key in keys if "dan" in key}
    assert new <= next(iter(taken.values()))  # they are missing, and the others lack its instructions


def test_automation_materializes_exactly_what_depends_on_a_change(ui: tuple[Dagster, Arena]) -> None:
    dagster, arena = ui
    old_matchups, everyone = set(matchup_keys(NAMES)), {*NAMES, "dan"}

    def made_by(event: Callable[[], None]) -> dict[str, set[str]]:
        """The partitions of each asset that automation materialized after an event, until it was finished."""
        with dg.DagsterInstance.from_config(str(dagster.home)) as instance:
            before = {run.run_id for run in instance.get_runs()}
            event()
            looked = len(dagster.ticked(AUTOMATION))

            def quiet() -> bool:
                ticks = dagster.ticked(AUTOMATION)
                over = all(run.is_finished for run in instance.get_runs()) and not set(arena.stale())
                return over and len(ticks) >= looked + AUTOMATION_LOOKS and set(ticks[:AUTOMATION_LOOKS]) == {"SKIPPED"}

            waited(quiet, 600)
            made = dict[str, set[str]]()
            for run in {run.run_id for run in instance.get_runs(dg.RunsFilter(tags=BY_AUTOMATION))} - before:
                for entry in instance.all_logs(run, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
                    event_ = entry.get_dagster_event().step_materialization_data.materialization
                    made.setdefault(event_.asset_key.to_user_string(), set()).add(event_.partition or "")
            return made

    def changed(**more: object) -> None:
        arena.write(**more)
        dagster.reload()

    def again() -> None:
        assert dagster.finished(dagster.backfill(["mined_instructions"], ["ann"])) == "COMPLETED_SUCCESS"

    def appended() -> None:
        arena.append("dan", **another_k)
        dagster.reload()

    assert made_by(lambda: dagster.turn_on(AUTOMATION)) == {}  # everything is up to date
    another_k = {"ratings": {"bootstrap_rounds": 5, "k": 20.0}}
    rated = made_by(lambda: changed(**another_k))
    assert {"elo_ratings", "answer_scores", "sft_dataset", "rating_history", "arena_report"} <= set(rated)
    assert set(rated) <= DOWNSTREAM_OF_RATINGS
    # The ledger has all completions, and the rows are equal. But the arena's first run stored one data version for all
    # partitions of the range, so readers run once more, up to where Dagster sees equal rows too. No request is sent.
    starts = arena.starts()
    assert not {"selected_instructions", "answers", "judge_votes", "battle_outcomes"} & set(made_by(again))
    assert arena.starts() == starts
    assert made_by(again) == {}
    grown = made_by(appended)
    for own in ("mined_instructions", "instruction_embeddings", "selected_instructions"):
        assert grown[own] == {"dan"}
    assert grown["answers"] == everyone
    assert grown["judge_votes"] == old_matchups | set(matchup_keys(arena.names))
    assert arena.complete()
