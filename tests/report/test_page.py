"""The report: one file that loads nothing else, in which text of a model is never markup."""

import json
import re
from collections.abc import AsyncIterator, Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ScriptedEngine, scripted_engines
from tests.hostile_text import obeyed
from tests.runs import EVERYTHING, materialize
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.report import lineage, page
from warrior_dagster.report.assets import FILE, write_report
from warrior_dagster.report.behaviours import LONGEST
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

MakeArena = Callable[..., Arena]
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \x1b[31m \u2028 \u202e \u2066 \x9b \U000e0041 http://x.org"


class Elements(HTMLParser):
    """The elements of a page and their attributes, and the text of its data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.data, self._in_data = "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._in_data = tag == "script" and dict(attrs).get("id") == "data"

    def handle_endtag(self, tag: str) -> None:
        self._in_data = False

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data += data


def written(arena: Arena) -> str:
    ledger = LedgerReader(arena.warehouse)
    return page.report(arena, Warehouse(arena.warehouse), ledger, "today")


def page_data(text: str) -> str:
    """Every text that the page's script gets."""
    return json.dumps(json.loads(Elements(text).data), ensure_ascii=False)


class Hostile(ScriptedEngine):
    """Adds markup to each completion that is free text."""

    async def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[tuple[Request, list[Completion]]]:
        async for request, completions in super().stream(requests):
            if not completions[0].logprobs:
                completions = [Completion(c.key, c.sample, f"{c.text} {HOSTILE}", "stop", 9, 9) for c in completions]  # noqa: PLW2901
            yield request, completions


@pytest.mark.pictures
def test_the_asset_writes_one_file_that_loads_nothing_else_and_shows_every_figure(finished_copy: MakeArena) -> None:
    arena = finished_copy()
    with scripted_engines(arena, [], []) as engines:
        (result,) = materialize(arena, engines, ("arena_report", None))
    (event,) = result.asset_materializations_for_node("arena_report")
    file = Path(arena.export.folder) / FILE
    assert event.metadata["open"].value == file.as_uri()
    text = file.read_text(encoding="utf-8")
    page_of = Elements(text)
    for tag, attributes in page_of.found:
        assert tag not in ("link", "iframe", "object", "embed", "base", "img")
        for name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,")), (tag, attributes)
    assert not re.search(r"url\((?!#)|@import", text.split("<script", 1)[0])
    pictures = [a["aria-label"] for tag, a in page_of.found if tag == "svg"]
    assert pictures == [one.title for one in page.SECTIONS if one.table.name != "task_categories"]
    assert "alpha of all judges (1 is full agreement, 0 what chance gives): undefined" in text  # each battle has one judge
    data = json.loads(page_of.data)
    selected = Warehouse(arena.warehouse).read("selected_instructions", arena.roster)
    assert {row["instruction_id"] for row in data["rows"]} == set(selected["instruction_id"])
    assert all(row["answers"] and row["votes"] and row["mined"]["asked"]["prompt"] for row in data["rows"])
    assert all(row["answers"][0]["competitor"] in row["why"][0] for row in data["rows"])
    assert all(len(near) == page.NEIGHBOURS and one not in near for one, near in data["near"].items())
    assert "default-src 'none'" in text


@pytest.mark.parametrize("kind", ["another page", "link", "folder"])
def test_a_report_replaces_only_a_report(kind: str, make_arena: MakeArena, tmp_path: Path) -> None:
    arena = make_arena()
    file = Path(arena.export.folder) / FILE
    write_report(arena, Warehouse(arena.warehouse), LedgerReader(arena.warehouse))
    write_report(arena, Warehouse(arena.warehouse), LedgerReader(arena.warehouse))
    page_of, other = file.read_bytes(), tmp_path / "other.html"
    other.write_bytes(page_of)
    file.unlink()
    if kind == "another page":
        file.write_text("<title>mine</title>")
    elif kind == "link":
        file.symlink_to(other)
    else:
        file.mkdir()
    with pytest.raises(FileExistsError, match="expected a report, because"):
        write_report(arena, Warehouse(arena.warehouse), LedgerReader(arena.warehouse))
    assert other.read_bytes() == page_of
    assert kind != "another page" or file.read_text() == "<title>mine</title>"


def test_writing_a_report_follows_no_link(make_arena: MakeArena, tmp_path: Path) -> None:
    arena = make_arena()
    folder, other = Path(arena.export.folder), tmp_path / "other"
    folder.mkdir()
    other.write_text("theirs")
    for name in ("report.new", f".{FILE}.new"):
        (folder / name).symlink_to(other)
    write_report(arena, Warehouse(arena.warehouse), LedgerReader(arena.warehouse))
    assert other.read_text() == "theirs"


def test_any_text_of_a_model_is_data_and_never_markup(make_arena: MakeArena) -> None:
    arena = make_arena()
    with (
        LedgerWriter(arena.warehouse) as ledger,
        Engines(arena.engine, ledger, Path(arena.warehouse), start=lambda *_: Hostile([])) as engines,
    ):
        materialize(arena, engines, *EVERYTHING)
    text = written(arena)
    assert "alert(1)" in text
    assert "\\\\u202e" in text
    assert not obeyed(text)
    assert not obeyed(page_data(text))
    page_of = Elements(text)
    assert [tag for tag, _ in page_of.found].count("script") == 2
    assert "img" not in {tag for tag, _ in page_of.found}
    said: list[dict[str, Any]] = json.loads(page_of.data)["rows"]
    assert any("<img src=x onerror=alert(2)>" in answer["answer"] for row in said for answer in row["answers"])


def test_values_that_answers_return_are_data_and_never_markup(make_arena: MakeArena, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("ann", "bob")
    told = {"instruction_id": "1", "competitor": "ann", "instruction": "Do it.", "rank": 0}
    blank = {"status": "ok", "answer": "", "reasoning": "", "completion_key": None}
    rows: lineage.Rows = {
        "selected_instructions": [told],
        "answers": [blank | {"competitor": name} for name in names],
        "answer_behaviours": [
            {
                "competitor": name,
                "input": f"f({HOSTILE!r})",
                "outcome": outcome,
                "value": HOSTILE + "x" * 2_000,
                "reason": HOSTILE,
            }
            for name, outcome in zip(names, ("returned", "raised"), strict=True)
        ],
    }
    arena = make_arena()
    monkeypatch.setattr(page, "within", lambda *_: ([lineage.lineage(arena, rows, {}, "1")], 0))
    text = written(arena)
    assert not obeyed(text)
    assert not obeyed(page_data(text))
    page_of = Elements(text)
    assert [tag for tag, _ in page_of.found].count("script") == 2
    assert "img" not in {tag for tag, _ in page_of.found}
    (shown,) = json.loads(page_of.data)["rows"]
    (one,) = shown["behaviours"]["inputs"]
    assert one["values"]["ann"]["shown"].startswith("</script><script>alert(1)")
    assert one["values"]["bob"]["shown"].startswith("raised </script>")
    assert "x" * (LONGEST + 1) not in text


def test_a_report_without_tables_says_so_in_every_section(make_arena: MakeArena) -> None:
    text = written(make_arena())
    assert text.count("was never materialized") == len(page.SECTIONS) + 1
    assert json.loads(Elements(text).data) == {"rows": [], "near": {}}


@pytest.mark.parametrize("invalid", ["mined_instructions", "unique_instructions", "selected_instructions", "answer_scores"])
def test_a_report_after_a_table_was_invalidated_shows_the_rest_and_names_what_is_missing(
    finished_copy: MakeArena, invalid: str
) -> None:
    arena = finished_copy()
    whole = json.loads(Elements(written(arena)).data)["rows"]
    warehouse = Warehouse(arena.warehouse)
    warehouse.invalidate(invalid, {key: sha256 for key, sha256 in warehouse.partitions(invalid).items() if key != "bob"})
    text = written(arena)
    assert f"<code>{invalid}</code>: {'all of it' if invalid == 'answer_scores' else 'ann, cyd'}</li>" in text
    assert text.count("</code>: ") == 1
    rows = json.loads(Elements(text).data)["rows"]
    same = ("instruction_id", "instruction", "attacker")
    left = [row for row in whole if invalid != "selected_instructions" or row["attacker"] == "bob"]
    assert sorted([row[name] for name in same] for row in rows) == sorted([row[name] for name in same] for row in left)


def test_a_report_of_half_made_data_shows_what_there_is(make_arena: MakeArena) -> None:
    arena = make_arena()
    found = []
    with scripted_engines(arena, [], []) as engines:
        for made in (
            [("mined_instructions", None)],
            [("unique_instructions", None)],
            [("instruction_difficulty", None), ("instruction_embeddings", None), ("selected_instructions", None)],
            [("answers", "ann"), ("answers", "bob")],
            [("judge_votes", "ann__bob")],
            [("answers", "cyd"), ("judge_votes", None)],
        ):
            materialize(arena, engines, *made)
            text = written(arena)
            rows = json.loads(Elements(text).data)["rows"]
            found.append((len(rows), sum(len(row["answers"]) for row in rows), sum(len(row["votes"]) for row in rows)))
            assert "<code>battle_outcomes</code>: all of it" in text
            assert ("<code>answers</code>: cyd</li>" in text) == (len(found) in (4, 5))
    assert found == [(0, 0, 0), (0, 0, 0), (9, 0, 0), (9, 18, 0), (9, 18, 18), (9, 27, 54)]


def test_rows_beyond_the_file_size_limit_are_counted(finished: tuple[Arena, list[Request]], monkeypatch: Any) -> None:
    arena, _ = finished
    whole = json.loads(Elements(written(arena)).data)["rows"]
    monkeypatch.setattr(page, "BYTES", 3 * max(len(json.dumps(row)) for row in whole))
    text = written(arena)
    some = json.loads(Elements(text).data)["rows"]
    assert some == whole[: len(some)]
    assert 3 <= len(some) < len(whole)
    assert f"{len(whole) - len(some)} more are left out" in text


def test_a_faulty_judge_is_named_in_the_audit_section(finished_copy: MakeArena) -> None:
    arena = finished_copy()
    warehouse = Warehouse(arena.warehouse)
    rows = warehouse.read("judge_audit", [WHOLE]).drop("partition")
    first = rows.with_columns(first=1.0, first_of=100, first_low=0.96, first_high=1.0)
    warehouse.write("judge_audit", WHOLE, first.cast(rows.schema))
    assert "<strong>ann</strong> fails the check: 100% of its votes are for the answer shown first" in written(arena)
