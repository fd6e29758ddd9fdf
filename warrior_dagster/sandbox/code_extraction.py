"""From an answer, which is prose with code in it, to the code that can be run. Nothing is run here; texts are only parsed."""

import ast
import builtins
import re
import symtable
import warnings
from dataclasses import dataclass
from textwrap import dedent

FENCED = re.compile(r"^[ \t]*```[ \t]*([^\s`]*)[^\n`]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
PYTHON = ("", "python", "py", "python3")
"""How a block of Python may be labelled."""
MOST_CHARS = 100_000
BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True, slots=True)
class Code:
    """An answer's code, or why there is none."""

    text: str = ""
    reason: str = ""
    defined: frozenset[str] = frozenset()
    """The names of its top level."""
    functions: tuple[str, ...] = ()
    """Those that are functions of its own."""
    open_ended: bool = False
    """Whether it imports names that nobody can know before it runs (`from x import *`)."""


def code_of(answer: str) -> Code:
    """The fenced blocks of an answer, together if that is Python, else those that are; without any the whole text.

    A text without a fence must define something: prose may happen to parse.
    """
    if len(answer) > MOST_CHARS:
        return Code(reason=f"no code: an answer of more than {MOST_CHARS} characters")
    found = blocks(answer)
    kept = found if parsed("\n".join(found)) else [block for block in found if parsed(block)]
    text = "\n".join(kept) if found else answer
    tree = parsed(text)
    if tree is None or not tree.body:
        return Code(reason="no code: nothing in it is Python")
    try:
        symbols = symtable.symtable(text, "answer", "exec").get_symbols()
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # such as a `return` at the top
        return Code(reason="no code: it does not compile")
    defined = frozenset(s.get_name() for s in symbols if s.is_assigned() or s.is_imported() or s.is_namespace())
    if not found and not defined:
        return Code(reason="no code: nothing is defined")
    functions = tuple(dict.fromkeys(n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)))
    star = any(alias.name == "*" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for alias in n.names)
    return Code(text, "", defined, functions, star)


def blocks(text: str) -> list[str]:
    """The contents of the fenced blocks that are labelled as Python or not at all; the last may lack its end."""
    return [dedent(block) for label, block in FENCED.findall(text) if label.lower() in PYTHON]


def parsed(text: str) -> ast.Module | None:
    """The syntax tree, or None for what is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def free_names(test: ast.AST) -> set[str]:
    """The names that a test reads and neither binds itself nor has from Python."""
    names = [node for node in ast.walk(test) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in ast.walk(test) if isinstance(node, ast.arg)}
    return {node.id for node in names} - bound - BUILTINS


def bound_to(code: Code, test: str) -> tuple[str, str]:
    """A test as it is put to an answer, and the name that was bound to the answer's one function, if one was (`add = plus`).

    A request often names no function. So where the test lacks exactly one name, and the answer has exactly one function, that
    is the one it means. The name is put into the test rather than the code: no test depends on what others call it.
    """
    tree = ast.parse(test)
    lacking = free_names(tree) - code.defined
    if len(lacking) != 1 or len(code.functions) != 1 or code.open_ended:
        return test, ""
    name, function = lacking.pop(), code.functions[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == name:
            node.id = function
    return ast.unparse(tree), f"{name} = {function}"
