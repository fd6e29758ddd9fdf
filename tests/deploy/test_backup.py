"""A copy that is made while completions are written can be restored: nothing is asked again, and no row changes."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import lance
import pytest
import yaml
from polars.testing import assert_frame_equal

from deploy.backup import TAG, back_up, copies, copy_warehouse
from tests.conftest import FinishedRun
from tests.orchestration.postgresql import postgresql
from tests.runs import stale
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import load_arena
from warrior_dagster.config.serving import VllmServer
from warrior_dagster.inference.ledger import writer
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.ledger.table import table_path
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.request import Completion, Request, ServedModel
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.orchestration.catalog import tables_of
from warrior_dagster.planning.cost import plan, totals


@pytest.fixture
def file(finished_copy: Callable[..., Arena], tmp_path: Path) -> Path:
    """The file of an arena whose warehouse has everything."""
    arena = finished_copy()
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(arena.model_dump(mode="json", exclude_defaults=True)))
    return file


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance with a run, in DAGSTER_HOME."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.delenv("DAGSTER_PG_HOST", raising=False)
    with dg.DagsterInstance.get() as instance:
        dg.materialize([made], instance=instance)
        yield instance


@dg.asset
def made() -> None: ...


def test_a_restored_warehouse_has_every_row_asks_for_nothing_and_has_the_runs(
    file: Path, sqlite: dg.DagsterInstance, tmp_path: Path, finished_run: FinishedRun
) -> None:
    before = stale(load_arena(file))
    copy = back_up(tmp_path / "backups", [file])
    assert list(copies(tmp_path / "backups")) == [copy]
    assert (copy / "arenas" / "mine.yaml").read_text() == file.read_text()

    (copy / "small").rename(tmp_path / "restored")
    values = yaml.safe_load(file.read_text()) | {"warehouse": str(tmp_path / "restored")}
    file.write_text(yaml.safe_dump(values))
    restored = load_arena(file)
    assert totals(plan(restored, LedgerReader(restored.warehouse), open_warehouse(restored)))["to_send"] == 0
    assert stale(restored) == before
    own, copied = open_warehouse(finished_run.arena), open_warehouse(restored)
    for table in tables_of(restored):
        assert_frame_equal(copied.read(table.name), own.read(table.name), check_exact=True)
    with dg.DagsterInstance.from_config(str(copy / "dagster_home")) as instance:
        assert [run.run_id for run in instance.get_runs()] == [run.run_id for run in sqlite.get_runs()]
        assert instance.get_latest_materialization_event(dg.AssetKey("made"))


def completion(number: int) -> tuple[Request, Completion]:
    request = Request(ServedModel("org/m@main", "org/m", None, VllmServer()), f"prompt {number}", "{}")
    return request, Completion(request.keys()[0], 0, f"text {number}", "stop", 3, 2)


def test_a_copy_made_while_completions_are_written_has_all_that_were_stored_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "FLUSH_SECONDS", 0.01)
    monkeypatch.setattr(writer, "APPENDS_PER_COMPACTION", 3)  # files are joined and removed all the time
    source, stored, stopped = tmp_path / "source", list[str](), threading.Event()
    with LedgerWriter(str(source)) as ledger:

        def write() -> None:
            while not stopped.is_set():
                request, one = completion(len(stored))
                ledger.append(request, one)
                stored.append(one.key)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for number in range(5):
                while len(stored) < 200 * (number + 1):
                    stopped.wait(0.01)
                before = list(stored)
                copy_warehouse(source, tmp_path / f"copy{number}")
                with LedgerWriter(str(tmp_path / f"copy{number}")) as copied:  # takes what the journal has
                    copied.verify()
                    assert set(before) <= copied.get(before).keys()
        finally:
            stopped.set()
            thread.join()
    assert TAG not in lance.dataset(table_path(str(source))).tags.list()


def test_a_copy_that_fails_is_no_copy_and_the_next_one_removes_it(
    file: Path, sqlite: dg.DagsterInstance, tmp_path: Path
) -> None:
    values = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(values | {"warehouse": "s3://bucket/mine"}))
    with pytest.raises(ValueError, match="small: expected a warehouse in a folder"):
        back_up(tmp_path / "backups", [file])
    assert list(copies(tmp_path / "backups")) == []
    file.write_text(yaml.safe_dump(values))
    copy = back_up(tmp_path / "backups", [file])
    assert {one for one in (tmp_path / "backups").iterdir() if one.is_dir()} == {copy}


def test_runs_in_postgresql_are_restored(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Path(__file__).parent.parent.parent / "dagster_home" / "postgresql"
    with postgresql() as named:
        for name, value in named.items():
            monkeypatch.setenv(name, value)
        with dg.DagsterInstance.from_config(str(shared)) as instance:
            run = dg.materialize([made], instance=instance).run_id
        copy = back_up(tmp_path / "backups", [file])
    with postgresql() as named:
        for name, value in named.items():
            monkeypatch.setenv(name, value)
        at = {name: named[f"DAGSTER_PG_{name}"] for name in ("HOST", "PORT", "USERNAME", "DB")}
        monkeypatch.setenv("PGPASSWORD", named["DAGSTER_PG_PASSWORD"])
        command = ["pg_restore", "--host", at["HOST"], "--port", at["PORT"], "--username", at["USERNAME"], "--dbname", at["DB"]]
        subprocess.run([*command, "--no-owner", str(copy / "dagster.dump")], check=True)
        with dg.DagsterInstance.from_config(str(shared)) as instance:
            assert [one.run_id for one in instance.get_runs()] == [run]
