"""The schedule and the automation of an arena, with a real daemon."""

from collections.abc import Callable

import dagster as dg
import pytest

from tests.orchestration.growing import NAMES, Arena
from tests.orchestration.served import Dagster, waited
from warrior_dagster.config.arena_file import load_arena
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.materialization.partitions import RANGE_END_TAG, RANGE_START_TAG
from warrior_dagster.orchestration.matchup_schedule import interval_widths
from warrior_dagster.warehouse.tables import Warehouse

pytestmark = pytest.mark.served
SCHEDULE = "battle_matchups_schedule"
DOWNSTREAM_OF_RATINGS = {
    *("elo_ratings", "answer_scores", "benchmark_overlap", "sft_dataset", "dpo_dataset", "kto_dataset"),
    *("funnel", "rating_history", "arena_report"),
}
AUTOMATION = "make_everything_current"
BY_AUTOMATION = {"dagster/from_automation_condition": "true"}
AUTOMATION_LOOKS = 3
"""Automation is finished after this many ticks in a row without a request or a run."""


def test_the_schedule_starts_missing_matchups_then_the_least_certain_and_none_that_is_up_to_date(
    ui: tuple[Dagster, Arena],
) -> None:
    dagster, arena = ui
    arena.append("dan", schedule={"cron": "* * * * *", "matchups": 4})
    dagster.reload()
    of_competitors = arena.assets()[:6]
    assert of_competitors[-1] == "answers"
    assert dagster.finished(dagster.backfill(of_competitors, ["dan"])) == "COMPLETED_SUCCESS"
    keys, widths = matchup_keys(arena.names), interval_widths(Warehouse(load_arena(arena.file).warehouse))
    old = [key for key in keys if "dan" not in key]
    assert set(arena.stale()["judge_votes"]) == set(keys)  # dan's are missing, the others lack its instructions
    widest = max(old, key=lambda key: sum(widths[name] for name in sides(key)))
    dagster.turn_on_schedule(SCHEDULE)

    def taken() -> list[set[str]]:
        """The matchups of each tick so far, the oldest first; none once everything is up to date."""
        with dg.DagsterInstance.from_config(str(dagster.home)) as instance:
            found = []
            for tick in reversed(dagster.ticks(SCHEDULE)):
                runs = [instance.get_run_by_id(run) for run in tick["runIds"]]
                ends = [(run.tags[RANGE_START_TAG], run.tags[RANGE_END_TAG]) for run in runs if run]
                found.append({key for a, b in ends for key in keys[keys.index(a) : keys.index(b) + 1]})
            return found

    waited(lambda: dagster.ticks(SCHEDULE) and dagster.ticks(SCHEDULE)[0]["skipReason"] == "every matchup is up to date")
    first, *later = taken()
    assert first == {*set(keys) - set(old), widest}
    assert set().union(*later) == set(old) - {widest}
    assert not {"judge_votes", "battle_outcomes"} & set(arena.stale())


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
