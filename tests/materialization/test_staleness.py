"""Stale partitions are exactly those whose fingerprint changed, with the reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from tests.conftest import scripted_engines
from tests.runs import EVERYTHING, materialize, stale
from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.staleness import COMPETITORS, MISSING, reads, stale_partitions
from warrior_dagster.orchestration.catalog import arena_assets
from warrior_dagster.orchestration.checks.up_to_date import UP_TO_DATE
from warrior_dagster.orchestration.definitions import arena_resources, build_definitions
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

MakeArena = Callable[..., Arena]


def test_a_partition_reads_the_partitions_that_its_table_declares(make_arena: MakeArena) -> None:
    roster = ["ann", "bob", "cyd", "dan"]
    arena = make_arena(tuple(roster))
    graph, scope = build_definitions(arena).resolve_asset_graph(), Scope(arena)
    assert reads(scope, graph, dg.AssetKey("mined_instructions"), "bob") == {}
    assert reads(scope, graph, dg.AssetKey("unique_instructions"), "bob") == {"mined_instructions": ["ann", "bob"]}
    assert reads(scope, graph, dg.AssetKey("answers"), "bob") == {"selected_instructions": roster}
    assert reads(scope, graph, dg.AssetKey("judge_votes"), "bob__dan") == {
        "answers": ["bob", "dan"],
        "selected_instructions": roster,
    }
    assert len(reads(scope, graph, dg.AssetKey("elo_ratings"), WHOLE)["battle_outcomes"]) == 6
    assert reads(scope, graph, dg.AssetKey("answer_scores"), WHOLE)["elo_ratings"] == [WHOLE]


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


def test_reasoning_in_the_exports_is_compared_with_the_benchmarks_again(finished_copy: MakeArena) -> None:
    other = finished_copy(export={"reasoning": True})
    assert set(stale(other)) >= {"benchmark_overlap", "sft_dataset", "dpo_dataset", "kto_dataset"}


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

    save_fingerprints(Scope(arena), graph, dg.AssetKey("answer_scores"), [WHOLE], warehouse)
    found = stale_partitions(Scope(arena), graph, dg.AssetKey("answer_scores"), Warehouse(arena.warehouse))
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


def roster(bundled_model: Path, *names: str, **changed: dict[str, Any]) -> list[dict[str, Any]]:
    """The competitors of `finished_copy`, with some settings of some changed; the names may be others, in another order."""
    prompt = "You are {}, who writes Python."
    same = {name: {"name": name, "model": str(bundled_model), "system_prompt": prompt.format(name)} for name in names}
    return [values | changed.get(name, {}) for name, values in same.items()]


WHY = "the competitors that it depends on, or their own settings, have changed"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"license": "mit"}, {}),
        ({"sampling": {"temperature": 0.5, "max_tokens": 64}}, {"answers": {"cyd"}}),
        (
            {"system_prompt": "You are terse."},
            {"mined_instructions": {"cyd"}, "answers": {"cyd"}, "judge_votes": {"ann__bob"}},
        ),
        ({"model": "org/other"}, {"mined_instructions": {"cyd"}, "answers": {"cyd"}, "judge_votes": {"ann__bob"}}),
        (
            {"serve": {"kind": "vllm", "quantization": "fp8"}},
            {"mined_instructions": {"cyd"}, "answers": {"cyd"}, "judge_votes": {"ann__bob"}},
        ),
        ({"serve": {"kind": "vllm", "max_model_len": 1024}}, {}),
    ],
)
def test_a_competitors_own_settings_make_exactly_what_it_wrote_stale(
    finished_copy: MakeArena, bundled_model: Path, changed: dict[str, Any], expected: dict[str, set[str]]
) -> None:
    arena = finished_copy(competitors=roster(bundled_model, "ann", "bob", "cyd", cyd=changed))
    found = stale(arena)
    found.pop("arena_report", None)  # it shows all settings
    assert {table: set(partitions) for table, partitions in found.items()} == expected
    assert {reason for partitions in found.values() for reason in partitions.values()} <= {WHY}


def test_the_settings_of_a_panel_make_the_scores_that_it_gave_stale(finished_copy: MakeArena, bundled_model: Path) -> None:
    found = stale(finished_copy(competitors=roster(bundled_model, "ann", "bob", "cyd", bob={"system_prompt": "No."})))
    assert found["instruction_difficulty"] == {"ann": WHY}  # whose panel is bob; ann rates the others
    assert found["judge_votes"] == {"ann__cyd": WHY}


def test_a_changed_prompt_makes_its_readers_stale_once_its_rows_are_others_and_nothing_after_a_run(
    finished_copy: MakeArena, bundled_model: Path
) -> None:
    arena = finished_copy(competitors=roster(bundled_model, "ann", "bob", "cyd", cyd={"system_prompt": "You are terse."}))
    with scripted_engines(arena, [], []) as engines:
        materialize(arena, engines, ("answers", "cyd"))
        found = stale(arena)
        assert set(found["judge_votes"]) == {"ann__bob", "ann__cyd", "bob__cyd"}
        assert found["judge_votes"]["ann__cyd"] == "the rows of answers have changed"
        materialize(arena, engines, *EVERYTHING)
    assert stale(arena) == {}


def test_another_order_of_the_roster_makes_what_depends_on_it_stale(finished_copy: MakeArena, bundled_model: Path) -> None:
    found = stale(finished_copy(competitors=roster(bundled_model, "bob", "ann", "cyd")))
    assert set(found["unique_instructions"]) == set(found["selected_instructions"]) == {"ann", "bob", "cyd"}
    assert found["unique_instructions"]["cyd"] == WHY
    assert "mined_instructions" not in found
    assert "answers" not in found


def test_an_appended_competitor_makes_nothing_stale_that_is_stable(finished_copy: MakeArena, bundled_model: Path) -> None:
    found = stale(finished_copy(competitors=roster(bundled_model, "ann", "bob", "cyd", "dan")))
    for table in ("mined", "unique", "selected"):
        assert found[f"{table}_instructions"] == {"dan": MISSING}
    for table in ("instruction_difficulty", "instruction_embeddings"):
        assert found[table] == {"dan": MISSING}


def test_fingerprints_of_earlier_versions_stay_valid(finished_copy: MakeArena) -> None:
    arena = finished_copy()
    warehouse = Warehouse(arena.warehouse)
    for table in ("mined_instructions", "unique_instructions", "judge_votes"):
        own = {p: json.loads(text) for p, text in warehouse.fingerprints(table).items()}
        assert all(then.pop(COMPETITORS) for then in own.values())
        warehouse.save_fingerprints(table, {p: json.dumps(then) for p, then in own.items()})
    assert stale(arena) == {}
