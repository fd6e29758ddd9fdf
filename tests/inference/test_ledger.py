import subprocess
import sys
import threading
import time
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


def test_another_ledger_finds_an_append_without_a_flush(tmp_path: Path) -> None:
    with LedgerWriter(str(tmp_path)) as ledger, LedgerWriter(str(tmp_path)) as other:
        ledger.append(*entry(1))
        while not (found := other.get([entry(1)[1].key])):
            time.sleep(0.01)  # No test is timed: `benchmarks.crash` measures the delay on a real disk.
        assert list(found) == [entry(1)[1].key]
    assert FLUSH_SECONDS <= 0.2 / 2  # at least half of the promised 0.2 s is left for the write


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
import sys, time
from warrior_dagster.config.serving import VllmServer
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.request import Completion, Request, ServedModel
model = ServedModel("org/m@main", "org/m", None, VllmServer())
ledger = LedgerWriter(sys.argv[1])
for number in range(10**6):
    request = Request(model, f"prompt {number}", "{}")
    ledger.append(request, Completion(request.keys()[0], 0, "answer", "stop", 3, 2))
    time.sleep(0.002)
"""


def test_a_killed_process_loses_only_its_last_appends(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    keys = [entry(number)[1].key for number in range(20_000)]
    with LedgerWriter(str(tmp_path / "wh")) as other:
        with subprocess.Popen([sys.executable, str(script), str(tmp_path / "wh")]) as process:
            try:
                while len(seen := other.get(keys)) < 200:
                    assert process.poll() is None
                    time.sleep(0.05)
            finally:
                process.kill()
        found = other.get(keys)
    assert seen.items() <= found.items()
    assert found.keys() == set(keys[: len(found)])  # only the end is missing


def test_a_failed_write_is_raised_by_the_next_append(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = LedgerWriter(str(tmp_path))

    def broken() -> None:
        raise OSError("disk full")

    monkeypatch.setattr(ledger, "flush", broken)
    ledger._threads[0].join()
    with pytest.raises(LedgerError, match="could not be written"):
        ledger.append(*entry(1))
    with pytest.raises(LedgerError, match="1 completions are lost"):
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
