"""Wrong rows in the warehouse or from an engine fail their check, which names them and blocks everything downstream."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import lancedb
import polars as pl
import pytest

from tests.conftest import ScriptedEngine, scripted_engines
from tests.runs import materialize
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.reference_sets import tasks_of
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.materialization.dagster_internals import graph_of_assets
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.staleness import MISSING, stale_partitions
from warrior_dagster.orchestration.catalog import arena_assets
from warrior_dagster.orchestration.checks.row_checks import row_checks
from warrior_dagster.orchestration.running import RunFailed, run_arena
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

MakeArena = Callable[..., Arena]
Change = Callable[[pl.DataFrame], pl.DataFrame]


UP_TO_THE_EXPORTS = [(step, None) for step in ("competitors", "matchups", "ratings", "datasets")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, bundled_model: Path, bundled_embedder: Path) -> Arena:
    """An arena with everything materialized."""
    folder = tmp_path_factory.mktemp("whole")
    arena = Arena.model_validate(
        {
            "name": "small",
            "competitors": [{"name": n, "model": str(bundled_model), "system_prompt": n} for n in ("ann", "bob", "cyd")],
            "warehouse": str(folder / "warehouse"),
            "mining": {"settings": [{"temperature": 1.0, "top_p": 0.99}], "samples": 6, "max_tokens": 64},
            "difficulty": {"verdict": "direct", "keep": 1.0},
            "embedding": {"model": str(bundled_embedder)},
            "selection": {"centres": 2},
            "battles": {"verdict": "direct", "votes": "soft"},
            "ratings": {"bootstrap_rounds": 0},
            "export": {"folder": str(folder / "exports")},
        }
    )
    with scripted_engines(arena, [], []) as engines:
        results = materialize(arena, engines, *UP_TO_THE_EXPORTS, checks=True)
    assert [c for r in results for c in r.get_asset_check_evaluations() if not c.passed] == []
    return arena


def evaluated(arena: Arena, table: str) -> dict[str, Any]:
    """The results of an asset's checks by name, in a run of the checks only."""
    (alone,) = (one for one in row_checks(Scope(arena)) if {key.asset_key for key in one.check_keys} == {dg.AssetKey(table)})
    result = dg.materialize(
        [alone],
        selection=dg.AssetSelection.checks(alone),
        resources={"warehouse": Warehouse(arena.warehouse)},
        raise_on_error=False,
    )
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def first(value: pl.Expr, column: str) -> Change:
    return lambda rows: rows.with_columns(pl.when(pl.int_range(pl.len()) == 0).then(value).otherwise(column).alias(column))


def shown(role: str, text: str) -> pl.Expr:
    return pl.lit([{"role": role, "content": text}], pl.List(pl.Struct({"role": pl.String, "content": pl.String})))


HUMANEVAL = tasks_of(Arena.model_fields["export"].default.benchmarks[0])["HumanEval/3"]
WRONG: list[tuple[str, str, str, Change, str]] = [
    ("answers", "bob", "not_empty", lambda r: r.with_columns(usable=False), "bob: none of its 6 rows is a usable answer"),
    ("judge_votes", "ann__cyd", "not_empty", lambda r: r.with_columns(status=pl.lit("failed")), "none of its 12 rows"),
    ("judge_votes", "ann__cyd", "verdicts_are_readable", lambda r: r.with_columns(
        status=pl.when(pl.int_range(pl.len()) < 7).then(pl.lit("failed")).otherwise("status")), "7 of 12 verdicts"),
    ("instruction_difficulty", "cyd", "verdicts_are_readable", lambda r: r.with_columns(scored_by=0, abstained=1).cast(
        {"scored_by": pl.Int64, "abstained": pl.Int64}), "verdicts could not be read; at most 50% may be"),
    ("battle_outcomes", "bob__cyd", "not_empty", lambda r: r.with_columns(outcome=pl.lit(None, pl.Float64)), "a battle with"),
    ("battle_outcomes", "bob__cyd", "numbers_add_up", first(pl.col("local_left") + 0.1, "local_left"), "shares of the votes"),
    ("selected_instructions", "bob", "texts_are_unique", lambda r: r.with_columns(instruction=pl.lit("one")), "2 rows with"),
    ("elo_ratings", WHOLE, "numbers_add_up", first(pl.col("rating") + 1, "rating"), "ratings add up to +1 around 1000"),
    ("elo_ratings", WHOLE, "not_empty", lambda r: r.clear(), "no row is present"),
    ("answer_scores", WHOLE, "numbers_add_up", first(pl.col("score") + 0.1, "score"), "do not add up to their number of pairs"),
    ("answer_scores", WHOLE, "not_empty", lambda r: r.clear(), "no row is present"),
    ("sft_dataset", WHOLE, "texts_are_unique", lambda r: r.with_columns(messages=pl.col("messages").first()), "the prompt"),
    ("sft_dataset", WHOLE, "only_the_best_is_shown", first(shown("assistant", "pass"), "messages"), "not the best one"),
    ("dpo_dataset", WHOLE, "only_the_best_is_shown",
     lambda r: r.with_columns(chosen_competitor="rejected_competitor", chosen="rejected"), "not the best one"),
    ("kto_dataset", WHOLE, "only_the_best_is_shown", lambda r: r.with_columns(label=True), "not the best one"),
    ("dpo_dataset", WHOLE, "no_benchmark_inside", first(shown("assistant", HUMANEVAL), "rejected"), "such as HumanEval/3 in '"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "partition", "check", "change", "words"), WRONG, ids=[f"{w[0]}-{w[2]}" for w in WRONG])
def test_wrong_rows_fail_their_check_which_names_them_and_cannot_be_read(
    whole: Arena, tmp_path: Path, table: str, partition: str, check: str, change: Change, words: str
) -> None:
    exports = whole.export.model_copy(update={"folder": str(tmp_path / "exports")})
    arena = whole.model_copy(update={"warehouse": str(tmp_path / "warehouse"), "export": exports})
    shutil.copytree(whole.warehouse, arena.warehouse)
    shutil.copytree(whole.export.folder, exports.folder)
    warehouse = Warehouse(arena.warehouse)
    right = warehouse.read(table, [partition]).drop("partition")
    wrong = change(right)
    assert wrong.schema == right.schema
    warehouse.write(table, partition, wrong)
    found = evaluated(arena, table)
    assert not found[check].passed
    assert found[check].severity == dg.AssetCheckSeverity.ERROR
    assert words in found[check].description
    assert found[check].metadata["partitions_wrong"].value == 1
    existing = {kind for kind in exports.formats if (Path(exports.folder) / kind).exists()}
    assert existing == set(exports.formats) - {table.removesuffix("_dataset")}  # no trainer finds the invalidated files
    with pytest.raises(LookupError, match=f"never materialized for {partition} .*a failed check invalidated it"):
        warehouse.read(table, [partition])
    warehouse.write(table, partition, right)  # a rewrite makes them readable again
    assert warehouse.read(table, [partition]).height == right.height


def test_a_kto_data_set_without_one_of_the_labels_is_a_warning_that_invalidates_nothing(whole: Arena, tmp_path: Path) -> None:
    arena = whole.model_copy(update={"warehouse": str(tmp_path / "warehouse")})
    shutil.copytree(whole.warehouse, arena.warehouse)
    warehouse = Warehouse(arena.warehouse)
    warehouse.write("kto_dataset", WHOLE, warehouse.read("kto_dataset", [WHOLE]).drop("partition").filter(label=False))
    found = evaluated(arena, "kto_dataset")["both_labels_occur"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "labels are false: KTO needs desirable and undesirable answers" in (found.description or "")
    assert not warehouse.read("kto_dataset", [WHOLE]).is_empty()


def test_a_goal_that_is_missed_fails_its_check_and_invalidates_nothing(whole: Arena, tmp_path: Path) -> None:
    goals = whole.goals.model_copy(update={"answers_with_code": 1.0, "decided_battles": 1.0})
    arena = whole.model_copy(update={"warehouse": str(tmp_path / "warehouse"), "goals": goals})
    shutil.copytree(whole.warehouse, arena.warehouse)
    warehouse = Warehouse(arena.warehouse)
    rows = warehouse.read("sft_dataset", [WHOLE]).drop("partition")
    for answer, passed in (("```python\ndef f():\n    return 1\n```", True), ("Bake it for an hour.", False)):
        warehouse.write("sft_dataset", WHOLE, rows.with_columns(messages=shown("assistant", answer)))
        found = evaluated(arena, "sft_dataset")["reaches_its_goal"]
        assert (found.passed, found.severity) == (passed, dg.AssetCheckSeverity.ERROR)
    assert f"0 of {len(rows)} answers have code; expected at least 100%" in (found.description or "")
    battles = evaluated(arena, "battle_outcomes")["reaches_its_goal"]  # opinions decide this arena
    assert "battles are decided by tests or behaviour" in (battles.description or "")
    assert not warehouse.read("battle_outcomes").is_empty()
    assert "reaches_its_goal" not in evaluated(whole, "sft_dataset")


def test_repeated_rows_fail_their_check(whole: Arena, tmp_path: Path) -> None:
    arena = whole.model_copy(update={"warehouse": str(tmp_path / "warehouse")})
    shutil.copytree(whole.warehouse, arena.warehouse)
    table = lancedb.connect(arena.warehouse).open_table("answers")
    table.add(table.search().where("partition = 'cyd'").limit(2).to_arrow())
    found = evaluated(arena, "answers")
    assert found["rows_are_unique"].description.startswith("cyd: 4 rows with the id of another: ")
    assert set(Warehouse(arena.warehouse).partitions("answers")) == {"ann", "bob"}
    (asset,) = (a for a in arena_assets(Scope(arena)) if a.key.to_user_string() == "answers")
    graph = graph_of_assets(arena_assets(Scope(arena)))
    assert stale_partitions(Scope(arena), graph, asset.key, Warehouse(arena.warehouse)) == {"cyd": MISSING}


def test_a_stage_without_rows_fails_and_a_competitor_without_rows_does_not(whole: Arena, tmp_path: Path) -> None:
    arena = whole.model_copy(update={"warehouse": str(tmp_path / "warehouse")})
    shutil.copytree(whole.warehouse, arena.warehouse)
    warehouse = Warehouse(arena.warehouse)
    for table in ("unique_instructions", "instruction_difficulty", "instruction_embeddings", "selected_instructions"):
        for partition in arena.roster:
            assert evaluated(arena, table)["not_empty"].passed
            rows = warehouse.read(table, [partition]).drop("partition")
            warehouse.write(table, partition, rows.with_columns(kept=False) if "kept" in rows.columns else rows.clear())
        assert "nor is one of any other partition" in evaluated(arena, table)["not_empty"].description
        assert warehouse.partitions(table) == {}


def test_an_empty_export_and_a_silent_competitor_are_warnings_that_invalidate_nothing(whole: Arena, tmp_path: Path) -> None:
    arena = whole.model_copy(update={"warehouse": str(tmp_path / "warehouse")})
    shutil.copytree(whole.warehouse, arena.warehouse)
    warehouse = Warehouse(arena.warehouse)
    warehouse.write("sft_dataset", WHOLE, warehouse.read("sft_dataset").drop("partition").clear())
    mined = warehouse.read("mined_instructions", ["bob"]).drop("partition")
    warehouse.write("mined_instructions", "bob", mined.with_columns(status=pl.lit("empty")))
    for table, name in (("sft_dataset", "not_empty"), ("mined_instructions", "everybody_contributes")):
        found = evaluated(arena, table)
        assert {c.check_name for c in found.values() if not c.passed} == {name}
        assert found[name].severity == dg.AssetCheckSeverity.WARN
    assert set(warehouse.partitions("mined_instructions")) == set(arena.roster)


class Garbled(ScriptedEngine):
    """Returns other text than the letter of a verdict; with `silent`, it also reveals no instruction."""

    def __init__(self, silent: bool) -> None:
        super().__init__([])
        self.silent = silent

    async def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[tuple[Request, list[Completion]]]:
        async for request, completions in super().stream(requests):
            judged = "choice" in request.params and '"B"' in request.params
            if judged or self.silent:
                garbled = [Completion(c.key, c.sample, "?" * judged, "stop", 100, 1, {}) for c in completions]
                yield request, garbled
            else:
                yield request, completions


@contextmanager
def garbled(arena: Arena, silent: bool = False) -> Iterator[Engines]:
    with (
        LedgerWriter(arena.warehouse) as ledger,
        Engines(arena.engine, ledger, Path(arena.warehouse), start=lambda *_: Garbled(silent)) as engines,
    ):
        yield engines


def test_a_failed_check_stops_downstream_assets_in_its_run_and_in_later_runs(make_arena: MakeArena) -> None:
    arena = make_arena()
    with garbled(arena) as engines:
        materialize(arena, engines, ("competitors", None), checks=True)
        (result,) = materialize(arena, engines, ("matchups", None), succeeds=False, checks=True)
        made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}
        assert made == {"judge_votes"}
        (check,) = (c for c in result.get_asset_check_evaluations() if c.check_name == "verdicts_are_readable")
        assert "ann__bob: " in str(check.description)
        with pytest.raises(LookupError, match="judge_votes was never materialized for ann__bob"):
            materialize(arena, engines, ("battle_outcomes", "ann__bob"))


def test_warrior_run_fails_with_the_findings_of_the_check(
    make_arena: MakeArena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    arena = make_arena()
    with garbled(arena, silent=True) as engines, pytest.raises(RunFailed) as failed:
        run_arena(arena, engines)
    findings = "\n".join(f"{name}: no row is usable, nor is one of any other partition" for name in arena.roster)
    assert str(failed.value) == f"mined_instructions: the check not_empty failed\n{findings}"
