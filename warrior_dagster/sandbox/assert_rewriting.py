"""Rewrites the asserts of a check, so that the tested code never sees the values that its results are compared with.

`assert f(1) == 2` becomes `__judge__(0, (f(1),))` in the sandbox. The literal 2 stays in the host process, which runs no
generated code and compares it with the value that the sandbox returns.
"""

import ast
from dataclasses import dataclass, field
from typing import Any

from warrior_dagster.sandbox.value_codec import ASSERT_HOOK, OPERATORS, NotPlain, dumps, loads

MAX_CHARS = 100_000
MISSING = object()  # placeholder for an operand that only the sandbox can evaluate
NOT_PLAIN = object()  # placeholder for a value that is not plain


@dataclass(frozen=True, slots=True)
class AssertSite:
    """The operators and operands of one assert. MISSING: evaluated in the sandbox. No operators: a truth test."""

    operators: tuple[str, ...]
    operands: tuple[Any, ...]
    always_reached: bool
    """Whether every check that ends has reached it: it is not in a loop, a condition, a function or a `try`."""


@dataclass(slots=True)
class RewrittenCheck:
    """The source that the sandbox gets, and the assert sites that stay in the host."""

    source: str
    names: list[str]  # every name that the check uses
    sites: list[AssertSite] = field(default_factory=list)
    last_site: int | None = None  # the index of the final assert, if the check ends with one: nothing runs after it


def rewrite_asserts(text: str) -> RewrittenCheck:
    """Raises ValueError for a text that is not Python, is too long, or is nested too deeply."""
    if len(text) > MAX_CHARS:
        raise ValueError(f"a check of more than {MAX_CHARS} characters")
    try:
        tree = ast.parse(text)
        names = sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})
        rewriter = AssertRewriter()
        body: list[ast.stmt] = []
        for statement in tree.body:
            rewriter.always_reached = isinstance(statement, ast.Assert)
            new = rewriter.visit(statement)
            body += new if isinstance(new, list) else [new]
        source = ast.unparse(ast.fix_missing_locations(ast.Module(body, [])))
    except SyntaxError as error:
        raise ValueError(f"SyntaxError: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise ValueError("a check that is nested too deeply") from error
    if ASSERT_HOOK in names:
        raise ValueError(f"{ASSERT_HOOK} is not a name for a check")
    ends_with_assert = bool(tree.body) and isinstance(tree.body[-1], ast.Assert)
    return RewrittenCheck(source, names, rewriter.sites, len(rewriter.sites) - 1 if ends_with_assert else None)


class AssertRewriter(ast.NodeTransformer):
    """Turns each assert into a call of ASSERT_HOOK with the index of its site and the operands that are not literals."""

    def __init__(self) -> None:
        self.sites: list[AssertSite] = []
        self.always_reached = False

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        """`assert a and b` becomes two sites."""
        tests = node.test.values if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And) else [node.test]
        return [self.hook_call(test) for test in tests]

    def hook_call(self, test: ast.expr) -> ast.stmt:
        operators, nodes = tuple[str, ...](), [test]
        if isinstance(test, ast.Compare):
            operands = [test.left, *test.comparators]
            names = tuple(type(op).__name__ for op in test.ops)
            if comparable_by_value(names, operands):
                operators, nodes = names, operands
        values = [literal_value(node) for node in nodes] if operators else [MISSING]
        self.sites.append(AssertSite(operators, tuple(values), self.always_reached))
        sent = [node for node, value in zip(nodes, values, strict=True) if value is MISSING]
        arguments: list[ast.expr] = [ast.Constant(len(self.sites) - 1), ast.Tuple(sent, ast.Load())]
        return ast.Expr(ast.Call(ast.Name(ASSERT_HOOK, ast.Load()), arguments, []))


def comparable_by_value(operators: tuple[str, ...], operands: list[ast.expr]) -> bool:
    """Whether the host can compare copies of the operands. For `is` one must be a singleton: None, True, False or `...`."""
    constants = (node.value if isinstance(node, ast.Constant) else MISSING for node in operands)
    singleton = [any(value is one for one in (None, True, False, ...)) for value in constants]
    return all(a or b for op, a, b in zip(operators, singleton, singleton[1:], strict=False) if op.startswith("Is"))


def literal_value(node: ast.expr) -> Any:
    """The value of a literal, MISSING for any other expression."""
    try:
        value = ast.literal_eval(node)
        dumps(value)
    except (ValueError, TypeError, SyntaxError):
        return MISSING
    return value


def evaluate_assert(site: AssertSite, encoded: list[str]) -> bool | None:
    """Whether an assert holds, given the values that the sandbox sent ("": not plain). None: only the sandbox can compare them.

    A value that is not plain never equals a plain one and is neither more nor less. Raises NotPlain for malformed values.
    """
    operands, values = list(site.operands), iter(encoded)
    for number, operand in enumerate(operands):
        if operand is MISSING:
            text = next(values, None)
            if text is None:
                raise NotPlain("an operand is missing")
            operands[number] = NOT_PLAIN if text == "" else loads(text)
    if not site.operators:
        return bool(operands[0])
    answers = [compare(*pair) for pair in zip(site.operators, operands, operands[1:], strict=False)]
    return False if False in answers else None if None in answers else True


def compare(operator: str, left: Any, right: Any) -> bool | None:
    """One comparison of a chain. None: only the sandbox can make it."""
    not_plain = (left is NOT_PLAIN) + (right is NOT_PLAIN)
    if not not_plain:
        try:
            return bool(OPERATORS[operator](left, right))
        except (TypeError, ArithmeticError, RecursionError):
            return None  # the sandbox raises it where the check may catch it
    if not_plain == 2 or (operator in ("In", "NotIn") and right is NOT_PLAIN):
        return None
    return operator in ("NotEq", "IsNot", "NotIn")
