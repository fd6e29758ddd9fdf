"""Reduces a program to its definitions: what remains when nothing is demonstrated."""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)
IMPORTS = (ast.Import, ast.ImportFrom)
DEMONSTRATES = re.compile(r"main|demo\w*|examples?|tests?|test_\w*|run_\w*tests?")
"""Names of functions that show or test others."""


def reduced(body: Sequence[ast.stmt]) -> ast.Module:
    """The imports, definitions and assignments of a program, in their order, with as little as possible that may fail.

    - `if` and `try` stay if all within them stays; loops, calls, asserts and `with` go.
    - A function without a body (`...`, `pass`) goes if the same name is defined with one; test cases go, unless all are.
    - An assignment that calls one of the program's own functions goes, unless a definition needs it: it may take forever.
      Which others are needed cannot be known, so they stay, and may fail.
    - An import may fail unless a definition needs it: what is only demonstrated may need modules that do not exist here.
    """
    kept = [statement for statement in body if stays(statement)]
    kept = [s for s in kept if not is_test(s)] if any(isinstance(s, DEFINITIONS) and not is_test(s) for s in kept) else kept
    complete = {s.name for s in kept if isinstance(s, FUNCTIONS) and not is_stub(s)}
    kept = [s for s in kept if not (is_stub(s) and bound(s) <= complete)]
    defined = {s.name for s in kept if isinstance(s, DEFINITIONS)}
    functions = {s.name for s in kept if isinstance(s, FUNCTIONS)}
    needed = needed_names(kept)
    future, rest = list[ast.stmt](), list[ast.stmt]()
    for statement in kept:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            future.append(statement)
        elif isinstance(statement, IMPORTS):
            safe = (
                modules_of(statement) <= sys.stdlib_module_names
                or "*" in bound(statement)
                or bound(statement) & (needed - defined)
            )
            rest.append(statement if safe else may_fail(statement))
        elif isinstance(statement, ASSIGNMENTS):
            if not calls(statement) & functions or bound(statement) & (needed | defined):
                rest.append(statement if is_plain(statement) else may_fail(statement))
        else:
            rest.append(may_fail(statement) if isinstance(statement, ast.If | ast.Try) else statement)
    return ast.Module([*future, *rest], [])


def stays(statement: ast.stmt) -> bool:
    """Whether a statement imports, defines or assigns, or only contains such statements."""
    waiting = [statement]
    while waiting:  # not recursive: a chain of `elif` may be hundreds long, each within the one before
        inner = waiting.pop()
        if isinstance(inner, ast.If | ast.Try):
            waiting += [s for block in blocks_of(inner) for s in block if not isinstance(s, ast.Pass)]
        elif not isinstance(inner, (*DEFINITIONS, *ASSIGNMENTS, *IMPORTS)):
            return False
    return True


def blocks_of(statement: ast.If | ast.Try) -> Iterator[list[ast.stmt]]:
    yield from (statement.body, statement.orelse)
    if isinstance(statement, ast.Try):
        yield from (*(handler.body for handler in statement.handlers), statement.finalbody)


def needed_names(statements: Iterable[ast.stmt]) -> set[str]:
    """The names that definitions read, directly or through an assignment. What only demonstrates does not count."""
    assigned = defaultdict[str, list[ast.stmt]](list)
    found, waiting = set[str](), set[str]()
    for statement in statements:
        if isinstance(statement, ASSIGNMENTS):
            for name in bound(statement):
                assigned[name].append(statement)
        elif not isinstance(statement, IMPORTS) and not (isinstance(statement, FUNCTIONS) and demonstrates(statement.name)):
            waiting |= reads(statement)
    while waiting:
        name = waiting.pop()
        found.add(name)
        for statement in assigned.pop(name, []):
            waiting |= reads(statement) - found
    return found


def demonstrates(function: str) -> bool:
    """Whether a function's name says that it shows or tests others."""
    return DEMONSTRATES.fullmatch(function) is not None


def is_test(statement: ast.stmt) -> bool:
    """Whether a statement defines a test case, or a decorated function of a test runner."""
    if isinstance(statement, ast.ClassDef):
        bases = [base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in statement.bases]
        return statement.name.startswith("Test") or any(base.endswith("TestCase") for base in bases)
    return isinstance(statement, FUNCTIONS) and bool(statement.decorator_list) and demonstrates(statement.name)


def is_stub(statement: ast.stmt) -> bool:
    """Whether a statement defines a function without a body: a signature to be filled in, or already filled in elsewhere."""
    return (
        isinstance(statement, FUNCTIONS)
        and not statement.decorator_list  # such as @overload
        and all(
            isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)) for s in statement.body
        )
    )


def is_plain(statement: ast.stmt) -> bool:
    """Whether an assignment of a literal or a lambda to a name, which cannot fail."""
    if not isinstance(statement, ast.Assign) or not all(isinstance(target, ast.Name) for target in statement.targets):
        return False
    try:
        ast.literal_eval(statement.value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return isinstance(statement.value, ast.Lambda)
    return True


def modules_of(statement: ast.stmt) -> set[str]:
    """The top-level modules that an import reads; "" for a relative one."""
    if isinstance(statement, ast.ImportFrom):
        return {(statement.module or "").partition(".")[0] if not statement.level else ""}
    return {alias.name.partition(".")[0] for alias in statement.names} if isinstance(statement, ast.Import) else set()


def may_fail(statement: ast.stmt) -> ast.stmt:
    """The statement in a `try` that catches everything, as `input` at an end of file and `exit` raise no Exception."""
    handler = ast.ExceptHandler(ast.Name("BaseException", ast.Load()), None, [ast.Pass()])
    return ast.Try([statement], [handler], [], [])


def bound(statement: ast.stmt) -> set[str]:
    """The names that a statement binds; "*" for an import of everything."""
    if isinstance(statement, DEFINITIONS):
        return {statement.name}
    if isinstance(statement, IMPORTS):
        return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def reads(statement: ast.stmt) -> set[str]:
    """The names that a statement reads, also within functions."""
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def calls(statement: ast.stmt) -> set[str]:
    """The names that a statement calls."""
    called = (n.func for n in ast.walk(statement) if isinstance(n, ast.Call))
    return {function.id for function in called if isinstance(function, ast.Name)}
