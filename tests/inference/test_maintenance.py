"""`warrior ledger`: what it shows, what it finds wrong, and that only what it removes is requested again."""

import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tests.inference.test_ledger import POISON, entry, fragments, in_fragments, kill_after
from warrior_dagster.cli import app
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger import maintenance
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.request import Completion, Request

CHOICE = json.dumps({"structured_outputs": {"choice": ["A", "B"]}, "logprobs": 20})


def store(folder: Path, params: str, *completions: Completion) -> list[str]:
    """Store the samples of one request, as an earlier version did, whatever they are; returns their keys."""
    request = Request(entry(0)[0].model, "p", params, tuple(range(len(completions))))
    with LedgerWriter(str(folder)) as ledger:
        for key, sample, completion in zip(request.keys(), request.samples, completions, strict=True):
            ledger.append(request, replace(completion, key=key, sample=sample))
    return request.keys()


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_verify_names_what_no_model_can_have_said(tmp_path: Path, poison: Completion) -> None:
    in_fragments(tmp_path, 1)
    (key,) = store(tmp_path, "{}", poison)
    (fault,), unread = maintenance.verify(str(tmp_path))
    assert (fault.key, unread) == (key, [])
    assert fault.reason.startswith("it is no answer of a model: expected")


@pytest.mark.parametrize(
    ("text", "logprobs"), [("A", None), ("A", {"A": -0.1, "The": -3.0}), ("Sure", {"A": -0.1, "B": -3.0}), ("", None)]
)
def test_verify_names_constrained_answers_without_what_was_asked_for(
    tmp_path: Path, text: str, logprobs: dict[str, float] | None
) -> None:
    (key,) = store(tmp_path, CHOICE, Completion("", 0, text, "stop", 9, 1, logprobs))
    assert [fault.key for fault in maintenance.verify(str(tmp_path))[0]] == [key]


def test_verify_names_empty_texts_only_where_a_whole_request_is_empty_and_cost_tokens(tmp_path: Path) -> None:
    empty, paid, text = (Completion("", 0, *rest) for rest in (("", "stop", 9, 1), ("", "stop", 9, 6), ("a", "stop", 9, 6)))
    store(tmp_path, "{}", empty)  # the model ended its turn at once
    store(tmp_path, '{"n":1}', paid, text)  # the tokens of the text are counted for both
    assert maintenance.verify(str(tmp_path)) == ([], [])
    keys = store(tmp_path, '{"n":2}', paid, paid)
    assert [fault.key for fault in maintenance.verify(str(tmp_path))[0]] == keys


def test_verify_finds_nothing_wrong_in_the_ledger_of_an_earlier_version(tmp_path: Path) -> None:
    with tarfile.open(Path(__file__).parents[1] / "fixtures" / "warehouse_of_6c55b93" / "warehouse.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    (uri,) = {str(path.parent) for path in tmp_path.rglob("ledger.lance")}
    assert maintenance.summary(uri)[0]["completions"].sum() > 100
    assert maintenance.verify(uri) == ([], [])


def test_a_damaged_file_is_named_and_left_alone(tmp_path: Path) -> None:
    keys = in_fragments(tmp_path, 3)
    bad = fragments(tmp_path)[1]
    whole = bad.read_bytes()
    bad.write_bytes(bytes(len(whole)))
    assert maintenance.verify(str(tmp_path)) == ([], [str(bad)])
    assert maintenance.drop(str(tmp_path), keys=keys[:21]) == 20
    bad.write_bytes(whole)
    assert set(LedgerReader(str(tmp_path)).get(keys)) == set(keys[20:])


def test_exactly_what_is_dropped_is_absent_and_can_be_stored_again(tmp_path: Path) -> None:
    keys = in_fragments(tmp_path, 3)
    gone = [*keys[:20], keys[25], keys[59]]  # a whole fragment, and parts of others
    with LedgerWriter(str(tmp_path)) as ledger:
        assert maintenance.drop(str(tmp_path), keys=gone) == len(gone)
        assert set(ledger.get(keys)) == set(keys) - set(gone)
        for number, key in enumerate(keys):
            if key not in gone:
                assert ledger.get([key])[key] == entry(number, f"answer {number} " * 8)[1]
                assert ledger.requests([key])[key]["prompt"] == f"prompt {number}"
        ledger.append(*entry(25, "again"))
        assert ledger.get([keys[25]])[keys[25]].text == "again"
        assert len(ledger.newest(99, ["key"])) == 60 - len(gone) + 1
    assert maintenance.drop(str(tmp_path), keys=["none"]) == 0


def test_dropping_a_faulty_row_keeps_the_sound_one_of_the_same_key(tmp_path: Path) -> None:
    (key,) = store(tmp_path, "{}", Completion("", 0, "A", "stop", logprobs={"A": float("nan")}))
    store(tmp_path, "{}", Completion("", 0, "sound", "stop"))
    assert maintenance.drop(str(tmp_path), maintenance.verify(str(tmp_path))[0]) == 1
    assert LedgerReader(str(tmp_path)).get([key])[key].text == "sound"
    assert maintenance.verify(str(tmp_path)) == ([], [])


def test_others_append_and_compact_while_completions_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warrior_dagster.inference.ledger.writer.APPENDS_PER_COMPACTION", 10)
    keys = [entry(number)[1].key for number in range(150)]
    with LedgerWriter(str(tmp_path)) as ledger:
        for number in range(150):
            ledger.append(*entry(number))
            ledger.flush()
            if number % 10 == 9:
                assert maintenance.drop(str(tmp_path), keys=[keys[number - 5]]) == 1
    assert set(LedgerReader(str(tmp_path)).get(keys)) == set(keys) - set(keys[4::10])


def test_the_commands_show_verify_and_drop(make_arena: Callable[..., Arena], tmp_path: Path) -> None:
    file, warehouse = tmp_path / "arena.yaml", Path(make_arena().warehouse)
    file.write_text(yaml.safe_dump(make_arena().model_dump(mode="json", exclude_unset=True)))
    keys = in_fragments(warehouse, 1)
    (bad,) = store(warehouse, CHOICE, Completion("", 0, "Sure", "stop", 9, 1))

    def warrior(*words: str, status: int = 0, answer: str = "") -> str:
        result = CliRunner().invoke(app, ["ledger", words[0], "-c", str(file), *words[1:]], input=answer)
        assert result.exit_code == status, result.output
        return result.output

    assert "org/m@main: 21 completions" in warrior("show")
    assert json.loads(warrior("show", "--json"))["models"][0]["completions"] == 21
    assert json.loads(warrior("show", keys[3][:12]))["prompt"] == "prompt 3"
    assert "no completion" in warrior("show", "zz", status=1)
    assert bad in warrior("verify", status=1)
    assert "expected keys, or --faulty" in warrior("drop", status=1)
    warrior("drop", "--faulty", status=1, answer="n\n")
    assert bad in warrior("verify", status=1)
    assert "1 removed" in warrior("drop", "--faulty", answer="y\n")
    assert "2 removed" in warrior("drop", "--yes", *keys[:2])
    warrior("verify")
    assert "18 completions" in warrior("show")


def test_what_a_killed_process_left_in_its_journal_is_removed_too(tmp_path: Path) -> None:
    kill_after(tmp_path, 0, 5, flush_seconds=3600)
    keys = [entry(number)[1].key for number in range(5)]
    ledger = LedgerReader(str(tmp_path))
    left = set(ledger.get(keys))
    assert keys[0] in left
    assert maintenance.drop(str(tmp_path), keys=keys[:1]) == 1
    assert set(ledger.get(keys)) == left - {keys[0]}
