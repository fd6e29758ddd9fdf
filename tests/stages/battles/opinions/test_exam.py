"""The questions of the judges' exam: their better side is known, and no newcomer changes one."""

import polars as pl
import pytest

from warrior_dagster.stages.battles import answering
from warrior_dagster.stages.battles.opinions import exam
from warrior_dagster.stages.battles.unit_tests import execution

FOUNDERS = ["ann", "bob", "cyd", "dan"]
CODE = (
    "Here it is:\n```python\ndef work(x):\n    total = 0\n    for i in range(x):\n        total += i\n    return total\n```\n"
)
SELECTED = pl.DataFrame({"instruction_id": [f"{n:02}" for n in range(8)], "instruction": [f"Do task {n}." for n in range(8)]})


def answers(*names: str) -> pl.DataFrame:
    rows = [
        dict.fromkeys(answering.SCHEMA)
        | {"row_id": one, "instruction_id": one, "competitor": name, "status": "ok", "usable": True}
        | {
            "answer": f"{name} on {one}. {CODE}{name} hopes that this helps with {one}, and with more.",
            "completion_key": name + one,
        }
        for one in SELECTED["instruction_id"]
        for name in names
    ]
    return pl.DataFrame(rows, schema=answering.SCHEMA)


def results(passing: str) -> pl.DataFrame:
    """All tests of all founders pass on the answers of one, and fail on those of the others."""
    rows = [
        dict.fromkeys(execution.SCHEMA)
        | {
            "row_id": f"{one}:{writer}:{n}",
            "instruction_id": one,
            "competitor": name,
            "writer": writer,
            "test": "assert work(1)",
        }
        | {"outcome": "passed" if name == passing else "failed", "answer_key": name + one}
        for one in SELECTED["instruction_id"]
        for name in FOUNDERS
        for writer in FOUNDERS
        for n in range(2)
    ]
    return pl.DataFrame(rows, schema=execution.SCHEMA)


def test_questions_are_of_all_kinds_in_equal_numbers_spread_over_instructions_and_never_of_the_judge_itself() -> None:
    given = exam.material(SELECTED, answers(*FOUNDERS), FOUNDERS)
    asked = exam.questions(given, "ann", 8)
    assert [one.kind for one in asked] == [exam.MISPLACED, exam.CUT_OFF] * 4
    for kind in (exam.MISPLACED, exam.CUT_OFF):
        assert len({one.instruction_id for one in asked if one.kind == kind}) == 4
    for one in asked:
        assert "ann" not in {one.better.author, one.worse.author}
        assert one.better.author == one.worse.author
        assert one.better.text != one.worse.text
        assert one.instruction == f"Do task {int(one.instruction_id)}."
        if one.kind == exam.CUT_OFF:
            assert one.better.text.startswith(one.worse.text)
            assert "def work" in one.worse.text
            assert "return total" not in one.worse.text
    assert {one.name for one in exam.questions(given, "fay", 8)} == {one.name for one in exam.questions(given, "eve", 8)}
    assert len(exam.questions(given, "ann", 1000)) == 2 * 8 * 3  # material is short: three authors, eight instructions


@pytest.mark.parametrize("judge", ["ann", "eve"])
def test_real_questions_are_decided_by_the_tests_of_neither_author_nor_the_judge(judge: str) -> None:
    given = exam.material(SELECTED, answers(*FOUNDERS), FOUNDERS, results("bob"))
    real = [one for one in exam.questions(given, judge, 1000) if one.kind == exam.REAL]
    assert real
    assert {one.better.author for one in real} == {"bob"}
    for one in real:
        writers = set(FOUNDERS) - {judge, one.better.author, one.worse.author}
        assert one.how in {f"of 2 tests of {writer} it fails 2, the other none" for writer in writers}


def test_among_three_competitors_no_judge_has_a_real_question() -> None:
    three = FOUNDERS[:3]
    given = exam.material(SELECTED, answers(*three), three, results("bob").filter(pl.col("competitor").is_in(three)))
    for judge in three:
        assert exam.REAL not in {one.kind for one in exam.questions(given, judge, 1000)}


def test_results_of_other_answers_are_an_error_and_never_a_wrong_question() -> None:
    stale = results("bob").with_columns(answer_key=pl.lit("older"))
    with pytest.raises(LookupError, match="execution_results: it is not of the present answers"):
        exam.material(SELECTED, answers(*FOUNDERS), FOUNDERS, stale)


def test_short_answers_are_not_cut_off() -> None:
    assert exam.first_half("return x + 1") == ""
    assert exam.first_half("word " * 100) == ("word " * 50).strip()
