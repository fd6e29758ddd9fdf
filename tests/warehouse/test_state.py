"""Where the locks, logs and journals of an object store are: in a folder that nobody else could have prepared."""

import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from warrior_dagster.inference.ledger.journal import Journal, folder_of, rows_in
from warrior_dagster.warehouse import state
from warrior_dagster.warehouse.locks import file_lock
from warrior_dagster.warehouse.state import UnsafeFolder, local_folder, no_room

STORE = "s3://bucket/arena"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of all states, which does not exist yet, beside an empty temporary folder; with a umask of 0."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "user" / "state"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "tmp"))
    before = os.umask(0)
    yield tmp_path / "user" / "state"
    os.umask(before)


def test_a_folder_is_its_own_state_and_each_object_store_has_one(home: Path, tmp_path: Path) -> None:
    assert local_folder(str(tmp_path)) == tmp_path
    assert not home.exists()
    stores = [STORE, "s3://bucket/other", "gs://bucket/arena"]
    folders = [local_folder(store) for store in stores]
    assert len(set(folders)) == len(stores)
    assert all(folder.parent == home / "warrior-dagster" for folder in folders)
    assert local_folder(STORE + "/") == folders[0]


def test_a_relative_name_of_the_state_folder_is_ignored(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("HOME", str(home))
    for named in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", named)
        assert local_folder(STORE).parent == home / ".local" / "state" / "warrior-dagster"


def test_without_a_home_folder_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(UnsafeFolder, match="XDG_STATE_HOME"):
        local_folder(STORE)


def test_everything_made_for_an_object_store_is_closed_to_other_users(home: Path) -> None:
    folder = local_folder(STORE)
    with file_lock(folder / "locks" / "runs" / "1.2"):
        Journal(folder_of(STORE))
        made = [home.parent, *home.parent.rglob("*")]
        modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in made if one.is_file()}
        assert len(modes) == 3
        assert set(modes.values()) == {0o600}
        assert {stat.S_IMODE(one.stat().st_mode) for one in made if one.is_dir()} == {0o700}


def test_in_a_folder_of_the_user_the_umask_decides(home: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    os.umask(0o022)
    with file_lock(tmp_path / "locks" / "x.lock"):
        assert stat.S_IMODE((tmp_path / "locks").stat().st_mode) == 0o755
        assert stat.S_IMODE((tmp_path / "locks" / "x.lock").stat().st_mode) == 0o644


def test_a_lock_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "x.lock").symlink_to(tmp_path / "made")
    with pytest.raises(OSError, match="symbolic"), file_lock(tmp_path / "x.lock"):
        pass
    assert not (tmp_path / "made").exists()


def linked(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    folder.symlink_to("elsewhere")


PREPARED: dict[str, Callable[[Path], object]] = {
    "link": linked,
    "dangling link": lambda folder: folder.symlink_to("nowhere"),
    "file": lambda folder: folder.touch(),
    "writable by the group": lambda folder: folder.mkdir(0o770),
    "writable by others": lambda folder: folder.mkdir(0o702),
}


@pytest.mark.parametrize("how", PREPARED)
@pytest.mark.parametrize("which", ["warrior-dagster", "warrior-dagster/HASH"])
def test_a_prepared_folder_is_refused_and_nothing_is_made_in_it(how: str, which: str, home: Path) -> None:
    name = local_folder(STORE).name
    prepared = home / which.replace("HASH", name)
    for folder in (home / "warrior-dagster" / name, home / "warrior-dagster"):
        if folder == prepared or prepared in folder.parents:
            folder.rmdir()
    PREPARED[how](prepared)
    with pytest.raises(UnsafeFolder) as refused:
        local_folder(STORE)
    assert str(refused.value).startswith(f"{prepared}: expected a folder that only you may write to")
    assert not list((home / "warrior-dagster").glob("*/*"))
    assert not (prepared.parent / "nowhere").exists()


@as_root
@pytest.mark.parametrize("which", [".", "warrior-dagster"])
def test_a_folder_of_another_user_is_refused(which: str, home: Path) -> None:
    prepared = local_folder(STORE).parent.parent / which
    os.chown(prepared, 4711, 4711)
    if which == ".":  # it was there before: the user named it, and what is made in it is the user's own
        assert local_folder(STORE).is_dir()
    else:
        with pytest.raises(UnsafeFolder, match="it belongs to the user 4711"):
            local_folder(STORE)


def test_a_parent_that_someone_else_makes_meanwhile_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Path.mkdir

    def late(folder: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if folder == home:
            make(folder, 0o777)
        make(folder, mode, parents, exist_ok)

    monkeypatch.setattr(Path, "mkdir", late)
    with pytest.raises(UnsafeFolder, match="may write to it"):
        local_folder(STORE)


ROW = {"key": "k", "text": "paid", "created_at": datetime(2026, 1, 1, tzinfo=UTC)}


def left_by_an_earlier_version(home: Path, tmp_path: Path) -> Path:
    """The folder of an earlier version, with the journal of a run that was killed."""
    earlier = tmp_path / "tmp" / f"warrior-{os.getuid()}-{local_folder(STORE).name}"
    earlier.mkdir(0o755)
    journal = Journal(earlier / "journal")
    journal.append(ROW)
    journal.close(remove=False)
    (earlier / "earlier_identities.json").write_text('{"a": "b"}')
    (earlier / "locks" / "runs").mkdir(parents=True)
    (earlier / "locks" / "runs" / "RUN.4711").touch()
    return earlier


def test_answers_that_an_earlier_version_left_in_the_temporary_folder_are_taken_over(home: Path, tmp_path: Path) -> None:
    earlier = left_by_an_earlier_version(home, tmp_path)
    folder = local_folder(STORE)
    assert rows_in(folder.glob("journal/*.jsonl")) == {"k": ROW}
    assert (folder / "earlier_identities.json").read_text() == '{"a": "b"}'
    assert (folder / "locks" / "runs" / "RUN.4711").is_file()  # the sensor fails this run, which would hold its slot
    assert not [file for file in earlier.rglob("*") if file.is_file()]


def test_processes_that_take_over_at_once_lose_no_answer(home: Path, tmp_path: Path) -> None:
    earlier, folder = left_by_an_earlier_version(home, tmp_path), local_folder(STORE)
    for number in range(200):
        (earlier / "journal" / f"{number}.jsonl").write_text("paid\n" * 1000)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(local_folder, [STORE] * 8))
    assert [(folder / "journal" / f"{number}.jsonl").stat().st_size for number in range(200)] == [5000] * 200


def test_the_journal_of_an_earlier_version_that_still_runs_stays(home: Path, tmp_path: Path) -> None:
    earlier = left_by_an_earlier_version(home, tmp_path)
    running = Journal(earlier / "journal")
    local_folder(STORE)
    assert len(list(earlier.glob("journal/*.jsonl"))) == 2
    running.close(remove=True)


def test_an_earlier_folder_that_others_could_write_to_is_named_and_not_read(home: Path, tmp_path: Path) -> None:
    earlier = left_by_an_earlier_version(home, tmp_path)
    earlier.chmod(0o777)
    with pytest.raises(UnsafeFolder, match="may write to it"):
        local_folder(STORE)
    assert (earlier / "earlier_identities.json").exists()


@as_root
def test_an_earlier_folder_of_another_user_is_ignored(home: Path, tmp_path: Path) -> None:
    earlier = left_by_an_earlier_version(home, tmp_path)
    os.chown(earlier, 4711, 4711)
    assert list(local_folder(STORE).iterdir()) == []


def test_a_folder_that_cannot_be_made_or_has_no_room_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    assert no_room(tmp_path / "file" / "w").endswith(f"{tmp_path}/file is a file")
    monkeypatch.setattr(state, "LEAST_FREE", 0)
    assert no_room(tmp_path / "not" / "made") == ""
    monkeypatch.setattr(state, "LEAST_FREE", 1 << 60)
    assert no_room(tmp_path).startswith(f"expected at least {1 << 40} MiB of room; {tmp_path} has ")
    monkeypatch.setattr("os.access", lambda *_: False)
    assert no_room(tmp_path) == f"expected a folder that can be written; {tmp_path} cannot"
