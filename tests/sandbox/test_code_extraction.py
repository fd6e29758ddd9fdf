"""Extraction of the code in an answer, and the binding of a test to the function of that code."""

import ast
import time

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


@pytest.mark.parametrize(
    "text",
    ["`", "[", "(", " ", "\n", "- a\n", "> ", "```\n", "~~~\n```\n", "```python\nx = 1\n```\n", "```python\nx = (\n```\n",
     ">>> a = 1\n", "@a\n", "def f(): x\n", "import a\n", "%\n", "```python\ndef f(): ...\n```\n", "```py title="],
)  # fmt: skip
@pytest.mark.parametrize("start", ["", "```python\n"], ids=["document", "block"])
def test_the_longest_text_is_read_within_seconds(start: str, text: str) -> None:
    began = time.process_time()
    extract_code(start + text * (40_000 // len(text)))
    assert time.process_time() - began < 10


def test_chains_of_assignments_are_followed_in_linear_time() -> None:
    chain = "".join(f"a{n} = g(a{n + 1})\n" for n in range(3_000))
    began = time.process_time()
    code = extract_code(f"```python\n{chain}def f():\n    return a0\n\ninput()\n```")
    assert time.process_time() - began < 10
    assert "a2999" in code.definitions


@pytest.mark.parametrize("length", [100, 500, 2000])
def test_a_chain_of_elif_of_any_length_is_read(length: int) -> None:
    chain = "if n == 0:\n    x = 0\n" + "".join(f"elif n == {i}:\n    x = {i}\n" for i in range(length))
    assert "plus" in extract_code(f"```python\n{PLUS}\nn = 1\n{chain}```").functions


def nested(depth: int) -> str:
    """A `finally` within a `finally`, and so on."""
    lines = [line for i in range(depth) for line in (f"{' ' * i}try:", f"{' ' * i} x = 1", f"{' ' * i}finally:")]
    return "\n".join([*lines, f"{' ' * depth}x = 2"])


@pytest.mark.parametrize(
    "program",
    [nested(18), "def f():\n try:\n" + "  if x: return\n" * 3000 + " finally:\n" + "  a = 1\n" * 5000],
    ids=["nested", "many returns"],
)
def test_a_program_that_the_compiler_would_multiply_is_refused_at_once(program: str) -> None:
    start = time.process_time()
    assert "does not compile" in extract_code(f"```python\n{program}\n```").reason
    assert time.process_time() - start < 5


def test_usual_uses_of_finally_are_code() -> None:
    assert extract_code(f"```python\n{nested(6)}\n{PLUS}\n```").functions == ("plus",)


def test_the_definitions_of_a_program_are_what_remains_without_its_demonstration() -> None:
    program = """
import sys
import plots
import numbers_of_mine as mine
from answer_of_mine import area
SIDE = mine.SIDE
LIMIT = 10
def area(a, b):
    return a * b * SIDE
class TestArea(TestCase):
    pass
slow = area(1, 2)
name = input()
if sys.platform == "linux":
    import fast as area_fast
for n in range(LIMIT):
    print(area(n, n))
assert area(1, 1) == 2
"""
    kept = """
import sys
try:
    import plots
except BaseException:
    pass
import numbers_of_mine as mine
try:
    from answer_of_mine import area
except BaseException:
    pass
try:
    SIDE = mine.SIDE
except BaseException:
    pass
LIMIT = 10

def area(a, b):
    return a * b * SIDE
try:
    name = input()
except BaseException:
    pass
try:
    if sys.platform == 'linux':
        import fast as area_fast
except BaseException:
    pass
"""
    code = extract_code(f"```python\n{program}```")
    assert code.text == program
    assert code.definitions == kept.strip()
    assert extract_code(f"```python\n{PLUS}\n```").definitions == ""


def test_the_last_complete_definition_counts() -> None:
    first, second = "def f():\n    return 1\n", "def f():\n    return 2\n"
    stub = "def f(): ...\n"
    blocks = "".join(f"```python\n{block}```\n" for block in (first, second, stub))
    assert extract_code(blocks).text == f"{first}\n{second}"


@pytest.mark.parametrize("label", ["js", "pytest", "pyramid", "cython", "text", "sage", "console", "bash run.py", "json"])
def test_a_block_with_another_label_is_not_python(label: str) -> None:
    assert extract_code(f"```{label}\n{PLUS}\n```").reason.startswith("no code: ")
