"""Extracts runnable code from an answer, which is prose with code in it. Nothing runs here: texts are only parsed."""

import ast
import builtins
import re
import symtable
import warnings
from dataclasses import dataclass
from textwrap import dedent

FENCED = re.compile(r"^[ \t]*```[ \t]*([^\s`]*)[^\n`]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
PYTHON_LABELS = ("", "python", "py", "python3")  # of fenced blocks
MAX_CHARS = 100_000
BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True, slots=True)
class Code:
    """The code of an answer, or the reason why it has none."""

    text: str = ""
    reason: str = ""
    defined_names: frozenset[str] = frozenset()  # the names that its top level defines or imports
    functions: tuple[str, ...] = ()  # the functions that its top level defines
    star_import: bool = False  # whether it has a `from x import *`, whose names are unknown before it runs


def extract_code(answer: str) -> Code:
    """The fenced blocks of an answer, joined if that is Python, else those that are Python.

    Without a fence the whole text is taken if it defines something: prose may happen to parse.
    """
    if len(answer) > MAX_CHARS:
        return Code(reason=f"no code: an answer of more than {MAX_CHARS} characters")
    found = fenced_blocks(answer)
    kept = found if parse_python("\n".join(found)) else [block for block in found if parse_python(block)]
    text = "\n".join(kept) if found else answer
    tree = parse_python(text)
    if tree is None or not tree.body:
        return Code(reason="no code: nothing in it is Python")
    try:
        symbols = symtable.symtable(text, "answer", "exec").get_symbols()
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # such as a `return` at the top level
        return Code(reason="no code: it does not compile")
    defined = frozenset(s.get_name() for s in symbols if s.is_assigned() or s.is_imported() or s.is_namespace())
    if not found and not defined:
        return Code(reason="no code: nothing is defined")
    functions = tuple(dict.fromkeys(n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)))
    star = any(alias.name == "*" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for alias in n.names)
    return Code(text, "", defined, functions, star)


def fenced_blocks(text: str) -> list[str]:
    """The contents of the fenced blocks that are labelled as Python or not at all. The last may lack its closing fence."""
    return [dedent(block) for label, block in FENCED.findall(text) if label.lower() in PYTHON_LABELS]


def parse_python(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def undefined_names(test: ast.AST) -> set[str]:
    """The names that a test reads and does not bind, without Python's builtins."""
    names = [node for node in ast.walk(test) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in ast.walk(test) if isinstance(node, ast.arg)}
    return {node.id for node in names} - bound - BUILTINS


def bind_function(code: Code, test: str) -> tuple[str, str]:
    """The test to run against an answer, and the renaming made in it (`add = plus`) or "".

    Many instructions name no function. If exactly one name of the test is undefined and the answer has exactly one function,
    the test means that function. The test is changed, not the code, so that it does not depend on names in other tests.
    """
    tree = ast.parse(test)
    undefined = undefined_names(tree) - code.defined_names
    if len(undefined) != 1 or len(code.functions) != 1 or code.star_import:
        return test, ""
    name, function = undefined.pop(), code.functions[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == name:
            node.id = function
    return ast.unparse(tree), f"{name} = {function}"
