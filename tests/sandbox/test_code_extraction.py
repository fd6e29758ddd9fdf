"""From an answer to its code, and from a test to what is put to that code."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.sandbox.code_extraction import MOST_CHARS, bound_to, code_of, free_names, parsed

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
def test_the_python_of_an_answer_is_its_code_whatever_stands_around_it(answer: str) -> None:
    code = code_of(answer)
    assert code.functions == ("plus",)
    assert "plus" in code.defined
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
        "x" * (MOST_CHARS + 1),
    ],
)
def test_what_holds_no_code_says_why(answer: str) -> None:
    code = code_of(answer)
    assert code.text == ""
    assert code.reason.startswith("no code: ")


def test_blocks_are_one_program() -> None:
    code = code_of("```python\nimport math\n```\nand then\n```python\ndef area(r):\n    return math.pi * r * r\n```")
    assert code.defined == {"math", "area"}


@given(st.text(max_size=200) | st.text(alphabet="`\n pydef():x=1 ", max_size=80))
def test_no_text_is_an_error(text: str) -> None:
    code = code_of(text)
    assert bool(code.text.strip()) != bool(code.reason)
    assert not code.text or parsed(code.text)


@pytest.mark.parametrize(
    ("test", "check", "bound"),
    [
        ("assert add(1, 2) == 3", "assert plus(1, 2) == 3", "add = plus"),
        ("assert [add(x, x) for x in [1]] == [2]", "assert [plus(x, x) for x in [1]] == [2]", "add = plus"),
        ("assert plus(1, 2) == 3", "assert plus(1, 2) == 3", ""),
        ("assert add(sub(1, 2), 2) == 1", "assert add(sub(1, 2), 2) == 1", ""),
    ],
)
def test_the_one_name_that_is_lacking_is_the_one_function(test: str, check: str, bound: str) -> None:
    assert bound_to(code_of(PLUS), test) == (check, bound)


@pytest.mark.parametrize(
    "answer", [PLUS + "\ndef minus(a, b):\n    return a - b", "from math import *\n" + PLUS, "class Adder: pass"]
)
def test_nothing_is_bound_where_another_could_be_meant(answer: str) -> None:
    assert bound_to(code_of(answer), "assert add(1, 2) == 3") == ("assert add(1, 2) == 3", "")


def test_free_names_are_those_that_an_answer_has_to_define() -> None:
    test = "assert sorted(f(x) for x in g()) == list(map(lambda y: y + z, [1]))"
    assert free_names(ast.parse(test)) == {"f", "g", "z"}
