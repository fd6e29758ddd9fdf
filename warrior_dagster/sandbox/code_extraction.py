"""Extracts runnable code from an answer, which is prose with code in it. Nothing runs here: texts are only parsed.

Which blocks count. All blocks of Python form one program, in their order, as in a notebook: many answers explain a function in
one block and import for it in another. So if a function is defined twice, the last complete definition counts. That is what
Python does, and what readers expect of a first draft and its improvement; an alternative is as right as the first version. An
answer that ends with a warning example of how not to do it is judged by that example.
"""

import ast
import builtins
import symtable
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from warrior_dagster.sandbox.code_blocks import (
    fenced_blocks,
    outdented_fences,
    transcript,
    unfenced_definitions,
    without_magics,
)
from warrior_dagster.sandbox.definitions import FUNCTIONS, IMPORTS, bound, demonstrates, is_stub, modules_of, reduced

MAX_CHARS = 100_000
MAX_NODES = 200_000
"""The most nodes of syntax that a program is compiled from. MAX_CHARS give half of them where nothing is copied."""
BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True, slots=True)
class Code:
    """The code of an answer, or the reason why it has none."""

    text: str = ""
    """The program, as the answer has it."""
    reason: str = ""
    definitions: str = ""
    """The program without what only demonstrates it, for when `text` cannot be loaded; empty if that is no other program."""
    defined_names: frozenset[str] = frozenset()  # the names that its top level defines or imports
    functions: tuple[str, ...] = ()  # the functions that its top level defines
    classes: tuple[str, ...] = ()  # the classes that its top level defines
    modules: frozenset[str] = frozenset()  # the top-level modules that it imports anywhere
    star_import: bool = False  # whether it has a `from x import *`, whose names are unknown before it runs


def extract_code(answer: str) -> Code:
    """The program in an answer: of the readings of it, the first that defines a function or class, else the first of all.

    A text without fences may happen to parse, so it must define something to count as code.
    """
    if len(answer) > MAX_CHARS:
        return Code(reason=f"no code: an answer of more than {MAX_CHARS} characters")
    fenced = fenced_readings(answer)
    first: Code | None = None
    for blocks in chain(fenced, other_readings(answer, fenced)):
        code = program(blocks)
        if code.functions or code.classes:
            return code
        first = first or code
    assert first
    return first if fenced or first.reason or first.defined_names else Code(reason="no code: nothing is defined")


def fenced_readings(answer: str) -> list[list[str]]:
    """The fenced blocks of Python: as CommonMark has them; with fences at any indentation. None if no fence has Python."""
    documents = dict.fromkeys((answer, outdented_fences(answer)))
    found = [[block.text for block in fenced_blocks(document) if block.is_python] for document in documents]
    return [blocks for blocks in found if blocks]


def other_readings(answer: str, fenced: list[list[str]]) -> Iterator[list[str]]:
    """Without fenced Python the whole text; without any fence then what looks like definitions in it. Last what was typed in
    interactive sessions.
    """
    if not fenced:
        yield [answer]
    if not fenced_blocks(answer):
        yield unfenced_definitions(answer)
    for blocks in fenced or [[answer]]:
        yield [transcript(block) for block in blocks]


def program(blocks: Iterable[str]) -> Code:
    """The program that some blocks form: all of them if they compile together, else those that do. If even these do not compile
    together, or none does, the definitions of those that parse are all of the program.
    """
    parsed = without_later_stubs(parsed_block(block) for block in blocks)
    texts = [text for text, _ in parsed]
    statements = [node for _, tree in parsed if tree for node in tree.body]
    text, definitions = "\n".join(texts), unparsed(reduced(statements))
    if not compiles(text):
        text = "\n".join(filter(compiles, texts)) if len(texts) > 1 else ""
    if definitions and not compiles(definitions):
        definitions = ""
    tree = parse_python(text)
    if not tree or not tree.body or not compiles(text):
        text, tree, definitions = definitions, parse_python(definitions), ""
    if not tree or not tree.body:
        return Code(reason=f"no code: {'it does not compile' if statements else 'nothing in it is Python'}")
    symbols = symtable.symtable(text, "answer", "exec").get_symbols()
    return Code(
        text,
        definitions=definitions if definitions != unparsed(tree) else "",
        defined_names=frozenset(s.get_name() for s in symbols if s.is_assigned() or s.is_imported() or s.is_namespace()),
        functions=tuple(dict.fromkeys(node.name for node in tree.body if isinstance(node, FUNCTIONS))),
        classes=tuple(dict.fromkeys(node.name for node in tree.body if isinstance(node, ast.ClassDef))),
        modules=frozenset(module for node in ast.walk(tree) if isinstance(node, IMPORTS) for module in modules_of(node)),
        star_import=any(bound(node) == {"*"} for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)),
    )


def parsed_block(text: str) -> tuple[str, ast.Module | None]:
    """A block and its syntax tree, None if it is not Python. Lines for the shell and for a notebook are no part of it."""
    tree = parse_python(text)
    if tree is None and (other := without_magics(text)) != text:
        text, tree = other, parse_python(other)
    return text, tree


def without_later_stubs(blocks: Iterable[tuple[str, ast.Module | None]]) -> list[tuple[str, ast.Module | None]]:
    """The blocks without those that only repeat signatures of functions that an earlier one defines completely."""
    kept, complete = list[tuple[str, ast.Module | None]](), set[str]()
    for text, tree in blocks:
        statements = tree.body if tree else []
        if not statements or not all(isinstance(s, FUNCTIONS) and is_stub(s) and s.name in complete for s in statements):
            kept.append((text, tree))
        complete |= {s.name for s in statements if isinstance(s, FUNCTIONS) and not is_stub(s)}
    return kept


def unparsed(tree: ast.Module) -> str:
    """A program's text; empty if it is nested too deeply to be written."""
    try:
        return ast.unparse(tree)
    except (RecursionError, MemoryError, ValueError):
        return ""


def compiles(text: str) -> bool:
    """Whether a text is a program: `return 1` or `await main()` parses, but is none. One of more than MAX_NODES is none."""
    tree = parse_python(text)
    if tree is None or compiled_nodes(tree) > MAX_NODES:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "answer", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return False
    return True


def compiled_nodes(tree: ast.Module) -> int:
    """How many nodes the compiler goes through. It copies a `finally` for every way out of its `try`, also within another."""
    total, waiting = 0, list[tuple[ast.AST, int]]([(tree, 1)])
    while waiting:
        node, times = waiting.pop()
        total += times
        copied = set[ast.AST]()
        if isinstance(node, ast.Try | ast.TryStar):
            copied = {*node.finalbody}
            ways_out = 2 + sum(isinstance(inner, ast.Return | ast.Break | ast.Continue) for inner in ast.walk(node))
            waiting += [(child, times * ways_out) for child in copied]
        waiting += [(child, times) for child in ast.iter_child_nodes(node) if child not in copied]
    return total


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
    apart from private ones and those that demonstrate it, the test means that function. The test is changed, not the code, so
    that it does not depend on names in other tests.
    """
    tree = ast.parse(test)
    undefined = undefined_names(tree) - code.defined_names
    functions = [f for f in code.functions if not f.startswith("_") and not demonstrates(f)] or code.functions
    if len(undefined) != 1 or len(functions) != 1 or code.star_import:
        return test, ""
    name, function = undefined.pop(), functions[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == name:
            node.id = function
    return ast.unparse(tree), f"{name} = {function}"
