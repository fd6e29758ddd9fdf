import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import lance
import pytest
import stamina
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warrior_dagster.config.serving import VllmServer
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.ledger.table import LedgerError
from warrior_dagster.inference.ledger.writer import FLUSH_SECONDS, LedgerWriter
from warrior_dagster.inference.request import Completion, Request, ServedModel

MODEL = ServedModel("org/m@main", "org/m", None, VllmServer())


def entry(number: int, text: str = "answer") -> tuple[Request, Completion]:
    request = Request(MODEL, f"prompt {number}", "{}")
    return request, Completion(request.keys()[0], 0, text, "stop", 3, 2, {"A": -0.5} if number % 2 else None)


def test_appended_completions_are_found_by_key_and_nothing_else_is(tmp_path: Path) -> None:
    with LedgerWriter(str(tmp_path)) as ledger:
        for number in range(5):
            ledger.append(*entry(number))
        keys = [entry(number)[1].key for number in range(8)]
        assert ledger.get(keys) == {entry(n)[1].key: entry(n)[1] for n in range(5)}
        assert ledger.get([]) == {}


def test_leaving_writes_the_queue(tmp_path: Path) -> None:
    with LedgerWriter(str(tmp_path)) as ledger:
        for number in range(300):
            ledger.append(*entry(number))
    with LedgerWriter(str(tmp_path)) as again:
        assert len(again.get([entry(n)[1].key for n in range(300)])) == 300


def test_a_failed_request_is_not_stored(tmp_path: Path) -> None:
    request, _ = entry(1)
    with LedgerWriter(str(tmp_path)) as ledger:
        ledger.append(request, Completion(request.keys()[0], 0, error="HTTP 400"))
        assert ledger.get(request.keys()) == {}


def test_the_first_completion_of_a_key_counts(tmp_path: Path) -> None:
    with LedgerWriter(str(tmp_path)) as ledger:
        for text in ("first", "second"):
            ledger.append(*entry(1, text))
            ledger.flush()
        assert ledger.get([entry(1)[1].key])[entry(1)[1].key].text == "first"


KILLED = """
import sys
from tests.inference.test_ledger import LedgerWriter, entry
from warrior_dagster.inference.ledger import writer
writer.FLUSH_SECONDS = float(sys.argv[3])
ledger = LedgerWriter(sys.argv[1])
for number in range(int(sys.argv[2]), 10**6):
    ledger.append(*entry(number))
    print(number, flush=True)
"""


def kill_after(folder: Path, first: int, count: int, flush_seconds: float = FLUSH_SECONDS) -> int:
    """Kill a process that appends entries from `first` on, after at least `count`; returns the last one that it appended."""
    command = [sys.executable, "-c", KILLED, str(folder), str(first), str(flush_seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for _ in range(count):
            process.stdout.readline()
        process.kill()
        return int((process.stdout.read().split("\n")[:-1] or [str(first + count - 1)])[-1])


@pytest.mark.parametrize("count", [1, 60, 900])
def test_a_killed_process_loses_no_append_and_none_is_stored_twice(tmp_path: Path, count: int) -> None:
    first = kill_after(tmp_path, 0, count) + 1
    last = kill_after(tmp_path, first, count)  # its opening takes over what the first left behind
    keys = [entry(number)[1].key for number in range(last + 2)]
    reader = LedgerReader(str(tmp_path))
    seen = reader.get(keys)
    assert set(keys[: last + 1]) <= seen.keys()  # before anything opens the ledger for writing, and without any delay
    assert {row["prompt"] for row in reader.requests(keys[: last + 1]).values()} == {f"prompt {n}" for n in range(last + 1)}
    with LedgerWriter(str(tmp_path)) as ledger:
        assert ledger.get(keys) == seen
    stored = reader.newest(10**6, ["key"])["key"].to_list()
    assert sorted(stored) == sorted(seen)
    assert list((tmp_path / "journal").iterdir()) == []


def test_a_kill_while_the_rest_of_a_killed_process_is_written_stores_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = kill_after(tmp_path, 0, 40)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            LedgerWriter(str(tmp_path))
    with LedgerWriter(str(tmp_path)) as ledger:
        keys = [entry(number)[1].key for number in range(last + 1)]
        assert len(ledger.get(keys)) == len(keys)
        assert ledger.newest(10**6, ["key"])["key"].is_unique().all()


def test_a_living_process_s_journal_is_read_by_others_and_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warrior_dagster.inference.ledger.writer.FLUSH_SECONDS", 3600.0)
    with LedgerWriter(str(tmp_path)) as ledger:
        ledger.append(*entry(1))
        with LedgerWriter(str(tmp_path)) as other:
            assert other.get([entry(1)[1].key]) == {entry(1)[1].key: entry(1)[1]}
        ledger.append(*entry(2))
    assert LedgerReader(str(tmp_path)).newest(9, ["prompt"])["prompt"].to_list() == ["prompt 1", "prompt 2"]


@pytest.mark.parametrize("cut", [1, 30, -1])
def test_a_line_of_the_journal_that_was_cut_off_or_damaged_is_left_out(tmp_path: Path, cut: int) -> None:
    kill_after(tmp_path, 0, 5, flush_seconds=3600)
    (journal,) = (path for path in (tmp_path / "journal").iterdir() if path.stat().st_size)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0].replace(b"answer", b"anzwer"), *lines[1:-1], lines[-1][: cut - 1]]))
    keys = [entry(number)[1].key for number in range(len(lines))]
    with LedgerWriter(str(tmp_path)) as ledger:
        assert keys[0] not in ledger.get(keys)
        assert len(ledger.get(keys)) == len(keys) - 2


def test_a_failed_write_of_the_table_is_made_good_by_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("disk full")

    ledger = LedgerWriter(str(tmp_path))
    with monkeypatch.context() as patch, stamina.set_testing(True):
        patch.setattr(lance, "write_dataset", full)
        ledger.append(*entry(1))
        with pytest.raises(LedgerError, match=r"the next run writes what .*journal has of its last 1 completions"):
            ledger.__exit__()
    with LedgerWriter(str(tmp_path)) as again:
        assert again.newest(9, ["prompt"])["prompt"].to_list() == ["prompt 1"]


POISON = {
    "a logarithm that is no number": Completion("", 0, "A", "stop", logprobs={"A": float("nan"), "B": -1.0}),
    "no logarithm": Completion("", 0, "A", "stop", logprobs={"A": None, "B": -1.0}),  # type: ignore[dict-item]
    "a probability above one": Completion("", 0, "A", "stop", logprobs={"A": 0.5, "B": -1.0}),
    "an unfinished text": Completion("", 0, "A", "abort"),
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_what_no_model_can_have_said_is_not_read_from_a_ledger_of_an_earlier_version(
    tmp_path: Path, poison: Completion, caplog: pytest.LogCaptureFixture
) -> None:
    request, good = entry(1)
    with LedgerWriter(str(tmp_path)) as ledger:
        ledger.append(request, replace(poison, key=good.key))
        assert ledger.get([good.key]) == {}
        ledger.append(request, good)
        assert ledger.get([good.key]) == {good.key: good}
    assert "it will be requested again" in caplog.text


def test_a_failed_write_is_raised_by_the_next_append(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = LedgerWriter(str(tmp_path))

    def broken() -> None:
        raise OSError("disk full")

    monkeypatch.setattr(ledger, "flush", broken)
    ledger._threads[0].join()
    with pytest.raises(LedgerError, match="could not be written"):
        ledger.append(*entry(1))
    with pytest.raises(LedgerError, match="has of its last 1 completions"):
        ledger.__exit__()


def test_leaving_tries_a_failed_write_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("disk full")

    with LedgerWriter(str(tmp_path)) as ledger, stamina.set_testing(True):
        monkeypatch.setattr(lance, "write_dataset", full)
        ledger.append(*entry(0))
        ledger._threads[0].join()
        with pytest.raises(LedgerError, match="could not be written"):
            ledger.append(*entry(1))
        monkeypatch.undo()
    with LedgerWriter(str(tmp_path)) as again:
        keys = [entry(number)[1].key for number in range(2)]
        assert set(again.get(keys)) == set(keys)


def test_a_write_that_fails_after_a_long_wait_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, clock, late = lance.write_dataset, time.monotonic, [0.0]

    def busy(*arguments: Any, **options: Any) -> Any:
        if late[0] < 90:
            late[0] += 30  # as long as Lance waits for others
            raise OSError("Too many concurrent writers")
        return write(*arguments, **options)

    with LedgerWriter(str(tmp_path)) as ledger:
        monkeypatch.setattr(time, "monotonic", lambda: clock() + late[0])
        monkeypatch.setattr(lance, "write_dataset", busy)
        ledger.append(*entry(1))
        ledger.flush()
        assert list(ledger.get([entry(1)[1].key])) == [entry(1)[1].key]
    assert late == [90]


def fragments(folder: Path) -> list[Path]:
    """The ledger's data files, oldest first."""
    return sorted((folder / "ledger.lance" / "data").iterdir(), key=lambda p: p.stat().st_mtime_ns)


def in_fragments(folder: Path, count: int = 4) -> list[str]:
    """A ledger of `count` fragments of 20 completions; returns all keys in the order they were written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warrior_dagster.inference.ledger.writer.FLUSH_SECONDS", 3600.0)
        with LedgerWriter(str(folder)) as ledger:
            for number in range(20 * count):
                ledger.append(*entry(number, f"answer {number} " * 8))
                if number % 20 == 19:
                    ledger.flush()
    return [entry(n)[1].key for n in range(20 * count)]


@pytest.mark.parametrize("damage", ["missing", "empty", "half", "zeros"])
def test_a_damaged_fragment_is_logged_and_left_out_and_its_keys_can_be_stored_again(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys = in_fragments(tmp_path)
    bad = fragments(tmp_path)[1]
    whole = bad.read_bytes()
    if damage == "missing":
        bad.unlink()
    else:
        bad.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "zeros": bytes(len(whole))}[damage])
    for _ in range(2):
        with LedgerWriter(str(tmp_path)) as ledger:
            assert set(ledger.get(keys)) == {*keys[:20], *keys[40:]}
    assert bad.name in caplog.text
    assert "20 completions are left out" in caplog.text
    with LedgerWriter(str(tmp_path)) as ledger:
        for number in range(20, 40):
            ledger.append(*entry(number, "again"))
        assert set(ledger.get(keys)) == set(keys)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_a_flipped_bit_never_changes_a_completion(tmp_path_factory: pytest.TempPathFactory, where: float, bit: int) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    keys = in_fragments(folder, 2)
    bad = fragments(folder)[0]
    data = bytearray(bad.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    bad.write_bytes(bytes(data))
    with LedgerWriter(str(folder)) as ledger:
        got = ledger.get(keys)
    assert set(keys[20:]) <= set(got)
    for number, key in enumerate(keys):
        if key in got:
            assert got[key] == entry(number, f"answer {number} " * 8)[1]


def test_a_torn_manifest_is_set_aside_and_the_one_before_it_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = in_fragments(tmp_path)
    newest = min((tmp_path / "ledger.lance" / "_versions").glob("*.manifest"))
    newest.write_bytes(newest.read_bytes()[:50])
    with LedgerWriter(str(tmp_path)) as ledger:
        assert set(ledger.get(keys)) == set(keys[:60])
        ledger.append(*entry(99))
        assert set(ledger.get([*keys, entry(99)[1].key])) == {*keys[:60], entry(99)[1].key}
    assert newest.name in caplog.text


def test_a_ledger_without_a_readable_version_is_an_error_and_not_empty(tmp_path: Path) -> None:
    in_fragments(tmp_path, 1)
    for manifest in (tmp_path / "ledger.lance" / "_versions").glob("*.manifest"):
        manifest.write_bytes(b"")
    with pytest.raises(LedgerError, match="no version of it can be read"):
        LedgerWriter(str(tmp_path))


def until_compacted(folder: Path, *ledgers: LedgerWriter) -> dict[str, Completion]:
    """Append to the ledgers in turn, at least 60 times, until compaction has removed 20 fragments; returns all completions."""
    written = dict[str, Completion]()
    for number in count(100):
        request, completion = entry(number)
        written[completion.key] = completion
        ledgers[number % len(ledgers)].append(request, completion)
        ledgers[number % len(ledgers)].flush()
        time.sleep(0.02)
        if len(written) >= 60 and len(lance.dataset(str(folder / "ledger.lance")).get_fragments()) < len(written) - 20:
            return written
    raise AssertionError


def test_compaction_during_writes_keeps_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warrior_dagster.inference.ledger.writer.APPENDS_PER_COMPACTION", 10)
    with LedgerWriter(str(tmp_path)) as ledger, LedgerWriter(str(tmp_path)) as other:
        written = until_compacted(tmp_path, ledger, other)
        assert ledger.get(list(written)) == written


def test_several_processes_create_and_fill_one_ledger_at_the_same_time(tmp_path: Path) -> None:
    script = (
        "import sys; from tests.inference.test_ledger import LedgerWriter, entry\n"
        "with LedgerWriter(sys.argv[1]) as ledger:\n"
        "    for n in range(int(sys.argv[2]), int(sys.argv[2]) + 50): ledger.append(*entry(n)); ledger.flush()"
    )
    many = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(50 * n)]) for n in range(4)]
    assert [process.wait() for process in many] == [0] * 4
    with LedgerWriter(str(tmp_path)) as ledger:
        assert len(ledger.get([entry(n)[1].key for n in range(200)])) == 200


def test_a_disk_that_is_temporarily_missing_is_an_error_and_not_an_empty_ledger(tmp_path: Path) -> None:
    keys = in_fragments(tmp_path)
    data, away = tmp_path / "ledger.lance" / "data", tmp_path / "away"
    with LedgerWriter(str(tmp_path)) as ledger:
        data.rename(away)
        with pytest.raises(LedgerError, match="cannot be read"):
            ledger.get(keys)
        away.rename(data)
        assert set(ledger.get(keys)) == set(keys)


def test_unread_damage_does_not_stop_the_compaction_of_other_fragments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_fragments(tmp_path)
    bad = fragments(tmp_path)[1]
    bad.write_bytes(bytes(64) + bad.read_bytes()[64:-40] + bytes(40))
    monkeypatch.setattr("warrior_dagster.inference.ledger.writer.APPENDS_PER_COMPACTION", 10)
    with LedgerWriter(str(tmp_path)) as ledger:
        until_compacted(tmp_path, ledger)
        assert len(ledger.newest(60, ["key", "prompt"])) == 60


def test_a_reader_of_a_missing_ledger_is_empty_creates_nothing_and_starts_no_thread(tmp_path: Path) -> None:
    threads = threading.active_count()
    reader = LedgerReader(str(tmp_path / "warehouse"))
    keys = [entry(1)[1].key]
    assert not reader.get(keys)
    assert not reader.requests(keys)
    assert reader.newest(5, ["key", "prompt"]).is_empty()
    assert threading.active_count() == threads
    assert list(tmp_path.iterdir()) == []
    in_fragments(tmp_path / "warehouse", 1)  # the reader sees a ledger that another process creates later
    assert list(reader.get(keys)) == list(reader.requests(keys)) == keys


def test_a_ledger_that_cannot_be_opened_is_an_error_for_a_reader_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    reader = LedgerReader(str(tmp_path / "file"))  # a UI opens one when it loads, and has to come up without its ledger
    for read in (reader.verify, lambda: reader.get(["key"]), lambda: LedgerWriter(str(tmp_path / "file"))):
        with pytest.raises(LedgerError, match="expected a ledger"):
            read()


def test_importing_the_ledger_and_the_engines_leaves_arrow_s_allocator_alone() -> None:
    script = """
import importlib, pkgutil
import pyarrow as pa
before = pa.default_memory_pool().backend_name
import warrior_dagster.inference
for module in pkgutil.walk_packages(warrior_dagster.inference.__path__, "warrior_dagster.inference."):
    importlib.import_module(module.name)
import warrior_dagster.orchestration.definitions
assert pa.default_memory_pool().backend_name == before
from warrior_dagster.warehouse.arrow_memory import use_system_allocator
use_system_allocator()
assert pa.default_memory_pool().backend_name == "system" != before
"""
    subprocess.run([sys.executable, "-c", script], check=True)
