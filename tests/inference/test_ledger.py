import subprocess
import sys
import time
from pathlib import Path

import pytest

from warrior_dagster.arena import VllmServer
from warrior_dagster.inference.ledger import Ledger
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


def test_another_process_finds_it_within_a_fifth_of_a_second(tmp_path: Path) -> None:
    with Ledger(str(tmp_path)) as ledger, Ledger(str(tmp_path)) as other:
        ledger.append(*asked(1))
        time.sleep(0.2)
        assert list(other.get([asked(1)[1].key])) == [asked(1)[1].key]


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
from warrior_dagster.arena import VllmServer
from warrior_dagster.inference.ledger import Ledger
from warrior_dagster.inference.request import Completion, Request, ServedModel
model = ServedModel("org/m@main", "org/m", None, VllmServer())
ledger = Ledger(sys.argv[1])
for number in range(10**6):
    request = Request(model, f"prompt {number}", "{}")
    ledger.append(request, Completion(request.keys()[0], 0, "answer", "stop"))
    print(number, time.time(), flush=True)
    time.sleep(0.002)
"""


def test_a_process_that_is_killed_loses_at_most_its_last_fifth_of_a_second(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path / "wh")], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    lines = [process.stdout.readline() for _ in range(400)]
    process.kill()
    killed_at = time.time()
    lines += process.stdout.readlines()
    told = [(int(number), float(at)) for number, at in (line.split() for line in lines if line.count(" ") == 1)]
    durable = [number for number, at in told if at < killed_at - 0.25]
    assert len(durable) > 200
    with Ledger(str(tmp_path / "wh")) as ledger:
        found = ledger.get([asked(n)[1].key for n in durable])
        assert len(found) == len(durable)


def test_a_writer_that_fails_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(str(tmp_path))

    def broken() -> None:
        raise OSError("disk full")

    monkeypatch.setattr(ledger, "flush", broken)
    ledger._writer.join(2)
    with pytest.raises(RuntimeError, match="could not be written"):
        ledger.append(*asked(1))
