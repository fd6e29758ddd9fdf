"""A judge's completion becomes tests, or a row with the reason why it has none."""

import ast
import logging
import re
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import scripted_engines
from tests.long_texts import assert_linear
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.sandbox.code_extraction import parse_python
from warrior_dagster.stages.battles.unit_tests import generation


def rows(text: str, most: int = 8, error: str | None = None) -> list[dict[str, Any]]:
    request: Any = Request(None, "p", "{}", tag=("ann", "00"))  # type: ignore[arg-type]
    return generation.rows_of(generation.read(request, Completion("key", 0, text, "stop", error=error)), most)


def kept(text: str, most: int = 8) -> list[str]:
    return [row["test"] for row in rows(text, most) if row["status"] == "ok"]


@pytest.mark.parametrize(
    "text",
    [
        "```python\nassert f(1) == 2\nassert f(2) == 3\n```",
        "assert f(1) == 2\nassert f(2) == 3",
        "Tests:\n1. `assert f(1) == 2`\n- assert f(2) == 3\nThat is all.",
        "```\n>>> assert f(1) == 2\nassert f(2) == 3, 'a message that (is no test'\nassert f(\n```",
        "```python\nimport math\n\ndef test_f():\n    assert f(1) == 2\n    assert f(2) == 3\n\ntest_f()\n```",
    ],
)
def test_asserts_are_found_in_any_layout(text: str) -> None:
    assert kept(text) == ["assert f(1) == 2", "assert f(2) == 3"]


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ("assert f(", "does not parse"),
        ("x = f(1)", "is not an assert"),
        ("assert f(random.choice([1])) == 1", "not deterministic: random"),
        ("assert f(time.time()) > 0", "not deterministic: time"),
        ("assert f(clock.now()) > 0", "not deterministic: .now"),
        ("assert f(open('x').read()) == ''", "not deterministic: open"),
        ("assert f(input()) == ''", "not deterministic: input"),
        ("assert hash(f(1)) == 5", "not deterministic: hash"),
        ("assert f.__code__.co_argcount == 1", "not deterministic: .__code__"),
        ("assert __import__('os').getcwd() == f()", "not deterministic: __import__"),
        ("assert (yield f(1))", "does not parse"),
        ("assert len([1]) == 1", "calls nothing of an answer"),
        (f"assert f({'1' * generation.LONGEST_TEST}) == 2", f"longer than {generation.LONGEST_TEST} characters"),
    ],
)
def test_an_unusable_test_is_dropped_with_its_reason(test: str, reason: str) -> None:
    (row,) = rows(f"```\n{test}\n```")
    assert (row["status"], row["reason"]) == ("dropped", reason)


def test_duplicate_tests_and_tests_beyond_the_limit_are_dropped() -> None:
    found = rows("```\nassert f(1)==2\nassert f( 1 ) == 2, 'again'\nassert f(2) == 3\nassert f(3) == 4\n```", most=2)
    assert [row["reason"] for row in found] == ["", "a duplicate", "", "beyond 2 tests"]
    assert len({row["row_id"] for row in found}) == 4


def written(*texts: str, most: int = 8) -> list[dict[str, Any]]:
    """The rows of a writer's samples for one instruction."""
    request: Any = Request(None, "p", "{}", tag=("ann", "00"))  # type: ignore[arg-type]
    completions = [Completion(f"key {number}", number, text, "stop") for number, text in enumerate(texts)]
    return generation.suite_rows([generation.read(request, one) for one in reversed(completions)], most)


def test_samples_of_a_writer_are_one_suite_without_duplicates_each_test_with_its_own_completion() -> None:
    first, second = "assert f(1) == 2\nassert f(2) == 3", "assert f(2)==3\nassert f(3) == 4\nassert f(4) == 5\nassert f(5) == 6"
    found = written(first, second, "NONE", most=2)
    assert [(row["row_id"], row["reason"], row["completion_key"]) for row in found] == [
        ("00:ann:00", "", "key 0"),
        ("00:ann:01", "", "key 0"),
        ("00:ann:s01:00", "a duplicate", "key 1"),
        ("00:ann:s01:01", "", "key 1"),
        ("00:ann:s01:02", "", "key 1"),
        ("00:ann:s01:03", "beyond 2 tests", "key 1"),
        ("00:ann:s02:00", "not runnable: the judge said NONE", "key 2"),
    ]


@given(st.lists(st.sampled_from(["NONE", *(f"assert f({n}) == {n}" for n in range(4))]), max_size=6))
def test_a_further_sample_of_tests_changes_no_row_of_those_before_it(texts: list[str]) -> None:
    for count in range(len(texts)):
        assert written(*texts[:count], most=1) == written(*texts, most=1)[:count]
    kept = [row["test"] for row in written(*texts, most=1) if row["status"] == "ok"]
    assert len(kept) == len(set(kept))


@pytest.mark.parametrize(
    ("text", "error", "status", "reason"),
    [
        ("NONE", None, "none", "not runnable: the judge said NONE"),
        ("**None.**", None, "none", "not runnable: the judge said NONE"),
        ("I would test it by hand.", None, "none", "no test could be read"),
        ("", None, "none", "no test could be read"),
        ("", "HTTP 500", "failed", "HTTP 500"),
    ],
)
def test_an_instruction_without_tests_has_one_row_with_the_reason(
    text: str, error: str | None, status: str, reason: str
) -> None:
    (row,) = rows(text, error=error)
    assert (row["test"], row["status"], row["reason"], row["error"]) == (None, status, reason, error)
    assert row["row_id"] == "00:ann:00"


def test_each_writer_is_asked_about_each_instruction_without_an_answer(make_arena: Callable[..., Arena]) -> None:
    arena, log = make_arena(), list[Request]()
    selected = pl.DataFrame([{"row_id": one, "instruction_id": one, "instruction": f"Add {one}!"} for one in ("00", "01")])
    with scripted_engines(arena, log, []) as engines:
        dispatched = generation.write(arena, engines, selected, ["ann", "bob"], logging.getLogger())
    assert len(log) == 4
    assert all("Add 0" in request.prompt and "You will never see an answer" in request.prompt for request in log)
    found = pl.DataFrame(dispatched.rows, schema=generation.SCHEMA)
    assert set(found.select("writer", "instruction_id").rows()) == {(w, i) for w in ("ann", "bob") for i in ("00", "01")}
    assert set(found["reason"]) == {"no test could be read"}


PIECES = ("assert ", "f(1)", " == ", "2", "\n", "```", "python", "def t():\n    ", "import os", "(", "'", "NONE", "; ", "\\")
words = st.sampled_from(PIECES)


@given(st.text(max_size=200) | st.lists(words, max_size=30).map("".join))
def test_any_text_is_accepted_and_each_kept_test_is_a_normalised_assert(text: str) -> None:
    found = rows(text, most=3)
    assert len(found) >= 1
    assert len({row["row_id"] for row in found}) == len(found)
    good = [row["test"] for row in found if row["status"] == "ok"]
    assert len(good) == len(set(good)) <= 3
    for test in good:
        tree = parse_python(test)
        assert tree
        assert isinstance(tree.body[0], ast.Assert)
        assert ast.unparse(tree) == test
        assert not generation.changing(tree)
    assert all(row["reason"] for row in found if row["status"] != "ok")


@given(st.lists(st.sampled_from((*PIECES, "x = '漢'", "\r", "\r\n", "\f", "\u2028", "    ")), max_size=30).map("".join))
def test_a_statement_is_the_text_that_it_was_parsed_from(text: str) -> None:
    tree = parse_python(text)
    if tree:
        assert list(generation.sources(text, tree.body)) == [ast.get_source_segment(text, node) for node in tree.body]


MARKS = (" ", "\t", "\n", "-", "*", "+", ">>>", "1", "2.", "3)", "`", "assert", "asserts", "none", "NONE", "x", "_", "é")


@given(st.lists(st.sampled_from(MARKS), max_size=12).map("".join))
def test_marks_before_an_assert_and_a_line_that_says_none_are_read_as_they_are_defined(text: str) -> None:
    before = re.compile(r"^\s*(?:>>>|[-*+]|\d+[.)])?\s*`*(?=assert\b)")
    assert generation.BEFORE_ASSERT.sub("", text, count=1) == before.sub("", text, count=1)
    none = re.search(r"^\W*none\W*$", text, re.IGNORECASE | re.MULTILINE)
    assert (generation.SAYS_NONE.search(text) is None) == (none is None)


def test_tests_are_read_in_linear_time() -> None:
    assert_linear(rows)
