"""The process that runs a check: ordinary Python, in which the names of the code under test are its remote objects.

It is confined like the code under test, because models write checks too. Every comparison is made here, over plain values,
and the code under test sees none. A check passes if it ends without an exception and nothing in it rested on an object of the
code's own.
"""

import ast
import builtins
import json
import os
import sys
from collections.abc import Callable
from io import IOBase
from types import ModuleType
from typing import Any, NoReturn

from warrior_dagster.sandbox.guest.check_names import check_builtins, own_names
from warrior_dagster.sandbox.guest.conversation import Conversation, describe
from warrior_dagster.sandbox.guest.kernel import write_all
from warrior_dagster.sandbox.guest.remote import Derived, Remote, RemoteFunction, is_remote, stand_in
from warrior_dagster.sandbox.guest.values import IMMUTABLE, Encoded, NotPlain

FILE = "check"
HELD = "__held__"
JUDGES = {HELD, "__builtins__", "__name__"}  # names that are never the code's
STREAMS = {"redirect_stdout", "redirect_stderr", "stdout", "stderr", "stdin", "patch", "capsys"}
"""Names with which a check looks at what the code prints, or replaces what the code uses: it is another process."""


def run_check(text: str, code: str, modules: list[str], reading: int, writing: int, reports: int) -> NoReturn:
    """Run a check of some code. Reports the lines "compiled" and "loaded", then [outcome, reason].

    `modules` are the top-level names of installed modules. The descriptors are of pipes: from and to the code's process, and to
    the supervisor.
    """
    channel = CheckEnd(reading, writing, reports)
    channel.ask("load", code)
    try:
        tree = ast.parse(text)
        inner_asserts = InnerAsserts()
        compiled = compile(ast.fix_missing_locations(inner_asserts.visit(tree)), FILE, "exec", dont_inherit=True)
    except BaseException as error:
        channel.report("error", describe(error))
    nodes = list(ast.walk(tree))
    used = {node.id for node in nodes if isinstance(node, ast.Name)} - JUDGES
    if (
        looked_at := {n.id if isinstance(n, ast.Name) else n.attr for n in nodes if isinstance(n, ast.Name | ast.Attribute)}
        & STREAMS
    ):
        channel.abstain(f"uses {min(looked_at)}, which the code does not share")
    own = own_names(code, nodes, used, modules)
    write_all(reports, b"compiled\n")
    try:
        channel.result()
    except BaseException as error:
        channel.report("not loaded", describe(error))
    write_all(reports, b"loaded\n")
    held = list[bool]()
    namespace = {"__builtins__": check_builtins(channel), "__name__": "__main__", HELD: lambda: held.append(True)}
    try:
        exec(compiled, channel.names(used - set(own)) | own | namespace)
        channel.request("known", ())  # the code has not ended meanwhile
    except BaseException as error:
        if isinstance(error, TypeError | AttributeError) and error is not channel.raised and channel.remotes:
            channel.abstain(f"uses objects of the code in a way that cannot be followed: {describe(error)}")
        channel.report("failed" if isinstance(error, AssertionError) else "error", reason_of(error))
    if inner_asserts.found and not held:
        channel.report("error", "ended before its asserts")
    if channel.rests_on_object:
        channel.abstain("compares an object that is not a plain value")
    channel.report("passed", "")


class InnerAsserts(ast.NodeTransformer):
    """Lets each assert in a function call HELD after it: the code under test may get the function, and need not call it."""

    def __init__(self) -> None:
        self.depth = self.found = 0

    def visit_FunctionDef(self, node: Any) -> Any:
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Assert(self, node: ast.Assert) -> Any:
        if not self.depth or isinstance(node.test, ast.Constant):  # `assert False`: not to be reached
            return node
        self.found += 1
        return [node, ast.Expr(ast.Call(ast.Name(HELD, ast.Load()), [], []))]


def reason_of(error: BaseException) -> str:
    """Why a check did not pass."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if type(error) is AssertionError and not error.args and trace is not None and trace.tb_frame.f_code.co_filename == FILE:
        return f"the assert in line {trace.tb_lineno} does not hold"
    return describe(error)


class CheckEnd(Conversation):
    """The end of the check."""

    first_number = 0
    only_here = 2  # the dictionary's, and one as an argument

    def __init__(self, reading: int, writing: int, reports: int) -> None:
        super().__init__(reading, writing)
        self.reports, self.rests_on_object = reports, False
        self.remotes = dict[int, Remote]()
        # Nothing else, such as attributes: these lead to everything that this process has.
        self.operations: dict[str, Callable[..., Any]] = {"call": self.call, "next": lambda iterator: self.call(next, iterator)}

    def names(self, used: set[str]) -> dict[str, Any]:
        """The values of names of the code, without its replacements of builtins if the check uses other names too.

        Otherwise `def abs(x): return 0` would pass `assert abs(f(2) - 1.4) < 0.1`. A check that uses only `abs` means the
        code's.
        """
        answered = self.request("known", tuple(sorted(used)))
        known = used.intersection(answered if isinstance(answered, list | tuple) else ())
        replaced = known & set(vars(builtins))
        return {name: self.request("name", name) for name in sorted(known if replaced == known else known - replaced)}

    def call(self, function: Callable[..., Any], *operands: Any, **keywords: Any) -> Any:
        """Call a function for the code, which may not catch the assertions of the check."""
        try:
            return function(*operands, **keywords)
        except AssertionError as error:
            self.report("failed", reason_of(error))

    def request(self, operation: str, *operands: Any, **keywords: Any) -> Any:
        try:
            return super().request(operation, *operands, **keywords)
        except NotPlain as error:
            self.abstain(f"gives the code {error}")
        except (StopIteration, StopAsyncIteration, GeneratorExit) as error:
            if operation == "next":
                raise
            raise RuntimeError(f"the code raised {type(error).__name__}") from error  # it would end the check's own loops

    def refer(self, value: Any) -> Encoded:
        if is_remote(value):
            return ["yours", value._remote_number]
        name = getattr(value, "__qualname__", "")
        module = getattr(value, "__module__", None) or getattr(getattr(value, "__objclass__", None), "__module__", None)
        bound = not isinstance(getattr(value, "__self__", None), ModuleType | None)
        if name and isinstance(name, str) and not bound and module in sys.stdlib_module_names | {"builtins"}:
            return ["named", module, name]
        if isinstance(value, type | IOBase) or not (callable(value) or hasattr(type(value), "__next__")):
            raise NotPlain(f"a {type(value).__name__}")
        return ["mine", self.export(value), getattr(value, "__name__", None), getattr(value, "__doc__", None)]

    def derived(self, value: Any, plain: Encoded) -> Encoded:
        remote = vars(value).get("_remote") if isinstance(value, Derived) else None
        return plain if remote is None or plain is None else self.refer(remote)

    def new_container(self, base: type, derived: Encoded) -> Any:
        match derived:
            case ["derived", None, remote, list(replaced)]:
                return stand_in(base(), self.decode(remote), replaced)
        return base()

    def resolve(self, reference: list[Any]) -> Any:
        match reference:
            case ["mine", int(number), bool(can_be_called)]:
                return self.remotes.setdefault(number, (RemoteFunction if can_be_called else Remote)(self, number))
            case ["yours", int(number)]:
                return self.exported[number]
            case ["derived", plain, remote, list(replaced)] if type(content := self.decode(plain)) in IMMUTABLE:
                return stand_in(content, self.decode(remote), replaced)
            case ["named", "builtins", str(name)] if isinstance(kind := vars(builtins).get(name), type):
                if issubclass(AssertionError, kind):  # it would catch what the check asserts, or mean everything
                    self.abstain(f"uses {name} by a name of the code")
                return kind
        raise NotPlain("no reference")

    def lost(self, reason: str) -> NoReturn:
        self.report("lost", reason)

    def abstain(self, reason: str) -> NoReturn:
        self.report("abstained", reason)

    def report(self, outcome: str, reason: str) -> NoReturn:
        """Send a verdict and end this process: nothing that the check does can change it any more."""
        write_all(self.reports, json.dumps([outcome, reason]).encode() + b"\n")
        os._exit(0)
