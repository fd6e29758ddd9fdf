"""The requests of each change of an arena: exactly the new ones, and no other row changes."""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmarks.increment import needed, paid
from tests import conftest
from tests.conftest import FinishedRun, scripted_engines, small_settings
from tests.runs import asking_partitions
from tests.test_graph import everything, keys, materialize, tables
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.orchestration.running import asking_tables, failed_requests, retry_failed
from warrior_dagster.planning.cost import plan, totals
from warrior_dagster.planning.starts import seconds_of_a_start
from warrior_dagster.stages.mining import cleaning
from warrior_dagster.warehouse.tables import Warehouse

MakeArena = Callable[..., Arena]
ROSTER = ("ann", "bob", "cyd", "dan")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, bundled_model: Path, bundled_embedder: Path) -> Callable[..., Arena]:
    """Makes arenas like one that was run once, each on a copy of its warehouse."""
    first = tmp_path_factory.mktemp("first")

    def make(folder: Path, roster: tuple[str, ...] = ROSTER, **values: Any) -> Arena:
        competitors = [
            {"name": n.split("=")[-1], "model": str(bundled_model), "system_prompt": f"You are {n.split('=')[0]}."}
            for n in roster
        ]
        base = small_settings(folder, bundled_model, bundled_embedder, ()) | {
            "competitors": competitors,
            "difficulty": {"verdict": "direct", "keep": 5.0, "panel": 2},
            "analysis": {"categories": True},
        }
        return Arena.model_validate(base | {k: base.get(k, {}) | v if isinstance(v, dict) else v for k, v in values.items()})

    everything(make(first))

    def changed(folder: Path, roster: tuple[str, ...] = ROSTER, **values: Any) -> Arena:
        shutil.copytree(first / "warehouse", folder / "warehouse")
        return make(folder, roster, **values)

    return changed


def refuse(monkeypatch: pytest.MonkeyPatch, one_in: int, attempts: int = 1) -> Callable[[], None]:
    """Let the scripted engine refuse one of `one_in` requests; returns a function that ends this."""
    answer = conftest.scripted

    def often_refused(request: Request, sample: int, key: str) -> Completion:
        given = answer(request, sample, key)
        return Completion(key, sample, error="HTTP 400: no", attempts=attempts) if int(key, 16) % one_in == 0 else given

    monkeypatch.setattr(conftest, "scripted", often_refused)
    return lambda: monkeypatch.setattr(conftest, "scripted", answer)


def materialize_asking(arena: Arena) -> list[Request]:
    """Materialize all tables by competitor and matchup, and the others that ask models; returns the requests that were sent."""
    others = [(table.name, None) for table in asking_tables(arena) if table.partitioned_by == "nothing"]
    return materialize(arena, ("competitors", None), ("matchups", None), *others)


def sent_requests(arena: Arena) -> Counter[str]:
    """Run a changed arena; checks that it sent exactly the planned new requests, each once."""
    had = paid(arena)
    sent = keys(materialize_asking(arena))
    assert set(sent) == needed(arena) - had
    assert max(sent.values(), default=1) == 1
    ledger = LedgerReader(arena.warehouse)
    assert {line.to_send for line in plan(arena, ledger, Warehouse(arena.warehouse))} == {0}
    return sent


def rows_of(arena: Arena, roster: tuple[str, ...] = ROSTER) -> dict[str, pl.DataFrame]:
    warehouse = Warehouse(arena.warehouse)
    return {
        table: warehouse.read(table, [key for key in keys if set(key.split("__")) <= set(roster)])
        for table, keys in asking_partitions(arena).items()
    }


def test_appending_a_competitor_sends_only_its_own_requests_and_changes_no_other_row(
    before: Callable[..., Arena], tmp_path: Path
) -> None:
    arena = before(tmp_path, (*ROSTER, "eve"))
    old = rows_of(arena)
    sent = sent_requests(arena)
    new = rows_of(arena)
    assert new["mined_instructions"].equals(old["mined_instructions"])
    assert new["instruction_difficulty"].equals(old["instruction_difficulty"])
    for table in ("task_categories", "answers", "judge_votes"):
        mine = old[table].select("partition", "row_id")
        assert new[table].join(mine, on=["partition", "row_id"], how="semi").equals(old[table])
    warehouse = Warehouse(arena.warehouse)
    selected = warehouse.read("selected_instructions", arena.roster)
    all_, fresh = len(selected), selected.filter(competitor="eve").height
    rated = warehouse.read("instruction_difficulty", ["eve"]).height
    votes = 4 * all_ * 3 * 2 + 6 * (fresh * 3 * 2 + (all_ - fresh) * 2)  # eve's matchups; the others, where eve judges too
    assert sent.total() == 8 + 2 * rated + fresh + all_ + 4 * fresh + votes


def test_removing_a_competitor_sends_only_what_others_now_judge_and_adding_it_back_sends_nothing(
    before: Callable[..., Arena], tmp_path: Path
) -> None:
    arena = before(tmp_path, ROSTER[:3])
    sent = sent_requests(arena)
    assert sent.total() == 0  # cyd's panel is ann and bob, and all matchups of the three were judged by cyd, ann and bob
    assert materialize(arena, ("others", None)) == []
    leaderboard = Warehouse(arena.warehouse).read("elo_ratings")
    assert set(leaderboard["competitor"]) == set(ROSTER[:3])
    shown = Warehouse(arena.warehouse).read("sft_dataset")
    assert set(shown["competitor"]) <= set(ROSTER[:3])
    assert set(shown["attacker"]) <= set(ROSTER[:3])
    back = arena.model_copy(update={"competitors": before(tmp_path / "back").competitors})
    assert sent_requests(back).total() == 0


def test_removing_the_first_competitor_sends_the_requests_of_the_changed_panels(
    before: Callable[..., Arena], tmp_path: Path
) -> None:
    arena = before(tmp_path, ROSTER[1:])
    assert sent_requests(arena).total() > 0


def test_renaming_a_competitor_sends_no_request(before: Callable[..., Arena], tmp_path: Path) -> None:
    assert sent_requests(before(tmp_path, ("ann", "bob=bert", "cyd", "dan"))).total() == 0


def test_another_prompt_of_one_competitor_sends_its_requests_and_those_about_its_texts(
    before: Callable[..., Arena], tmp_path: Path
) -> None:
    arena = before(tmp_path, ("ann", "bob", "cyd", "dora=dan"))
    had = paid(arena)
    assert 0 < sent_requests(arena).total() < len(had)


def test_more_samples_send_only_the_new_ones(before: Callable[..., Arena], tmp_path: Path) -> None:
    arena = before(tmp_path, mining={"samples": 10})
    sent = keys(materialize(arena, ("mined_instructions", None)))
    assert sent.total() == 4 * 2
    assert not set(sent) & set(sent_requests(arena))


def test_a_lower_threshold_rates_nothing_again(before: Callable[..., Arena], tmp_path: Path) -> None:
    arena = before(tmp_path, difficulty={"keep": 2.0})
    assert materialize(arena, ("instruction_difficulty", None)) == []
    assert sent_requests(arena).total() > 0


def test_another_prompt_of_judges_sends_all_votes_and_nothing_else(before: Callable[..., Arena], tmp_path: Path) -> None:
    prompt = "Which is better?\n$instruction\n$answer_a\n$answer_b\nAnswer A or B."
    arena = before(tmp_path, battles={"prompt": prompt})
    selected = len(Warehouse(arena.warehouse).read("selected_instructions", arena.roster))
    assert sent_requests(arena).total() == 6 * selected * 2 * 2


def test_a_changed_parser_reads_the_ledger_again_and_sends_nothing(
    before: Callable[..., Arena], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arena = before(tmp_path)
    clean = cleaning.clean
    monkeypatch.setattr("warrior_dagster.stages.mining.sampling.clean", lambda text, **how: clean(text + " Thanks", **how))
    assert materialize(arena, ("mined_instructions", None)) == []
    mined = Warehouse(arena.warehouse).read("mined_instructions", arena.roster)
    assert mined.filter(status="ok")["instruction"].str.ends_with(" Thanks").all()


@pytest.mark.parametrize("change", ["nothing", "appended", "judge", "samples"])
def test_the_plan_predicts_the_requests_and_marks_estimates(before: Callable[..., Arena], tmp_path: Path, change: str) -> None:
    roster = (*ROSTER, "eve") if change == "appended" else ROSTER
    judge: dict[str, Any] = {"battles": {"prompt": "$instruction $answer_a $answer_b A or B?"}}
    samples: dict[str, Any] = {"mining": {"samples": 10}}
    values = judge if change == "judge" else samples if change == "samples" else {}
    arena = before(tmp_path, roster, **values)
    ledger = LedgerReader(arena.warehouse)
    planned = {line.stage: line for line in plan(arena, ledger, Warehouse(arena.warehouse))}
    sent = keys(materialize_asking(arena))
    exact = {stage: line.to_send - line.estimated for stage, line in planned.items()}
    estimated = sum(line.estimated for line in planned.values())
    if change in ("nothing", "judge"):
        assert estimated == 0
        assert sum(exact.values()) == sent.total()
    else:
        assert exact["mined_instructions"] == {"appended": 8, "samples": 4 * 2}[change]
        assert planned["mined_instructions"].estimated == 0
        assert estimated > 0
        assert all("expected: " in line.basis for line in planned.values() if line.estimated)
        if change == "appended":  # the effect of more samples on a selection of three is unpredictable
            assert sent.total() / 2 < sum(line.to_send for line in planned.values()) < sent.total() * 2


def test_the_plan_of_an_arena_that_never_ran_is_the_maximum_cost(make_arena: MakeArena) -> None:
    speed = {"prompt": 1000.0, "completion": 100.0}
    arena = make_arena(engine={"serve": {"kind": "vllm", "speed": speed}, "price_per_gpu_hour": 3.0})
    ledger = LedgerReader(arena.warehouse)
    planned = {line.stage: line for line in plan(arena, ledger, Warehouse(arena.warehouse))}
    sent = keys(materialize_asking(arena))
    assert (planned["mined_instructions"].to_send, planned["mined_instructions"].estimated) == (3 * 8, 0)
    assert {stage: line.to_send for stage, line in planned.items()} == {
        "mined_instructions": 24, "instruction_difficulty": 24, "answers": 27, "judge_votes": 54
    }  # fmt: skip
    assert sum(line.to_send for line in planned.values()) >= sent.total()
    mining = planned["mined_instructions"]
    assert (mining.completion_tokens, mining.high.completion_tokens, mining.engine_starts) == (24 * 32, 24 * 64, 1)
    seconds = seconds_of_a_start(arena, mining.model) + mining.prompt_tokens / 1000 + 24 * 32 / 100
    assert mining.gpu_hours == pytest.approx(seconds / 3600)
    assert mining.cost == pytest.approx(3.0 * seconds / 3600)
    assert totals(planned.values())["cost"] == pytest.approx(3.0 * sum(line.gpu_hours or 0 for line in planned.values()))


def test_failed_requests_are_error_rows_and_a_retry_sends_them_again(
    make_arena: MakeArena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    arena = make_arena(engine={"max_error_rate": 0.9})
    relent = refuse(monkeypatch, one_in=7, attempts=3)
    everything(arena)
    failed = failed_requests(arena)
    assert {reason for kinds in failed.values() for reason in kinds} == {"HTTP 400: no"}
    votes = Warehouse(arena.warehouse).read("judge_votes", asking_partitions(arena)["judge_votes"])
    assert set(votes.filter(pl.col("error").is_not_null())["attempts"]) == {3}
    relent()
    had, log = paid(arena), list[Request]()
    with scripted_engines(arena, log, []) as engines:
        retry_failed(arena, engines)
    assert failed_requests(arena) == {}
    assert set(keys(log)) == needed(arena) - had
    assert materialize_asking(arena) == []


SECOND = """
import sys
from tests.conftest import BLANK
from tests.test_graph import everything, keys
from warrior_dagster.analysis import pictures
from warrior_dagster.config.arena import Arena
vars(pictures).update(BLANK)  # as in the run that theirs is compared with
print(keys(everything(Arena.model_validate_json(sys.argv[1]))).total())
"""


def test_two_concurrent_processes_send_each_request_once_and_write_the_tables_of_one(
    make_arena: MakeArena, finished_run: FinishedRun
) -> None:
    arena = make_arena()
    command = [sys.executable, "-W", "ignore", "-c", SECOND, arena.model_dump_json()]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(2)]
    counts = [int(process.communicate()[0].split()[-1]) for process in both]
    assert sum(counts) == keys(finished_run.log).total()
    expected = tables(finished_run.arena)
    for name, table in tables(arena).items():
        assert table.equals(expected[name]), name


def test_a_plan_after_a_rename_has_nothing_to_send_and_one_after_another_embedder_is_estimated(
    before: Callable[..., Arena], tmp_path: Path
) -> None:
    renamed = before(tmp_path / "renamed", ("ann", "bob=bert", "cyd", "dan"))
    ledger = LedgerReader(renamed.warehouse)
    assert {line.to_send for line in plan(renamed, ledger, Warehouse(renamed.warehouse))} == {0}
    other = before(tmp_path / "other", embedding={"model": "org/never-run"})
    ledger = LedgerReader(other.warehouse)
    planned = {line.stage: line for line in plan(other, ledger, Warehouse(other.warehouse))}
    assert planned["answers"].estimated > 0
    assert "still to be embedded" in planned["answers"].basis


def test_a_plan_with_two_identical_competitors_succeeds(before: Callable[..., Arena], tmp_path: Path) -> None:
    arena = before(tmp_path, (*ROSTER, "ann=twin"), answers={"sampling": {"max_tokens": 50}})
    ledger = LedgerReader(arena.warehouse)
    assert sum(line.to_send for line in plan(arena, ledger, Warehouse(arena.warehouse))) > 0
    everything(arena)


def test_a_retry_of_a_partly_materialized_arena_sends_failed_requests_and_reports_where_it_stopped(
    make_arena: MakeArena, monkeypatch: pytest.MonkeyPatch, memory_instance: None
) -> None:
    arena = make_arena(engine={"max_error_rate": 0.9})
    relent = refuse(monkeypatch, one_in=3)
    materialize(arena, ("mined_instructions", "ann"), ("mined_instructions", "cyd"), ("unique_instructions", "ann"))
    relent()
    log = list[Request]()
    with scripted_engines(arena, log, []) as engines:
        result = retry_failed(arena, engines)
    assert failed_requests(arena) == {}
    assert 0 < keys(log).total() < 16
    assert (result["rows"]["mined_instructions"], result["rows"]["answers"], result["ratings"]) == (16, 0, [])
