import subprocess
import sys
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
from warrior_dagster.inference.ledger.writer import FLUSH_SECONDS, Ledger, LedgerError
from warrior_dagster.inference.request import Completion, Request, ServedModel

MODEL = ServedModel("org/m@main", "org/m", None, VllmServer())


def asked(number: int, text: str = "answer") -> tuple[Request, Completion]:
    request = Request(MODEL, f"prompt {number}", "{}")
    return request, Completion(request.keys()[0], 0, text, "stop", 3, 2, {"A": -0.5} if number % 2 else None)


def test_what_was_appended_is_found_by_its_key_and_nothing_else_is(tmp_path: Path) -> None:
    with Ledger(str(tmp_path)) as ledger:
        for number in range(5):
            ledger.append(*asked(number))
        keys = [asked(number)[1].key for number in range(8)]
        assert ledger.get(keys) == {asked(n)[1].key: asked(n)[1] for n in range(5)}
        assert ledger.get([]) == {}


def test_another_ledger_soon_finds_it_though_nobody_asked_for_it_to_be_written(tmp_path: Path) -> None:
    with Ledger(str(tmp_path)) as ledger, Ledger(str(tmp_path)) as other:
        ledger.append(*asked(1))
        while not (found := other.get([asked(1)[1].key])):
            time.sleep(0.01)  # No test is timed: how soon it is there on a real disk is for `benchmarks.crash`.
        assert list(found) == [asked(1)[1].key]
    assert FLUSH_SECONDS <= 0.2 / 2  # of the promised fifth of a second, half at least is left for the write


def test_leaving_writes_what_is_still_waiting(tmp_path: Path) -> None:
    with Ledger(str(tmp_path)) as ledger:
        for number in range(300):
            ledger.append(*asked(number))
    with Ledger(str(tmp_path)) as again:
        assert len(again.get([asked(n)[1].key for n in range(300)])) == 300


def test_a_failed_request_is_never_kept_as_an_answer(tmp_path: Path) -> None:
    request, _ = asked(1)
    with Ledger(str(tmp_path)) as ledger:
        ledger.append(request, Completion(request.keys()[0], 0, error="HTTP 400"))
        assert ledger.get(request.keys()) == {}


def test_of_a_key_that_was_paid_for_twice_the_first_counts(tmp_path: Path) -> None:
    with Ledger(str(tmp_path)) as ledger:
        for text in ("first", "second"):
            ledger.append(*asked(1, text))
            ledger.flush()
        assert ledger.get([asked(1)[1].key])[asked(1)[1].key].text == "first"


KILLED = """
import sys, time
from warrior_dagster.config.serving import VllmServer
from warrior_dagster.inference.ledger.writer import Ledger
from warrior_dagster.inference.request import Completion, Request, ServedModel
model = ServedModel("org/m@main", "org/m", None, VllmServer())
ledger = Ledger(sys.argv[1])
for number in range(10**6):
    request = Request(model, f"prompt {number}", "{}")
    ledger.append(request, Completion(request.keys()[0], 0, "answer", "stop", 3, 2))
    time.sleep(0.002)
"""


def test_a_process_that_is_killed_loses_nothing_but_its_last_moment(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    keys = [asked(number)[1].key for number in range(20_000)]
    with Ledger(str(tmp_path / "wh")) as other:
        with subprocess.Popen([sys.executable, str(script), str(tmp_path / "wh")]) as process:
            try:
                while len(seen := other.get(keys)) < 200:
                    assert process.poll() is None
                    time.sleep(0.05)
            finally:
                process.kill()
        found = other.get(keys)
    assert seen.items() <= found.items()
    assert found.keys() == set(keys[: len(found)])  # Only the end is missing, and of the rest nothing.


def test_a_writer_that_fails_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(str(tmp_path))

    def broken() -> None:
        raise OSError("disk full")

    monkeypatch.setattr(ledger, "flush", broken)
    ledger._threads[0].join()
    with pytest.raises(LedgerError, match="could not be written"):
        ledger.append(*asked(1))
    with pytest.raises(LedgerError, match="1 completions are lost"):
        ledger.__exit__()


def test_what_could_not_be_written_is_written_on_leaving_if_it_can_be_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("disk full")

    with Ledger(str(tmp_path)) as ledger, stamina.set_testing(True):
        monkeypatch.setattr(lance, "write_dataset", full)
        ledger.append(*asked(0))
        ledger._threads[0].join()
        with pytest.raises(LedgerError, match="could not be written"):
            ledger.append(*asked(1))
        monkeypatch.undo()
    with Ledger(str(tmp_path)) as again:
        keys = [asked(number)[1].key for number in range(2)]
        assert set(again.get(keys)) == set(keys)


def test_a_write_that_waits_long_for_other_writers_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, clock, late = lance.write_dataset, time.monotonic, [0.0]

    def busy(*arguments: Any, **options: Any) -> Any:
        if late[0] < 90:
            late[0] += 30  # as long as Lance waits for others
            raise OSError("Too many concurrent writers")
        return write(*arguments, **options)

    with Ledger(str(tmp_path)) as ledger:
        monkeypatch.setattr(time, "monotonic", lambda: clock() + late[0])
        monkeypatch.setattr(lance, "write_dataset", busy)
        ledger.append(*asked(1))
        ledger.flush()
        assert list(ledger.get([asked(1)[1].key])) == [asked(1)[1].key]
    assert late == [90]


def fragments(folder: Path) -> list[Path]:
    """The ledger's data files, oldest first."""
    return sorted((folder / "ledger.lance" / "data").iterdir(), key=lambda p: p.stat().st_mtime_ns)


def in_fragments(folder: Path, count: int = 4) -> list[str]:
    """A ledger of `count` fragments of 20 completions; returns all keys in the order they were written."""
    with Ledger(str(folder)) as ledger:
        for number in range(20 * count):
            ledger.append(*asked(number, f"answer {number} " * 8))
            if number % 20 == 19:
                ledger.flush()
    return [asked(n)[1].key for n in range(20 * count)]


@pytest.mark.parametrize("damage", ["missing", "empty", "half", "zeros"])
def test_a_damaged_fragment_is_named_and_left_out_and_its_keys_are_asked_again(
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
        with Ledger(str(tmp_path)) as ledger:
            assert set(ledger.get(keys)) == {*keys[:20], *keys[40:]}
    assert bad.name in caplog.text
    assert "20 completions are left out" in caplog.text
    with Ledger(str(tmp_path)) as ledger:
        for number in range(20, 40):
            ledger.append(*asked(number, "again"))
        assert set(ledger.get(keys)) == set(keys)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_read_as_an_answer(tmp_path_factory: pytest.TempPathFactory, where: float, bit: int) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    keys = in_fragments(folder, 2)
    bad = fragments(folder)[0]
    data = bytearray(bad.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    bad.write_bytes(bytes(data))
    with Ledger(str(folder)) as ledger:
        got = ledger.get(keys)
    assert set(keys[20:]) <= set(got)
    for number, key in enumerate(keys):
        if key in got:
            assert got[key] == asked(number, f"answer {number} " * 8)[1]


def test_a_torn_manifest_is_cut_off_and_what_was_before_it_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = in_fragments(tmp_path)
    newest = min((tmp_path / "ledger.lance" / "_versions").glob("*.manifest"))
    newest.write_bytes(newest.read_bytes()[:50])
    with Ledger(str(tmp_path)) as ledger:
        assert set(ledger.get(keys)) == set(keys[:60])
        ledger.append(*asked(99))
        assert set(ledger.get([*keys, asked(99)[1].key])) == {*keys[:60], asked(99)[1].key}
    assert newest.name in caplog.text


def test_a_ledger_of_which_nothing_can_be_read_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    in_fragments(tmp_path, 1)
    for manifest in (tmp_path / "ledger.lance" / "_versions").glob("*.manifest"):
        manifest.write_bytes(b"")
    with pytest.raises(LedgerError, match="no version of it can be read"):
        Ledger(str(tmp_path))


def until_compacted(folder: Path, *ledgers: Ledger) -> dict[str, Completion]:
    """Append to ledgers in turn, 60 completions at least, until there are 20 fragments fewer than that; returns all."""
    written = dict[str, Completion]()
    for number in count(100):
        request, completion = asked(number)
        written[completion.key] = completion
        ledgers[number % len(ledgers)].append(request, completion)
        ledgers[number % len(ledgers)].flush()
        time.sleep(0.02)
        if len(written) >= 60 and len(lance.dataset(str(folder / "ledger.lance")).get_fragments()) < len(written) - 20:
            return written
    raise AssertionError


def test_it_compacts_itself_while_it_is_written_and_keeps_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warrior_dagster.inference.ledger.writer.APPENDS_PER_COMPACTION", 10)
    with Ledger(str(tmp_path)) as ledger, Ledger(str(tmp_path)) as other:
        asked_for = until_compacted(tmp_path, ledger, other)
        assert ledger.get(list(asked_for)) == asked_for


def test_several_processes_create_and_fill_one_ledger_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from tests.inference.test_ledger import Ledger, asked\n"
        "with Ledger(sys.argv[1]) as ledger:\n"
        "    for n in range(int(sys.argv[2]), int(sys.argv[2]) + 50): ledger.append(*asked(n)); ledger.flush()"
    )
    many = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(50 * n)]) for n in range(4)]
    assert [process.wait() for process in many] == [0] * 4
    with Ledger(str(tmp_path)) as ledger:
        assert len(ledger.get([asked(n)[1].key for n in range(200)])) == 200


def test_a_disk_that_is_away_for_a_moment_is_an_error_and_never_an_empty_ledger(tmp_path: Path) -> None:
    keys = in_fragments(tmp_path)
    data, away = tmp_path / "ledger.lance" / "data", tmp_path / "away"
    with Ledger(str(tmp_path)) as ledger:
        data.rename(away)
        with pytest.raises(LedgerError, match="cannot be read"):
            ledger.get(keys)
        away.rename(data)
        assert set(ledger.get(keys)) == set(keys)


def test_damage_that_nobody_reads_does_not_stop_the_compaction_of_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_fragments(tmp_path)
    bad = fragments(tmp_path)[1]
    bad.write_bytes(bytes(64) + bad.read_bytes()[64:-40] + bytes(40))
    monkeypatch.setattr("warrior_dagster.inference.ledger.writer.APPENDS_PER_COMPACTION", 10)
    with Ledger(str(tmp_path)) as ledger:
        until_compacted(tmp_path, ledger)
        assert len(ledger.newest(60, ["key", "prompt"])) == 60
