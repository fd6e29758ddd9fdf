"""The names of a check that are its own, whatever the code under test makes of them: builtins, and modules of Python."""

import ast
import builtins
import importlib
from collections.abc import Iterable
from types import UnionType
from typing import Any, get_args

from warrior_dagster.sandbox.guest.remote import PLAIN_TYPES, Channel, Derived, is_remote

RUN_TEXT = ("builtins", "code", "marshal", "pickle", "runpy", "shelve")
"""Modules with which a check would run what the code returns."""
SHARED_MODULES = {
    *("bisect", "cmath", "collections", "copy", "decimal", "fractions", "functools", "heapq", "itertools", "json", "math"),
    *("operator", "re", "statistics", "string", "typing"),
}
"""Modules of the standard library that the check imports itself where the code under test imports them: that code's own would
be asked to compare.
"""


def own_names(code: str, check: list[ast.AST], used: set[str], installed: Iterable[str]) -> dict[str, Any]:
    """The names that a check uses and that mean modules, or what the code imports from modules, with their values.

    A name also means a module if the check reads one of the module's attributes of it. `installed` are the modules that may be
    imported beside the standard library.
    """
    found, modules = dict[str, Any](), {*SHARED_MODULES, *installed}
    try:
        body = ast.parse(code).body if "import" in code else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}  # the code cannot be loaded either
    for statement in body:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                bound = alias.asname or alias.name.partition(".")[0]
                if bound in used and alias.name.partition(".")[0] in modules:
                    found |= imported(bound, alias.name if alias.asname else bound)
        elif isinstance(statement, ast.ImportFrom) and (statement.module or "").partition(".")[0] in modules:
            for alias in statement.names:
                if (alias.asname or alias.name) in used and not statement.level:
                    found |= imported(alias.asname or alias.name, str(statement.module), alias.name)
    for node in check:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules - set(found):
            module = imported(node.value.id, node.value.id)
            found |= module if hasattr(module.get(node.value.id), node.attr) else {}
    return found


def imported(bound: str, module: str, attribute: str = "") -> dict[str, Any]:
    """A module, or one of its attributes, by the name that it is bound to; nothing if there is none."""
    try:
        value = importlib.import_module(module)
        return {bound: getattr(value, attribute) if attribute else value}
    except (ImportError, AttributeError):
        return {}


def check_builtins(channel: Channel) -> dict[str, Any]:
    """Python's builtins, with functions that know remote objects in place of those that would look at their Python class.

    Text of the code is not run in the check's process.
    """

    def check_isinstance(value: Any, kinds: Any) -> bool:
        every = kinds if isinstance(kinds, tuple) else get_args(kinds) if isinstance(kinds, UnionType) else (kinds,)
        if not any(map(is_remote, (value, *every))):
            plain = not isinstance(value, Derived) or all(kind in PLAIN_TYPES for kind in every)
            return isinstance(value, kinds) or (False if plain else channel.abstain("asks for a class of the code's own"))
        if any(is_remote(kind) or kind not in PLAIN_TYPES for kind in every):
            channel.abstain("asks for the class of an object that is not a plain value")
        channel.rests_on_object = True
        return False

    def check_type(value: Any, *arguments: Any) -> Any:
        if is_remote(value) or isinstance(value, Derived):
            channel.abstain("asks for the class of an object of the code's own")
        return type(value, *arguments)

    def on_plain(function: Any) -> Any:
        def called(*arguments: Any) -> Any:
            if arguments and is_remote(arguments[0]) and not (function is hasattr and not arguments[1].startswith("__")):
                channel.abstain(f"asks for {function.__name__} of an object that is not a plain value")
            return function(*arguments)

        return called

    def runs_text(*_: Any, **__: Any) -> Any:
        return channel.abstain("runs text as code")

    def check_import(name: str, *arguments: Any, **keywords: Any) -> Any:
        return runs_text() if name.partition(".")[0] in RUN_TEXT else builtins.__import__(name, *arguments, **keywords)

    own = {"isinstance": check_isinstance, "type": check_type, "__import__": check_import}
    own |= {function.__name__: on_plain(function) for function in (hasattr, issubclass, vars, dir)}
    return {**vars(builtins), **own, **dict.fromkeys(("eval", "exec", "compile"), runs_text)}
