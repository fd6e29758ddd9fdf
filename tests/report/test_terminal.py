"""What the terminal gets: text of models as it is, and nothing that the terminal would obey."""

import io
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from hypothesis import given
from rich.console import Console

from tests.hostile_text import TEXTS, obeyed
from warrior_dagster.cli import output
from warrior_dagster.inference.progress import Progress, periodic_log, progress_bars
from warrior_dagster.report import evidence_shown, terminal
from warrior_dagster.report.behaviours import compared

STYLE = re.compile(r"\x1b\[[\d;]*m")
"""What the program itself sends for colours; `\\x1b]8` would be a link."""


def console() -> Console:
    """A console as the commands have, of a terminal with colours."""
    return output.plain_console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=200)


def printed(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return STYLE.sub("", on.file.getvalue())


def lineage_of(text: str) -> dict[str, Any]:
    """A lineage in which every text that a model or server could choose is `text`."""
    asked = {"model": text, "prompt": text, "sample": 0, "params": {}}
    vote = {"judge": "j", "left": "a", "right": "b", "evidence": "opinion", "order": "left_first", "status": text}
    return {
        "instruction_id": "1",
        "instruction": text,
        "attacker": "a",
        "mined": {"language": text, "temperature": 1.0, "top_p": 1.0, "sample": 0, "completion_key": "k", "asked": asked},
        "kept": False,
        "duplicate_of": text or "1",
        "similarity": 0.9,
        "difficulty": {"score": 1.0, "band": text or "poor", "kept": True},
        "ratings": [{"judge": "j", "score": None, "on_topic": None, "reason": text, "text": text}],
        "rank": 0,
        "why": [text, text],
        "answers": [
            {"competitor": "a", "answer": text, "status": text, "completion_key": "k", "score": 1.0}
            | {"gold": True, "decided_by": text}
        ],
        "votes": [
            vote | {"reason": reason, "verdict": None, "p_left": None, "p_right": None, "text": text} | {"completion_key": "k"}
            for reason in (text, "")
        ],
        "tests": [{"writer": "j", "test": text, "outcomes": {"a": text}}],
        "outcomes": [
            {"left": "a", "right": "b", "outcome": 1.0, "decided_by": text, "opinions_for_left": None, "agreement": 0.5},
        ],
        "behaviours": compared([{"input": text, "competitor": "a", "outcome": "returned", "value": text, "reason": ""}], ["a"]),
    }


@given(TEXTS)
def test_no_text_of_a_model_is_obeyed_by_the_terminal(text: str) -> None:
    on = console()
    terminal.show_lineage(on, lineage_of(text))
    terminal.show_found(
        on, pl.DataFrame([{"instruction_id": "1", "competitor": "a", "instruction": text.encode("utf-8", "replace").decode()}])
    )
    assert not obeyed(printed(on))


def test_a_value_of_many_characters_is_shown_harmlessly_and_cut() -> None:
    value = "\x1b[31m\x1b]0;title\x07[bold]<b>" + "x" * 2_000
    blank = {"answer": "", "status": "ok", "completion_key": "k", "score": None, "decided_by": None}
    rows = [{"input": "f()", "competitor": name, "outcome": "returned", "value": value, "reason": ""} for name in "ab"]
    one = lineage_of("") | {
        "answers": [blank | {"competitor": name, "gold": name == "a"} for name in "ab"],
        "behaviours": compared(rows, "ab"),
    }
    terminal.show_lineage(on := console(), one)
    shown = printed(on)
    assert not obeyed(shown)
    assert shown.count("= \\u001b[31m\\u001b]0;title\\u0007[bold]<b>x") == 2
    assert shown.count("x") < 400


def test_the_reason_comes_before_the_answers_and_equal_values_of_the_best_are_marked() -> None:
    did = {"a": ("returned", "41"), "b": ("returned", "7"), "c": ("raised", "ValueError"), "d": ("returned", "41")}
    rows = [{"input": "f(1)", "competitor": name, "outcome": o, "value": v, "reason": v} for name, (o, v) in did.items()]
    blank = {"answer": "TEXT", "status": "ok", "completion_key": "k", "score": None, "decided_by": None}
    one = lineage_of("") | {
        "why": ["a won: decided by tests.", "Weights of the judges."],
        "answers": [blank | {"competitor": name, "gold": name == "a"} for name in did],
        "behaviours": compared(rows, list(did)),
        "outcomes": [
            {"left": "b", "right": "a", "outcome": 0.0, "decided_by": "execution", "opinions_for_left": 0.25, "agreement": 0.5},
        ],
    }
    terminal.show_lineage(on := console(), one)
    shown = printed(on)
    assert shown.index("a won: decided by tests.") < shown.index("TEXT")
    (cells,) = [re.split(r"\s*│\s*", line)[1:-1] for line in shown.splitlines() if "f(1)" in line]
    assert cells == ["f(1)", "= 41", "7", "raised ValueError", "= 41"]
    (battle,) = [re.split(r"\s*│\s*", line)[1:-1] for line in shown.splitlines() if "b and a" in line]
    assert battle == ["b and a", "a", "execution", "25%", "50%"]


def test_a_vote_names_the_answer_that_it_prefers_and_an_abstention_its_reason() -> None:
    vote = {"judge": "judy", "left": "ann", "right": "bob", "evidence": "opinion", "order": "left_first", "text": "why"}
    votes = [
        vote | {"verdict": "right", "p_left": 0.25, "p_right": 0.75, "reason": "", "completion_key": "0123456789abcdef"},
        vote | {"verdict": "tie", "p_left": 0.5, "p_right": 0.5, "reason": "", "completion_key": None},
        vote | {"verdict": None, "p_left": None, "p_right": None, "reason": "cut off", "completion_key": None},
    ]
    terminal.show_lineage(on := console(), lineage_of("") | {"votes": votes})
    rows = [re.split(r"\s{2,}", line.strip()) for line in printed(on).splitlines() if "ann and bob" in line]
    of_judge = ["opinion left_first", "judy", "ann and bob"]
    assert rows == [
        [*of_judge, "bob 0.75", "why (completion 0123456789ab)"],
        [*of_judge, "neither", "why"],
        [*of_judge, "no vote", "cut off"],
    ]


def test_on_eighty_columns_no_name_in_the_votes_is_cut() -> None:
    left, right = "qwen2.5-coder-7b-instruct", "qwen2.5-coder-32b-instruct"
    vote = {
        "judge": "deepseek-coder-6.7b-instruct",
        "left": left,
        "right": right,
        "evidence": "opinion",
        "order": "right_first",
    }
    decided = {"verdict": "right", "p_left": 0.25, "p_right": 0.75, "reason": "", "text": "", "completion_key": None}
    one = lineage_of("") | {"votes": [vote | decided]}
    on = output.plain_console(file=io.StringIO(), width=80)
    on.print(evidence_shown.votes(one))
    assert "…" not in printed(on)
    assert all(len(line) <= 80 for line in printed(on).splitlines())


def test_what_was_run_is_shown_before_who_voted() -> None:
    vote = {"judge": "j", "left": "a", "right": "b", "evidence": "opinion", "order": "", "status": "tie", "text": "words"}
    decided = {"verdict": "tie", "p_left": 0.5, "p_right": 0.5, "reason": "", "completion_key": None}
    one = lineage_of("some text") | {"votes": [vote | decided]}
    assert [table.columns[0].header for table in evidence_shown.tables(one)] == ["test", "input", "battle", "evidence"]


MARKUP = "[bold]x[/bold] [link=http://x]y[/link] [/] :bug: \\[red]"


def test_markup_and_codes_of_emoji_in_a_text_are_shown_as_they_are() -> None:
    on = console()
    terminal.show_lineage(on, lineage_of(MARKUP))
    assert printed(on).count(MARKUP) >= 6
    assert printed(on).count("bold") == 2 * printed(on).count("[bold]x[/bold]")


@given(TEXTS)
def test_no_line_of_a_command_is_obeyed(text: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        output.say(text)
        output.say_json({"text": [text]})
        output.note(text)
        output.warn(text)
        with pytest.raises(typer.Exit):
            output.fail(text)
    assert not obeyed(out.getvalue() + err.getvalue())


def test_every_command_prints_through_these_functions() -> None:
    source = "".join(file.read_text() for file in Path(output.__file__).parent.glob("*.py"))
    assert (source.count("typer.echo("), source.count("errors.print(")) == (1, 2)
    assert not re.search(r"(?<!\w)print\(", source.replace("errors.print(", ""))


@given(TEXTS)
def test_no_reason_of_a_server_is_obeyed_in_a_progress(text: str) -> None:
    lines, on = list[str](), console()
    Progress(periodic_log(lines.append), "votes", 2).wait_for(text + "!")
    with progress_bars(on) as report:
        Progress(report, "votes", 2).wait_for(text + "!")
    assert lines
    assert not obeyed("".join(lines))
    assert "votes" in printed(on)
    assert not obeyed(re.sub(r"\x1b\[(?:\?25[lh]|\d*[A-K])|\r", "", printed(on)))  # what a bar needs to be drawn again
