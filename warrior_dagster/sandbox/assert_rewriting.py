"""What a check says, taken apart before it runs: the tested code never meets the values that it is compared with.

`assert f(1) == 2` becomes `__judge__(0, (f(1),))` in the sandbox; the 2 stays here, and here, in a process that runs nothing
generated, the value that the sandbox tells is compared with it. That is the token of the verdict: tested code can neither
know it, nor print it early, nor patch what compares.
"""

import ast
from dataclasses import dataclass, field
from typing import Any

from warrior_dagster.sandbox.value_codec import HOOK, OPERATORS, Opaque, dumps, loads

MOST_CHARS = 100_000
MISSING = object()
"""In the place of what only the sandbox can work out."""
OPAQUE = object()
"""In the place of a value that is not plain."""


@dataclass(frozen=True, slots=True)
class Site:
    """One assert: its operators, and its operands, MISSING where the sandbox works them out. No operators: is it true?"""

    operators: tuple[str, ...]
    operands: tuple[Any, ...]
    always: bool
    """Whether a check that ends has passed here: not within a loop, a condition, a function or a `try`."""


@dataclass(slots=True)
class Check:
    """A check as the sandbox gets it, and what stays here."""

    source: str
    names: list[str]
    """Every name that it uses."""
    sites: list[Site] = field(default_factory=list)
    last: int | None = None
    """The site after which nothing is left to run, if it ends with one."""


def taken_apart(text: str) -> Check:
    """Raises ValueError for what is not Python, or too much of it."""
    if len(text) > MOST_CHARS:
        raise ValueError(f"a check of more than {MOST_CHARS} characters")
    try:
        tree = ast.parse(text)
        names = sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})
        asserts = Asserts()
        body: list[ast.stmt] = []
        for statement in tree.body:
            asserts.always = isinstance(statement, ast.Assert)
            new = asserts.visit(statement)
            body += new if isinstance(new, list) else [new]
        source = ast.unparse(ast.fix_missing_locations(ast.Module(body, [])))
    except SyntaxError as error:
        raise ValueError(f"SyntaxError: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise ValueError("a check that is nested too deeply") from error
    if HOOK in names:
        raise ValueError(f"{HOOK} is not a name for a check")
    last = len(asserts.sites) - 1 if tree.body and isinstance(tree.body[-1], ast.Assert) else None
    return Check(source, names, asserts.sites, last)


class Asserts(ast.NodeTransformer):
    """Each assert becomes a call of the hook with the operands that are not literals."""

    def __init__(self) -> None:
        """No sites yet."""
        self.sites: list[Site] = []
        self.always = False

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        """`assert a and b` is two asserts."""
        tests = node.test.values if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And) else [node.test]
        return [self.call(test) for test in tests]

    def call(self, test: ast.expr) -> ast.stmt:
        """The hook's call in the place of one test."""
        operators: tuple[str, ...] = ()
        nodes = [test]
        if isinstance(test, ast.Compare):
            operands = [test.left, *test.comparators]
            names = tuple(type(op).__name__ for op in test.ops)
            if splits(names, operands):
                operators, nodes = names, operands
        values = [literal(node) for node in nodes] if operators else [MISSING]
        self.sites.append(Site(operators, tuple(values), self.always))
        told = [node for node, value in zip(nodes, values, strict=True) if value is MISSING]
        arguments: list[ast.expr] = [ast.Constant(len(self.sites) - 1), ast.Tuple(told, ast.Load())]
        return ast.Expr(ast.Call(ast.Name(HOOK, ast.Load()), arguments, []))


def splits(operators: tuple[str, ...], operands: list[ast.expr]) -> bool:
    """Whether operands can be told apart: `is` only with None, True, False or `...`, which are one object in every process."""
    lone = [isinstance(node, ast.Constant) and any(node.value is one for one in (None, True, False, ...)) for node in operands]
    return all(a or b for op, a, b in zip(operators, lone, lone[1:], strict=False) if op.startswith("Is"))


def literal(node: ast.expr) -> Any:
    """A literal's value, else MISSING."""
    try:
        value = ast.literal_eval(node)
        dumps(value)
    except (ValueError, TypeError, SyntaxError):
        return MISSING
    return value


def judged(site: Site, told: list[str]) -> bool | None:
    """Whether an assert holds by the values that the sandbox told; None: ask it, for only it can compare these.

    A value that is not plain never equals a plain one, nor is it more or less than one. Raises Opaque for what was not asked.
    """
    operands, values = list(site.operands), iter(told)
    for number, operand in enumerate(operands):
        if operand is MISSING:
            text = next(values, None)
            if text is None:
                raise Opaque("an operand is missing")
            operands[number] = OPAQUE if text == "" else loads(text)
    if not site.operators:
        return bool(operands[0])
    answers = [judged_pair(*pair) for pair in zip(site.operators, operands, operands[1:], strict=False)]
    return False if False in answers else None if None in answers else True


def judged_pair(name: str, left: Any, right: Any) -> bool | None:
    """One comparison of a chain."""
    opaque = (left is OPAQUE) + (right is OPAQUE)
    if not opaque:
        try:
            return bool(OPERATORS[name](left, right))
        except (TypeError, ArithmeticError, RecursionError):
            return None  # the sandbox raises it where the check may catch it
    if opaque == 2 or (name in ("In", "NotIn") and right is OPAQUE):
        return None
    return name in ("NotEq", "IsNot", "NotIn")
