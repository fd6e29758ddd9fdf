"""What `warrior plan` prints: columns that say what they count, reasons once, and nothing that the terminal would obey."""

import io
from datetime import UTC, datetime

from hypothesis import given

from tests.hostile_text import TEXTS, obeyed
from tests.planning.test_sentence import line
from tests.report.test_terminal import console, printed
from warrior_dagster.cli import output
from warrior_dagster.planning.cost import totals
from warrior_dagster.planning.last_run import LastRun, Use
from warrior_dagster.planning.runs import RunsLine
from warrior_dagster.report.plan_shown import reasons, show_last_run, show_plan, show_runs


@given(TEXTS)
def test_no_text_of_a_plan_is_obeyed_by_the_terminal(text: str) -> None:
    lines = [line(f"org/{text}", 1.0, None, text)]
    show_plan(on := console(), lines, totals(lines))
    assert not obeyed(printed(on))


def test_each_column_says_what_it_counts() -> None:
    lines = [line("org/a"), line("org/b", None, None)]
    show_plan(on := console(), lines, totals(lines))
    shown = printed(on).splitlines()
    first, second = (text.split() for text in shown[2:4])
    assert first == ["of", "it", "tokens", "tokens", "GPU"]
    assert second == ["stage", "paid", "to", "ask", "estimated", "in", "out", "hours", "cost"]
    rows = [text.split() for text in shown if text.lstrip().startswith(("answers", "all"))]
    counts = ["9", "1,500", "500", "600k", "1.7M"]
    assert rows == [
        ["answers", *counts, "1.1", "2.10"],
        ["answers", *counts, "?", "?"],
        ["all", "18", "3,000", "1,000", "1.2M", "3.4M", "?", "?"],
    ]


def test_a_table_of_large_numbers_fits_eighty_columns() -> None:
    lines = [line("org/Qwen2.5-Coder-1.5B-Instruct")]
    large = dict.fromkeys(("in_ledger", "to_send", "estimated", "prompt_tokens", "completion_tokens"), 123_456_789)
    show_plan(
        on := output.plain_console(file=io.StringIO(), width=80),
        lines,
        totals(lines) | large | {"gpu_hours": 12_345.0, "cost": 12_345.67},
    )
    table = printed(on).partition("Counts are of")[0]
    assert "…" not in table
    assert "123M" in table
    assert table.split()[-3:] == ["123M", "12,345", "12,345.67"]


def test_without_a_gpu_there_is_time_instead_of_gpu_hours() -> None:
    lines = [line("org/a", 1.0, None)]
    show_plan(on := console(), lines, totals(lines), on_gpus=False)
    assert " time" in printed(on)
    assert "1 h" in printed(on)
    assert "GPU" not in printed(on)


def test_a_reason_is_there_once_with_what_it_is_about() -> None:
    everywhere, own = "tokens: half of the limits", "speed: rule of thumb"
    lines = [line("org/a", 1.0, 1.0, everywhere, own), line("org/b", 1.0, 1.0, everywhere)]
    assert reasons(lines) == [everywhere, f"a: {own}"]


def test_models_whose_paths_end_alike_are_told_apart() -> None:
    lines = [line("/new/coder", 1.0, 1.0, "speed: guessed"), line("/old/coder"), line("org/other")]
    show_plan(on := console(), lines, totals(lines))
    titles = {text.strip() for text in printed(on).splitlines()}
    assert {"/new/coder", "/old/coder", "other"} <= titles
    assert reasons(lines) == ["/new/coder: speed: guessed"]


def test_runs_of_code_are_shown_with_their_time_or_that_it_is_unknown() -> None:
    known = RunsLine("execution_results", 5, 0, 0, 0.0, "")
    slow = RunsLine("execution_results", 0, 90, 60, 30.0, "expected: so far")
    unknown = RunsLine("execution_results", 0, 90, 0, None, "no isolation")
    show_runs(on := console(), [known, slow, unknown])
    assert printed(on).splitlines() == [
        "execution_results: 0 runs of code to do, 5 done",
        "execution_results: 90 runs of code to do (60 of them expected), 0 done; at least 30 s on this machine"
        " (expected: so far)",
        "execution_results: 90 runs of code to do, 0 done; time unknown on this machine (no isolation)",
    ]


STARTED = datetime(2026, 11, 28, 10, 2, tzinfo=UTC)


def test_planned_stands_beside_actual_for_each_stage_that_asked() -> None:
    planned = {"answers": Use(completions=90, completion_tokens=900, gpu_hours=1.0), "judge_votes": Use()}
    actual = {"answers": Use(completions=80, completion_tokens=700, gpu_hours=2.0), "judge_votes": Use()}
    show_last_run(on := console(), LastRun(started=STARTED, finished=STARTED, planned=planned, actual=actual))
    shown = printed(on)
    assert "The run of 2026-11-28 10:02 UTC: planned and actual" in shown
    rows = [text.split() for text in shown.splitlines() if text.lstrip().startswith(("answers", "all", "judge_votes"))]
    assert rows == [["answers", "90", "80", "900", "700", "1", "2"], ["all", "90", "80", "900", "700", "1", "2"]]


def test_the_times_of_a_run_without_gpus_fit_eighty_columns() -> None:
    use = Use(completions=123_456, completion_tokens=123_456_789, gpu_hours=9.0, seconds=1_440)
    run = LastRun(started=STARTED, finished=STARTED, planned={"instruction_difficulty": use}, actual={"judge_votes": use})
    show_last_run(on := output.plain_console(file=io.StringIO(), width=80), run, on_gpus=False)
    shown = printed(on)
    assert "instruction_difficulty" in shown
    assert "24 min" in shown
    assert "GPU" not in shown


def test_a_run_that_asked_for_nothing_shows_nothing_and_one_that_was_stopped_says_so() -> None:
    show_last_run(on := console(), LastRun(started=STARTED, finished=STARTED, planned={"answers": Use()}))
    assert printed(on) == ""
    show_last_run(on, LastRun(started=STARTED, planned={"answers": Use(completions=1)}))
    assert "10:02 UTC, which did not end: planned and actual" in printed(on)
