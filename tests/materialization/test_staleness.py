"""Stale partitions are exactly those whose fingerprint changed, with the reason."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import polars as pl

from tests.conftest import scripted_engines
from tests.runs import EVERYTHING, materialize, stale
from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.staleness import MISSING, reads, stale_partitions
from warrior_dagster.orchestration.catalog import arena_assets
from warrior_dagster.orchestration.checks.up_to_date import UP_TO_DATE
from warrior_dagster.orchestration.definitions import arena_resources, build_definitions
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

MakeArena = Callable[..., Arena]


def test_a_partition_reads_the_partitions_that_the_graph_names(make_arena: MakeArena) -> None:
    graph = build_definitions(make_arena(("ann", "bob", "cyd", "dan"))).resolve_asset_graph()
    roster = ["ann", "bob", "cyd", "dan"]
    assert reads(graph, dg.AssetKey("mined_instructions"), "bob") == {}
    assert reads(graph, dg.AssetKey("unique_instructions"), "bob") == {"mined_instructions": ["ann", "bob"]}
    assert reads(graph, dg.AssetKey("answers"), "bob") == {"selected_instructions": roster}
    assert reads(graph, dg.AssetKey("judge_votes"), "bob__dan") == {
        "answers": ["bob", "dan"],
        "selected_instructions": roster,
    }
    assert len(reads(graph, dg.AssetKey("elo_ratings"), WHOLE)["battle_outcomes"]) == 6
    assert reads(graph, dg.AssetKey("answer_scores"), WHOLE)["elo_ratings"] == [WHOLE]


def test_everything_is_missing_then_up_to_date_and_stays_so_after_a_second_run(
    make_arena: MakeArena, finished_copy: MakeArena, tmp_path: Path
) -> None:
    arena = finished_copy()
    before = stale(make_arena(warehouse=str(tmp_path / "empty")))
    assert set(before) == {a.key.to_user_string() for a in arena_assets(Scope(arena))}
    assert {reason for partitions in before.values() for reason in partitions.values()} == {MISSING}
    assert stale(arena) == {}
    with scripted_engines(arena, [], []) as engines:
        materialize(arena, engines, *EVERYTHING)
    assert stale(arena) == {}


def test_changed_settings_make_their_stage_stale_and_downstream_tables_only_once_rows_changed(
    finished_copy: MakeArena,
) -> None:
    other = finished_copy(answers={"sampling": {"max_tokens": 65}})
    why = "its settings or its code have changed"
    assert stale(other) == {"answers": dict.fromkeys(other.roster, why), "arena_report": {WHOLE: why}}  # it shows the settings
    with scripted_engines(other, [], []) as engines:
        materialize(other, engines, ("answers", "cyd"))
        found = stale(other)
        assert set(found["answers"]) == {"ann", "bob"}
        assert found["judge_votes"] == dict.fromkeys(["ann__cyd", "bob__cyd"], "the rows of answers have changed")
        assert set(found) == {"answers", "judge_votes", "battle_outcomes", "answer_scores", "sft_dataset", "dpo_dataset",
                              "kto_dataset", "benchmark_overlap", "judge_audit", "arena_report"}  # fmt: skip
        materialize(other, engines, *EVERYTHING)
    assert stale(other) == {}


def test_an_appended_competitor_is_missing_and_tables_that_read_all_competitors_are_stale(
    make_arena: MakeArena, finished_copy: MakeArena
) -> None:
    finished_copy()
    grown = make_arena(("ann", "bob", "cyd", "dan"))
    found = stale(grown)
    assert found["mined_instructions"] == {"dan": MISSING}
    assert found["unique_instructions"] == {"dan": MISSING}
    assert set(found["answers"]) == set(grown.roster)  # all of them will answer dan's instructions
    assert found["judge_votes"]["ann__dan"] == MISSING


def test_the_rows_that_a_step_read_count_even_if_they_were_replaced_meanwhile(finished_copy: MakeArena) -> None:
    arena = finished_copy()
    graph, warehouse = build_definitions(arena).resolve_asset_graph(), Warehouse(arena.warehouse)
    rows = warehouse.read("elo_ratings", [WHOLE])
    Warehouse(arena.warehouse).write("elo_ratings", WHOLE, rows.drop("partition").with_columns(pl.col("rating") + 1))
    from warrior_dagster.materialization.staleness import save_fingerprints

    save_fingerprints(graph, dg.AssetKey("answer_scores"), [WHOLE], warehouse)
    found = stale_partitions(graph, dg.AssetKey("answer_scores"), Warehouse(arena.warehouse))
    assert found == {WHOLE: "the rows of elo_ratings have changed"}


def test_the_check_can_run_alone_and_names_stale_partitions(make_arena: MakeArena) -> None:
    arena = make_arena()
    defs = build_definitions(arena)
    with scripted_engines(arena, [], []) as engines, dg.DagsterInstance.ephemeral() as instance:
        materialize(arena, engines, ("competitors", None), ("matchups", "ann__bob"))
        checks = [c for c in defs.asset_checks or [] if isinstance(c, dg.AssetChecksDefinition)]
        result = dg.materialize(
            [*arena_assets(Scope(arena)), *checks],
            selection=dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("judge_votes"), UP_TO_DATE)),
            resources={**arena_resources(Scope(arena)), "engines": engines},
            instance=instance,
        )
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    said = {name: value.value for name, value in check.metadata.items()}
    assert said == {"out_of_date": 2, "ann__cyd": MISSING, "bob__cyd": MISSING}
