"""The inputs that answers are observed on: the calls in the tests of one writer, and variants of these calls.

An input needs no expected value, so it costs no tokens. Each writer's inputs follow from its own tests alone: a competitor that
is appended changes none of them.
"""

import ast
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from random import Random

import polars as pl

from warrior_dagster.sandbox.code_extraction import parse_python, undefined_names
from warrior_dagster.stages.battles.behaviours.mutations import mutated

SCHEMA = {**dict.fromkeys(("instruction_id", "writer", "input"), pl.String), "number": pl.Int64}
"""One row per input. `input`: the text of one call, such as `double(4)`. `number`: its place among those of its writer and
instruction, from 0.
"""
LONGEST_CALL = 1_000
"""Calls with more characters are no inputs."""
TRIES_PER_INPUT = 8
"""Variants that are made for each input that is still missing; many are duplicates."""


def inputs(tests: pl.DataFrame, most: int) -> pl.DataFrame:
    """The inputs of each writer and instruction, at most `most`; rows of SCHEMA.

    `tests` has the columns row_id, instruction_id, writer, test and status of generation.SCHEMA. First come the calls in the
    kept tests, in the order of the tests, then variants of them.
    """
    kept = tests.filter(status="ok").sort("row_id")
    by_writer = kept.group_by("instruction_id", "writer", maintain_order=True).agg("test")
    rows = [
        (identity, writer, call, number)
        for identity, writer, texts in by_writer.sort("instruction_id", "writer").rows()
        for number, call in enumerate(inputs_of(identity, texts, most))
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def inputs_of(instruction_id: str, tests: Sequence[str], most: int) -> list[str]:
    """The inputs of one writer for one instruction."""
    found = list(dict.fromkeys(call for test in tests for call in calls(test)))[:most]
    sources = [(ast.parse(call, mode="eval").body, generator(instruction_id, call)) for call in found]
    known = dict.fromkeys(found)
    for _ in range(TRIES_PER_INPUT * most if sources else 0):
        for call, random in sources:
            if len(known) == most:
                return list(known)
            assert isinstance(call, ast.Call)
            text = ast.unparse(variant(call, random))
            if len(text) <= LONGEST_CALL:
                known.setdefault(text)
    return list(known)


def calls(test: str) -> Iterator[str]:
    """The calls in a test of functions that neither the test nor Python defines, if all arguments are literals."""
    tree = parse_python(test)
    if tree is None:
        return
    tested = undefined_names(tree)
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in sorted(found, key=lambda node: (node.lineno, node.col_offset)):
        arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
        named = isinstance(call.func, ast.Name) and call.func.id in tested and all(k.arg for k in call.keywords)
        if named and all(map(is_literal, arguments)) and len(text := ast.unparse(call)) <= LONGEST_CALL:
            yield text


def is_literal(node: ast.expr) -> bool:
    """Whether an expression is a literal; `set()`, which `literal_eval` accepts, is none."""
    if any(isinstance(one, ast.Call) for one in ast.walk(node)):
        return False
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False
    return True


def variant(call: ast.Call, random: Random) -> ast.Call:
    """A call with one argument changed; without arguments, or if that one cannot change, the same call."""
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    if arguments:
        place = random.randrange(len(arguments))
        arguments[place] = mutated(arguments[place], random)
    values = arguments[len(call.args) :]
    keywords = [ast.keyword(keyword.arg, value) for keyword, value in zip(call.keywords, values, strict=True)]
    return ast.Call(call.func, arguments[: len(call.args)], keywords)


def generator(*texts: str) -> Random:
    """A random generator that depends on some texts alone."""
    digest = blake2b(digest_size=16)
    for text in texts:
        digest.update(f"{len(text)}:{text}".encode(errors="surrogatepass"))
    return Random(int.from_bytes(digest.digest()))
