"""Extraction of the code in an answer, and the binding of a test to the function of that code."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.sandbox.code_extraction import MAX_CHARS, bind_function, extract_code, parse_python, undefined_names

PLUS = "def plus(a, b):\n    return a + b"


@pytest.mark.parametrize(
    "answer",
    [
        f"Here you are:\n```python\n{PLUS}\n```\nIt adds.",
        f"```\n{PLUS}\n```",
        f"```py\n{PLUS}\n```\nwhich prints\n```\nhello world\n```\n```bash\npip install plus\n```",
        f"1. first\n   ```Python\n   {PLUS.replace(chr(10), chr(10) + '   ')}\n   ```",
        f"```python\n{PLUS}",
        PLUS,
    ],
)
def test_the_python_in_an_answer_is_extracted_from_the_text_around_it(answer: str) -> None:
    code = extract_code(answer)
    assert code.functions == ("plus",)
    assert "plus" in code.defined_names
    assert ast.parse(code.text)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "I cannot.",
        "Yes",
        "```bash\nls\n```",
        "```python\ndef f(:\n```",
        "(" * 9_000,
        "\0",
        "\ud800",
        "x" * (MAX_CHARS + 1),
    ],
)
def test_an_answer_without_code_has_a_reason(answer: str) -> None:
    code = extract_code(answer)
    assert code.text == ""
    assert code.reason.startswith("no code: ")


def test_several_blocks_form_one_program() -> None:
    code = extract_code("```python\nimport math\n```\nand then\n```python\ndef area(r):\n    return math.pi * r * r\n```")
    assert code.defined_names == {"math", "area"}


@given(st.text(max_size=200) | st.text(alphabet="`\n pydef():x=1 ", max_size=80))
def test_any_text_gives_either_code_or_a_reason(text: str) -> None:
    code = extract_code(text)
    assert bool(code.text.strip()) != bool(code.reason)
    assert not code.text or parse_python(code.text)


@pytest.mark.parametrize(
    ("test", "check", "bound"),
    [
        ("assert add(1, 2) == 3", "assert plus(1, 2) == 3", "add = plus"),
        ("assert [add(x, x) for x in [1]] == [2]", "assert [plus(x, x) for x in [1]] == [2]", "add = plus"),
        ("assert plus(1, 2) == 3", "assert plus(1, 2) == 3", ""),
        ("assert add(sub(1, 2), 2) == 1", "assert add(sub(1, 2), 2) == 1", ""),
    ],
)
def test_the_only_undefined_name_is_bound_to_the_only_function(test: str, check: str, bound: str) -> None:
    assert bind_function(extract_code(PLUS), test) == (check, bound)


@pytest.mark.parametrize(
    "answer", [PLUS + "\ndef minus(a, b):\n    return a - b", "from math import *\n" + PLUS, "class Adder: pass"]
)
def test_nothing_is_bound_if_the_function_is_ambiguous(answer: str) -> None:
    assert bind_function(extract_code(answer), "assert add(1, 2) == 3") == ("assert add(1, 2) == 3", "")


def test_undefined_names_are_those_that_an_answer_must_define() -> None:
    test = "assert sorted(f(x) for x in g()) == list(map(lambda y: y + z, [1]))"
    assert undefined_names(ast.parse(test)) == {"f", "g", "z"}
