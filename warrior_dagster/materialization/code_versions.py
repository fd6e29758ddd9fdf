"""An asset's code version: a hash of its settings and of every module that the asset's rows depend on.

The modules are the import closure of what the asset's function calls. What is left out, and why, is written in UNVERSIONED.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from pydantic import BaseModel

PACKAGE = "warrior_dagster"
DECLARATIONS = ("assets", "checks")
"""Files of which only the functions count that an asset uses."""
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
    "config.reference_files": "reads such texts from files",
    "config.matchups": "says which competitor is on which side",
    "inference.prompting": "makes prompts and reads verdicts",
    "inference.chat_template": "renders templates to prompts",
    "inference.neutralising": "changes texts in prompts, and refuses prompts",
    "inference.rendering": "says which templates fail",
    "inference.template_worker": "writes what a template makes of messages",
    "inference.reasoning": "divides a reply into reasoning and answer",
    "inference.chat_service": "makes the prompts of services that only chat",
    "inference.request": "makes the keys of completions",
    "inference.identity": "says which model a key is of",
    "inference.validation": "says which log-probabilities a verdict may be read from",
    "sandbox.code_blocks": "finds the code in an answer",
    "sandbox.code_extraction": "decides which code of an answer is run",
    "sandbox.definitions": "decides what of a program is run when it cannot be loaded",
}
"""Exceptions within those."""


def code_version(function: Callable[..., Any], settings: Iterable[Any], more: Sequence[ModuleType] = ()) -> str:
    """The code version of an asset whose rows `function` makes: 16 hexadecimal digits.

    `settings` are models, mappings and plain values of the arena. Code enters as its syntax tree without docstrings, so that
    comments, documentation and layout change nothing.
    """
    digest = sha256()
    for one in settings:
        digest.update(json.dumps(one.model_dump(mode="json") if isinstance(one, BaseModel) else one, sort_keys=True).encode())
    for own in sorted(reached(function)[1], key=lambda own: own.__qualname__):
        digest.update(own_syntax(own).encode())
    for module in versioned_modules(function, more):
        digest.update(syntax(module).encode())
    return digest.hexdigest()[:16]


def versioned_modules(function: Callable[..., Any], more: Sequence[ModuleType] = ()) -> list[str]:
    """The modules that a function's result depends on, by name, sorted, without those that UNVERSIONED leaves out."""
    named = {module.__name__ for module in more}
    found, waiting = set[str](), reached(function)[0] | named
    while waiting:
        module = waiting.pop()
        if module not in found and (is_versioned(module) or module in named):
            found.add(module)
            waiting |= set(imported(module).values())
    return sorted(found)


def is_versioned(module: str) -> bool:
    """Whether a module counts: by the longest name in the two tables above that contains it."""
    name = module.removeprefix(f"{PACKAGE}.")
    if name.rpartition(".")[2] in DECLARATIONS:
        return False
    inside = [known for known in (*UNVERSIONED, *VERSIONED) if name == known or name.startswith(f"{known}.")]
    return not inside or max(inside, key=len) in VERSIONED


def reached(function: Callable[..., Any]) -> tuple[set[str], list[FunctionType]]:
    """The package's modules whose names a function uses, and the functions of its own module that it uses, itself included."""
    modules, own, waiting = set[str](), list[FunctionType](), list[Any]([function])
    while waiting:
        one = waiting.pop()
        while isinstance(one, partial):
            one = one.func
        if isinstance(one, FunctionType) and one.__module__ == function.__module__ and one not in own:
            own.append(one)
            used, elsewhere = set(names(one.__code__)), imported(one.__module__)
            modules |= {elsewhere[name] for name in used & elsewhere.keys()}
            waiting += [one.__globals__[name] for name in used - elsewhere.keys() if name in one.__globals__]
            waiting += [cell.cell_contents for cell in one.__closure__ or () if cell_filled(cell)]
        elif isinstance(one, FunctionType | type) and one.__module__.startswith(f"{PACKAGE}."):
            modules.add(one.__module__)
    return modules - {function.__module__}, own


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


def tree(module: str) -> ast.Module:
    """A module's syntax tree."""
    spec = find_spec(module)
    assert spec
    assert spec.origin
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


@cache
def imported(module: str) -> dict[str, str]:
    """The names that a module imports from the package, at its top or within functions, with the module of each."""
    return {
        alias.asname or alias.name: module_of(node.module, alias.name)
        for node in ast.walk(tree(module))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE)
        for alias in node.names
    }


def module_of(package: str, name: str) -> str:
    """The module that `from package import name` reads: that of the name, if it is a module itself, else the package."""
    spec, inner = find_spec(package), f"{package}.{name}"
    return inner if spec and spec.submodule_search_locations and find_spec(inner) else package


class WithoutText(ast.NodeTransformer):
    """Removes docstrings and the bare strings that describe attributes."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)


@cache
def syntax(module: str) -> str:
    """A module's syntax tree as text."""
    return ast.dump(WithoutText().visit(tree(module)))


@cache
def own_syntax(function: FunctionType) -> str:
    """A function's syntax tree as text, without its decorators; empty for a lambda, whose names count."""
    if function.__name__ == "<lambda>":
        return ""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef)
    node.decorator_list = []
    return ast.dump(WithoutText().visit(node))
