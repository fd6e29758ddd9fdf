"""The process that runs a check: ordinary Python, in which the names of the code under test are its remote objects.

It is confined like the code under test, because models write checks too. Every comparison is made here, over plain values,
and the code under test sees none. A check passes if it ends without an exception and nothing in it rested on an object of the
code's own.
"""

import ast
import builtins
import importlib
import json
import os
import sys
from collections.abc import Callable
from types import FunctionType, UnionType
from typing import Any, NoReturn, get_args

from warrior_dagster.sandbox.guest.conversation import Conversation, describe
from warrior_dagster.sandbox.guest.kernel import write_all
from warrior_dagster.sandbox.guest.remote import Remote, RemoteFunction, is_remote
from warrior_dagster.sandbox.guest.values import Encoded, NotPlain

FILE = "check"
PLAIN_TYPES = (int, float, complex, bool, str, bytes, bytearray, list, tuple, set, frozenset, dict, range, type(None))
"""The classes that no remote object is an instance of."""
SHARED_MODULES = {
    *("bisect", "cmath", "collections", "copy", "decimal", "fractions", "functools", "heapq", "itertools", "json", "math"),
    *("operator", "re", "statistics", "string", "typing"),
}
"""Modules of the standard library that the check imports itself where the code under test imports them: that code's own would
be asked to compare.
"""


def run_check(text: str, code: str, modules: list[str], descriptor: int, reports: int) -> NoReturn:
    """Run a check of some code. Reports the lines "compiled" and "loaded", then [outcome, reason].

    `modules` are the top-level names of installed modules. The descriptors are of the code's process and of the supervisor.
    """
    channel = CheckEnd(descriptor, reports)
    try:
        tree = ast.parse(text)
        compiled = compile(tree, FILE, "exec", dont_inherit=True)
    except BaseException as error:
        channel.report("error", describe(error))
    nodes = list(ast.walk(tree))
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    shared = shared_names(code, nodes, used, {*SHARED_MODULES, *modules})
    write_all(reports, b"compiled\n")
    known = channel.request("known", sorted(used - set(shared)))  # waits until the code is loaded
    write_all(reports, b"loaded\n")
    namespace = {"__builtins__": check_builtins(channel), "__name__": FILE, **channel.names(known, used), **shared}
    try:
        exec(compiled, namespace)
        channel.request("known", [])  # the code has not ended meanwhile
    except BaseException as error:
        channel.report("failed" if isinstance(error, AssertionError) else "error", reason_of(error))
    if channel.rests_on_object:
        channel.abstain("compares an object that is not a plain value")
    channel.report("passed", "")


def reason_of(error: BaseException) -> str:
    """Why a check did not pass."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if type(error) is AssertionError and not error.args and trace is not None and trace.tb_frame.f_code.co_filename == FILE:
        return f"the assert in line {trace.tb_lineno} does not hold"
    return describe(error)


def shared_names(code: str, check: list[ast.AST], used: set[str], modules: set[str]) -> dict[str, Any]:
    """The names of a check that mean modules, or what the code imports from them, whatever the code under test makes of them.

    A name also means a module if the check reads one of the module's attributes of it.
    """
    found = dict[str, Any]()
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


def check_builtins(channel: "CheckEnd") -> dict[str, Any]:
    """Python's builtins, with functions that know remote objects in place of those that would look at their Python class."""

    def check_isinstance(value: Any, kinds: Any) -> bool:
        every = kinds if isinstance(kinds, tuple) else get_args(kinds) if isinstance(kinds, UnionType) else (kinds,)
        if not any(map(is_remote, (value, *every))):
            return isinstance(value, kinds)
        if any(is_remote(kind) or kind not in PLAIN_TYPES for kind in every):
            channel.abstain("asks for the class of an object that is not a plain value")
        channel.rests_on_object = True
        return False

    def check_type(value: Any, *arguments: Any) -> Any:
        if is_remote(value):
            channel.abstain("asks for the class of an object that is not a plain value")
        return type(value, *arguments)

    return {**vars(builtins), "isinstance": check_isinstance, "type": check_type}


class CheckEnd(Conversation):
    """The end of the check."""

    def __init__(self, descriptor: int, reports: int) -> None:
        super().__init__(descriptor)
        self.reports, self.rests_on_object = reports, False
        self.remotes = dict[int, Remote]()
        # Nothing else, such as attributes: these lead to everything that this process has.
        self.operations: dict[str, Callable[..., Any]] = {
            "call": lambda function, *operands, **keywords: function(*operands, **keywords),
            "next": next,
        }

    def names(self, answered: Any, used: set[str]) -> dict[str, Any]:
        """The values of names of the code, without its replacements of builtins if the check uses other names too.

        Otherwise `def abs(x): return 0` would pass `assert abs(f(2) - 1.4) < 0.1`. A check that uses only `abs` means the
        code's. `answered` are the names that the code says it has, among those that are `used`.
        """
        known = {name for name in answered if isinstance(name, str)} & used if isinstance(answered, list) else set[str]()
        replaced = known & set(vars(builtins))
        return {name: self.request("name", name) for name in sorted(known if replaced == known else known - replaced)}

    def request(self, operation: str, *operands: Any, **keywords: Any) -> Any:
        try:
            return super().request(operation, *operands, **keywords)
        except NotPlain as error:
            self.abstain(f"gives the code {error}")

    def unexpected(self, message: Any) -> None:
        match message:
            case ["not loaded", str(reason)]:
                self.report("not loaded", reason)
        self.lost("a message that is no reply")

    def refer(self, value: Any) -> Encoded:
        if is_remote(value):
            return ["yours", value._remote_number]
        name = getattr(value, "__qualname__", "")
        module = getattr(value, "__module__", None) or getattr(getattr(value, "__objclass__", None), "__module__", None)
        if name and isinstance(name, str) and module in sys.stdlib_module_names | {"builtins"}:
            return ["named", module, name]
        if not isinstance(value, FunctionType) and not hasattr(type(value), "__next__"):
            raise NotPlain(f"a {type(value).__name__}")
        self.exported.append(value)
        return ["mine", len(self.exported) - 1]

    def resolve(self, reference: list[Any]) -> Any:
        match reference:
            case ["mine", int(number), bool(can_be_called)]:
                return self.remotes.setdefault(number, (RemoteFunction if can_be_called else Remote)(self, number))
            case ["yours", int(number)]:
                return self.exported[number]
            case ["named", "builtins", str(name)] if isinstance(vars(builtins).get(name), type):
                return vars(builtins)[name]
        raise NotPlain("no reference")

    def lost(self, reason: str) -> NoReturn:
        self.report("lost", reason)

    def abstain(self, reason: str) -> NoReturn:
        self.report("abstained", reason)

    def report(self, outcome: str, reason: str) -> NoReturn:
        """Send a verdict and end this process: nothing that the check does can change it any more."""
        write_all(self.reports, json.dumps([outcome, reason]).encode() + b"\n")
        os._exit(0)
