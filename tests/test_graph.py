"""The whole graph with a scripted engine: the requests, the rows, and the effect of changes of the arena."""

import shutil
from collections import Counter
from collections.abc import Callable
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from tests import runs
from tests.conftest import FinishedRun, scripted_engines, small_settings
from tests.every_table import OF_EACH_KIND, arena_with
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.config.serving import VllmServer
from warrior_dagster.inference.request import Request, ServedModel
from warrior_dagster.inference.servers.base import ServerFailed
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.orchestration.catalog import arena_assets
from warrior_dagster.orchestration.definitions import build_definitions
from warrior_dagster.orchestration.running import asking_tables
from warrior_dagster.warehouse.tables import Warehouse

MakeArena = Callable[..., Arena]
STAGES_OF_COMPETITORS = [
    "mined_instructions",
    "unique_instructions",
    "instruction_difficulty",
    "instruction_embeddings",
    "selected_instructions",
    "answers",
]


def materialize(
    arena: Arena,
    *steps: tuple[str, str | None],
    instance: dg.DagsterInstance | None = None,
    starts: list[ServedModel] | None = None,
) -> list[Request]:
    """Materialize as `runs.materialize`, on a scripted engine; returns the requests that were sent.

    Engines that were started are added to `starts`.
    """
    log: list[Request] = []
    with scripted_engines(arena, log, [] if starts is None else starts) as engines:
        runs.materialize(arena, engines, *steps, instance=instance)
    return log


def everything(arena: Arena) -> list[Request]:
    return materialize(arena, *runs.EVERYTHING)


def tables(arena: Arena) -> dict[str, pl.DataFrame]:
    warehouse = Warehouse(arena.warehouse)
    return {name: warehouse.read(name) for name in (a.key.to_user_string() for a in arena_assets(Scope(arena)))}


def keys(log: list[Request]) -> Counter[str]:
    return Counter(key for request in log for key in request.keys())


@pytest.fixture(scope="module")
def of_four(tmp_path_factory: pytest.TempPathFactory, bundled_model: Path, bundled_embedder: Path) -> Arena:
    """An arena of four with everything materialized. Read only."""
    settings = small_settings(tmp_path_factory.mktemp("of_four"), bundled_model, bundled_embedder, ("ann", "bob", "cyd", "dan"))
    arena = Arena.model_validate(settings)
    everything(arena)
    return arena


def test_every_stage_has_the_number_of_rows_that_the_method_says(of_four: Arena) -> None:
    found = tables(of_four)
    selected = len(found["selected_instructions"])
    assert len(found["mined_instructions"]) == 4 * 8
    assert 4 <= selected <= 4 * 3
    assert len(found["answers"]) == 4 * selected
    assert len(found["judge_votes"]) == 6 * 2 * 2 * selected
    assert len(found["battle_outcomes"]) == 6 * selected
    scores = found["answer_scores"]
    assert scores.group_by("instruction_id").agg(pl.col("score").sum())["score"].to_list() == pytest.approx([6.0] * selected)
    assert scores.filter("gold").height == selected
    assert found["elo_ratings"]["rating"].sum() == pytest.approx(4000)
    assert found["sft_dataset"]["messages"].list.len().unique().to_list() == [2]


def test_a_second_run_sends_no_request_and_changes_no_row(finished_run: FinishedRun, finished_copy: MakeArena) -> None:
    arena = finished_copy()
    before = tables(arena)
    assert len(finished_run.log) > 0
    assert everything(arena) == []
    for name, table in tables(arena).items():
        assert table.equals(before[name]), name


@pytest.mark.long
def test_an_appended_competitor_changes_no_row_of_the_others_and_sends_only_new_requests(
    finished_run: FinishedRun, finished_copy: MakeArena, make_arena: MakeArena
) -> None:
    small = finished_copy()
    roster = small.roster
    grown = make_arena((*roster, "dan"))
    asked = keys(finished_run.log)
    before = tables(small)
    new = keys(everything(grown))
    after = tables(grown)
    assert not asked & new
    assert max((asked + new).values()) == 1
    for name in STAGES_OF_COMPETITORS[:-1]:
        assert after[name].filter(pl.col("partition").is_in(roster)).equals(before[name]), name
    for name in ("answers", "judge_votes"):
        still = after[name].join(before[name].select("partition", "row_id"), on=["partition", "row_id"], how="semi")
        assert still.equals(before[name]), name


def test_the_leaderboard_has_only_the_present_roster(of_four: Arena, make_arena: MakeArena) -> None:
    shutil.copytree(of_four.warehouse, make_arena().warehouse)
    for roster in (("ann", "bob", "cyd"), ("bob", "ann", "cyd")):  # one removed, then two swapped
        arena = make_arena(roster)
        everything(arena)
        ratings = Warehouse(arena.warehouse).read("elo_ratings")
        selected = len(Warehouse(arena.warehouse).read("selected_instructions", roster))
        assert set(ratings["competitor"]) == set(roster)
        assert ratings["battles"].to_list() == [2 * selected] * 3


def test_a_missing_matchup_is_an_error_and_not_a_smaller_leaderboard(make_arena: MakeArena) -> None:
    arena = make_arena()
    materialize(arena, ("competitors", None), ("matchups", "ann__bob"))
    with pytest.raises(LookupError, match="battle_outcomes was never materialized for ann__cyd, bob__cyd"):
        materialize(arena, ("ratings", None))


def test_a_skipped_stage_is_an_error_and_never_a_silent_tie(finished_copy: MakeArena, make_arena: MakeArena) -> None:
    finished_copy()
    more = make_arena(selection={"centres": 5})
    with pytest.raises(LookupError, match="materialize answers first"):
        materialize(more, ("selected_instructions", None), ("judge_votes", None))
    with pytest.raises(LookupError, match="materialize judge_votes first"):
        materialize(more, ("answers", None), ("battle_outcomes", None))
    longer = make_arena(answers={"sampling": {"max_tokens": 99}})
    with pytest.raises(LookupError, match="lack votes on their present answers"):
        materialize(longer, ("selected_instructions", None), ("answers", None), ("battle_outcomes", None))


def test_partitions_materialized_separately_in_any_order_give_the_rows_of_one_run(
    finished_run: FinishedRun, make_arena: MakeArena
) -> None:
    together, apart = finished_run.arena, make_arena()
    asked = keys(finished_run.log)
    steps = [(stage, name) for stage in STAGES_OF_COMPETITORS for name in reversed(apart.roster)]
    steps += [(stage, key) for stage in ("judge_votes", "battle_outcomes") for key in reversed(matchup_keys(apart.roster))]
    assert keys(materialize(apart, *steps, ("others", None))) == asked
    expected = tables(together)
    for name, table in tables(apart).items():
        assert table.equals(expected[name]), name


def test_each_model_is_loaded_once_per_run_for_any_number_of_partitions(finished_run: FinishedRun) -> None:
    assert len(finished_run.starts) == 1


def test_only_the_tables_whose_rows_come_from_models_use_engines_and_two_that_stop_them(make_arena: MakeArena) -> None:
    battles = {"verdict": "direct", "votes": "soft", "evidence": ["opinion", "execution"], "combine": "sum"}
    arena = make_arena(analysis={"categories": True}, battles=battles)
    using = {a.key.to_user_string() for a in arena_assets(Scope(arena)) if "engines" in a.required_resource_keys}
    asking = {table.name for table in asking_tables(arena)}
    assert len(asking) == 6
    assert using == asking | {"instruction_embeddings", "selected_instructions"}


def test_each_of_two_models_is_loaded_once_per_stage_and_the_running_one_comes_first(make_arena: MakeArena) -> None:
    starts: list[ServedModel] = []
    arena = make_arena()
    other = arena.competitor("bob").model_copy(update={"serve": VllmServer(dtype="float32")})
    arena = arena.model_copy(update={"competitors": (arena.competitors[0], other, arena.competitors[2])})
    materialize(arena, ("competitors", None), ("matchups", None), starts=starts)
    # Mining, difficulty, answers and votes each need both models: one load more a stage, and none twice in a row.
    assert len(starts) == 5
    assert all(a != b for a, b in pairwise(starts))


def test_a_missing_upstream_partition_is_an_error_with_its_name(make_arena: MakeArena) -> None:
    arena = make_arena()
    materialize(arena, ("mined_instructions", "bob"))
    with pytest.raises(LookupError, match="mined_instructions was never materialized for ann"):
        materialize(arena, ("unique_instructions", "bob"))
    materialize(arena, ("mined_instructions", "ann"), ("unique_instructions", "bob"))


def test_a_competitor_whose_engine_fails_loses_only_its_own_partition(
    make_arena: MakeArena, monkeypatch: pytest.MonkeyPatch
) -> None:
    arena = make_arena()
    from warrior_dagster.inference.engines import Engines

    complete = Engines.complete

    def failing(self: Engines, requests: Any, *rest: Any) -> Any:
        asked = list(requests)
        if asked[0].tag["competitor"] == "bob":
            raise ServerFailed("no memory")
        return complete(self, asked, *rest)

    bob = arena.competitor("bob").model_copy(update={"serve": VllmServer(dtype="float32")})
    arena = arena.model_copy(update={"competitors": (arena.competitors[0], bob, arena.competitors[2])})

    monkeypatch.setattr(Engines, "complete", failing)
    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(dg.Failure, match=r"1 of 3 partitions were not materialized\.\nbob: no memory"):
            materialize(arena, ("mined_instructions", None), instance=instance)
        assert instance.get_materialized_partitions(dg.AssetKey("mined_instructions")) == {"ann", "cyd"}
    assert set(Warehouse(arena.warehouse).partitions("mined_instructions")) == {"ann", "cyd"}


def test_a_change_of_a_stage_changes_only_the_code_version_of_that_stage(make_arena: MakeArena) -> None:
    def versions(**values: Any) -> dict[str, str]:
        return {
            k.to_user_string(): v or ""
            for a in arena_assets(Scope(make_arena(**values)))
            for k, v in a.code_versions_by_key.items()
        }

    base = versions()
    for values, changed in (
        ({"ratings": {"alpha": 0.5, "bootstrap_rounds": 20}}, {"elo_ratings", "answer_scores", "rating_history"}),
        ({"selection": {"centres": 5}}, {"selected_instructions", "funnel"}),  # which says why instructions were dropped
        ({"difficulty": {"verdict": "direct", "keep": 2.0}}, {"instruction_difficulty", "funnel"}),
        ({"deduplication": {"threshold": 0.9}}, {"unique_instructions", "funnel"}),
    ):
        other = versions(**values)
        assert {name for name in base if base[name] != other[name]} == changed | {"arena_report"}  # which shows all settings


def test_the_groups_are_in_one_order_and_hold_one_kind_of_partition_each() -> None:
    for settings in OF_EACH_KIND.values():
        scope = Scope(arena_with(**settings))
        assets = arena_assets(scope)
        group = {asset.key: name for asset in assets for name in asset.group_names_by_key.values()}
        ends = {(group[parent], group[asset.key]) for asset in assets for parent in asset.asset_deps[asset.key]}
        order = list(dict.fromkeys(group.values()))
        assert set(order) <= {"mining", "curation", "answers", "evidence", "battles", "ratings", "datasets", "analysis"}
        TopologicalSorter({name: {a for a, b in ends if b == name and a != name} for name in order}).prepare()  # no cycle
        schemes: dict[str, set[object]] = {}
        for asset in assets:
            schemes.setdefault(group[asset.key], set()).add(asset.partitions_def)
        # The UI offers to backfill only missing partitions where there is one kind of them, and assets without partitions.
        assert all(len(of_group - {None}) <= 1 for of_group in schemes.values())


def test_the_definitions_load_and_have_the_designed_edges(make_arena: MakeArena) -> None:
    defs = build_definitions(make_arena())
    dg.Definitions.validate_loadable(defs)
    graph = defs.resolve_asset_graph()

    def parents(name: str) -> set[str]:
        return {key.to_user_string() for key in graph.get(dg.AssetKey(name)).parent_keys}

    assert parents("unique_instructions") == {"mined_instructions"}
    assert parents("answers") == {"selected_instructions"}
    assert parents("judge_votes") == {"answers"}  # which read all selected instructions
    assert parents("elo_ratings") == {"battle_outcomes"}
    assert parents("sft_dataset") == {"benchmark_overlap"}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description
        assert node.owners
        assert node.kinds
        assert node.code_version
