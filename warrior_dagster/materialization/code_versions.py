"""An asset's code version: a hash of its settings and of every module that the asset's rows depend on.

The modules are the import closure of what the asset's function calls. What is left out, and why, is written in UNVERSIONED.
"""

import ast
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from pydantic import BaseModel

PACKAGE = "warrior_dagster"
DECLARATIONS = ("assets", "tables", "checks")
"""Files that only declare what exists."""
UNVERSIONED = {
    "config": "settings enter by their values, prompts included",
    "warehouse": "where and how rows are stored changes none",
    "processes": "starts and stops processes",
    "materialization": "records what an asset made",
    "inference": "when, where and how fast a request is sent changes no completion",
    "sandbox": "a run's key names the version of the judging (JUDGED_BY), so that only then tests run again",
    "analysis.pictures": "draws rows; the report, which contains pictures, names it",
    "stages.curation.device": "where vectors are computed changes no choice",
}
"""Modules and packages that change no row, each with the reason."""
VERSIONED = {
    "config.reference_sets": "reads texts that rows are made from",
    "inference.prompting": "makes prompts and reads verdicts",
    "inference.chat_template": "renders templates to prompts",
    "inference.request": "makes the keys of completions",
    "sandbox.code_extraction": "decides which code of an answer is run",
}
"""Exceptions within those."""


def code_version(function: Callable[..., Any], settings: Iterable[Any], more: Sequence[ModuleType] = ()) -> str:
    """The code version of an asset whose rows `function` makes: 16 hexadecimal digits.

    `settings` are models, mappings and plain values of the arena. A module enters as its syntax tree without docstrings, so
    that comments, documentation and layout change nothing.
    """
    digest = sha256()
    for one in settings:
        digest.update(json.dumps(one.model_dump(mode="json") if isinstance(one, BaseModel) else one, sort_keys=True).encode())
    for module in versioned_modules(function, more):
        digest.update(syntax(module).encode())
    return digest.hexdigest()[:16]


def versioned_modules(function: Callable[..., Any], more: Sequence[ModuleType] = ()) -> list[str]:
    """The modules that a function's result depends on, by name, sorted, without those that UNVERSIONED leaves out."""
    found, waiting = set[str](), {*modules_called(function), *(module.__name__ for module in more)}
    while waiting:
        module = waiting.pop()
        if module not in found and (is_versioned(module) or module in {one.__name__ for one in more}):
            found.add(module)
            waiting |= imports(module)
    return sorted(found)


def is_versioned(module: str) -> bool:
    """Whether a module counts: by the longest name in the two tables above that contains it."""
    name = module.removeprefix(f"{PACKAGE}.")
    if name.rpartition(".")[2] in DECLARATIONS:
        return False
    inside = [known for known in (*UNVERSIONED, *VERSIONED) if name == known or name.startswith(f"{known}.")]
    return not inside or max(inside, key=len) in VERSIONED


def modules_called(function: Callable[..., Any]) -> set[str]:
    """The package's modules whose names a function uses, itself or through functions beside it."""
    found, seen, waiting = set[str](), set[int](), list[Any]([function])
    while waiting:
        one = waiting.pop()
        while isinstance(one, partial):
            one = one.func
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, ModuleType):
            found.add(one.__name__)
        elif isinstance(one, FunctionType) and one.__module__ == function.__module__:
            waiting += [one.__globals__[name] for name in names(one.__code__) if name in one.__globals__]
            waiting += [cell.cell_contents for cell in one.__closure__ or () if cell_filled(cell)]
        elif isinstance(one, FunctionType | type):
            found.add(one.__module__)
    return {name for name in found if name.startswith(f"{PACKAGE}.") and name != function.__module__}


def names(code: CodeType) -> Iterator[str]:
    """All global names that a function's code uses, inner functions included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names(constant)


def cell_filled(cell: Any) -> bool:
    """Whether a closure's variable has a value yet; a function that is being decorated has none."""
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


@cache
def tree(module: str) -> ast.Module:
    """A module's syntax tree."""
    spec = find_spec(module)
    assert spec
    assert spec.origin
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


@cache
def imports(module: str) -> frozenset[str]:
    """The package's modules that a module imports, at its top or within functions."""
    found = set[str]()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE):
            found |= {module_of(node.module, alias.name) for alias in node.names}
    return frozenset(name for name in found if name.startswith(f"{PACKAGE}."))


def module_of(package: str, name: str) -> str:
    """The module that `from package import name` reads: that of the name, if it is a module itself, else the package."""
    spec, inner = find_spec(package), f"{package}.{name}"
    return inner if spec and spec.submodule_search_locations and find_spec(inner) else package


@cache
def syntax(module: str) -> str:
    """A module's syntax tree as text, without docstrings and the bare strings that describe attributes."""

    class WithoutText(ast.NodeTransformer):
        def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
            is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
            return None if is_text else self.generic_visit(node)

    return ast.dump(WithoutText().visit(tree(module)))
