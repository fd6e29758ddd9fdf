"""Answers that pass tests, broken so that they fail them: questions of the judges' exam whose better side is known.

One place of a function is changed in the text itself, so that the rest of the answer, its layout and its comments give no hint.
Whether the change breaks anything is not guessed: the same tests are run again.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from io import StringIO
from itertools import accumulate, chain, islice
from math import ceil
from typing import Any

import polars as pl

from warrior_dagster.config.battles import Execution
from warrior_dagster.sandbox.code_blocks import fenced_blocks
from warrior_dagster.sandbox.code_extraction import parse_python
from warrior_dagster.sandbox.definitions import FUNCTIONS
from warrior_dagster.stages.battles import sandbox_runs
from warrior_dagster.stages.battles.unit_tests import execution

SCHEMA = {**execution.SCHEMA, "change": pl.String, "broken": pl.String}
"""One row per changed answer and test, as of execution.SCHEMA: `broken` is the changed answer's text, `change` says what was
changed, and `answer_key` is the completion key of the answer that it was made from.
"""
VARIANT = ("instruction_id", "competitor", "answer", "completion_key", "of", "change")
"""The columns of changed answers before they are run; `of` is the completion key of the answer that was changed."""
TRIED = 3
"""Changes of one answer that are tried."""
LEAST_TESTS = 2
"""Tests of others that an answer must pass: one alone says little."""
OTHERS = {
    **{"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "in": "not in", "not in": "in"},
    **{"is": "is not", "is not": "is", "+": "-", "-": "+", "*": "//", "//": "*", "/": "*", "%": "//", "and": "or", "or": "and"},
}
"""What each operator becomes. Both bind alike, so that nothing else of an expression changes."""
OPERATOR = re.compile(r"<=|>=|==|!=|//|\*\*|<|>|not\s+in\b|in\b|is\s+not\b|is\b|and\b|or\b|[-+*/%]")
Edit = tuple[int, int, str]
"""The first byte of a source that is replaced, the one after the last, and the text in its place."""


def break_answers(
    answers: pl.DataFrame, results: pl.DataFrame, before: pl.DataFrame, most: int, run: execution.Run, settings: Execution
) -> tuple[pl.DataFrame, sandbox_runs.RunCounts]:
    """Break at most `most` answers of one competitor, and run them on the tests that they passed; rows of SCHEMA.

    `answers` has rows of answering.SCHEMA and `results` rows of execution.SCHEMA, of the same answers under tests of others.
    Answers are taken by a hash. `before` has rows of SCHEMA: what was run before is not run again.
    """
    passed = pl.col("outcome") == execution.PASSED
    counted = results.group_by("instruction_id", completion_key="answer_key").agg(tests=pl.len(), passed=passed.sum())
    enough = counted.filter(pl.col("passed") >= LEAST_TESTS, pl.col("passed") * 2 >= pl.col("tests"))
    sound = answers.filter(status="ok").join(enough, on=["instruction_id", "completion_key"], how="semi")
    in_order = sorted(sound.iter_rows(named=True), key=lambda row: digest(row["completion_key"]))
    with_variants = islice(filter(None, map(variants, in_order)), most)
    made = pl.DataFrame(list(chain.from_iterable(with_variants)), schema=dict.fromkeys(VARIANT, pl.String))
    on = {"left_on": ["instruction_id", "answer_key"], "right_on": ["instruction_id", "of"]}
    tests = results.filter(passed).join(made, **on, how="semi").with_columns(status=pl.lit("ok"))  # type: ignore[arg-type]
    rows, counts = execution.execute(made.with_columns(usable=True), tests, before, run, settings)
    made = made.select("of", answer_key="completion_key", broken="answer", change="change")
    found = rows.join(made, on="answer_key", maintain_order="left")
    found = found.with_columns(row_id=pl.format("{}:{}", "row_id", "answer_key"), answer_key="of")
    return found.select(list(SCHEMA)).sort("row_id"), counts


def variants(row: dict[str, Any]) -> list[dict[str, str]]:
    """The changed answers of a row of answering.SCHEMA that are tried; rows of VARIANT."""
    kept = {"instruction_id": row["instruction_id"], "competitor": row["competitor"], "of": row["completion_key"]}
    return [
        kept | {"answer": text, "change": change, "completion_key": digest(row["completion_key"], text)}
        for text, change in broken(row["answer"])[:TRIED]
    ]


def most_answers(exam: int) -> int:
    """How many answers of one competitor are broken for an exam of so many questions: a fourth of them are of this kind."""
    return ceil(exam / 4)


def broken(answer: str) -> list[tuple[str, str]]:
    """The answer with one change in a function of its code, once for each place: texts and what was changed, in the order of
    a hash. None if its code is not Python, or cannot be found in its text.
    """
    blocks = [block.text for block in fenced_blocks(answer) if block.is_python] or [answer]
    found = dict[str, str]()
    for block in blocks:
        tree = parse_python(block)
        if tree is None or answer.count(block) != 1:
            continue
        data = block.encode()
        for start, end, new in edits(data, block, tree):
            changed = (data[:start] + new.encode() + data[end:]).decode()
            if parse_python(changed) is not None:
                line = 1 + data[:start].count(b"\n")
                old = " ".join(data[start:end].decode().split())
                found.setdefault(answer.replace(block, changed), f"`{old}` became `{new}` in line {line} of its code")
    return sorted(found.items(), key=lambda variant: digest(variant[0]))


def edits(data: bytes, text: str, tree: ast.Module) -> Iterator[Edit]:
    """All changes of a source's functions: another operator, number or condition, and nothing returned."""
    # Python's lines, whose columns are bytes; see generation.sources.
    starts = [0, *accumulate(len(line.encode()) for line in StringIO(text, newline=""))]

    def span(node: ast.expr) -> tuple[int, int]:
        return starts[node.lineno - 1] + node.col_offset, starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)

    for function in (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)):
        for node in inside(function):
            if isinstance(node, ast.Compare | ast.BinOp | ast.BoolOp):
                left, right = operands(node)
                start, end = span(left)[1], span(right)[0]
                found = OPERATOR.search(data[start:end].decode())
                if found and (new := OTHERS.get(" ".join(found[0].split()))):
                    before = len(data[start:end].decode()[: found.start()].encode())
                    yield start + before, start + before + len(found[0]), new
            elif isinstance(node, ast.Constant) and isinstance(node.value, int):
                yield *span(node), str(not node.value if isinstance(node.value, bool) else node.value + 1)
            elif isinstance(node, ast.Return) and node.value and not is_none(node.value):
                yield *span(node.value), "None"
            elif isinstance(node, ast.If | ast.IfExp):
                start, end = span(node.test)
                yield start, end, f"not ({data[start:end].decode()})"


def inside(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes within one, without those of f-strings, whose places Python 3.11 does not know."""
    waiting = list(ast.iter_child_nodes(node))
    while waiting:
        child = waiting.pop()
        if not isinstance(child, ast.JoinedStr):
            yield child
            waiting += ast.iter_child_nodes(child)


def operands(node: ast.Compare | ast.BinOp | ast.BoolOp) -> Sequence[ast.expr]:
    """The operands at the two sides of a node's first operator."""
    if isinstance(node, ast.BoolOp):
        return node.values[:2]
    return (node.left, node.comparators[0]) if isinstance(node, ast.Compare) else (node.left, node.right)


def is_none(node: ast.expr) -> bool:
    """Whether an expression is the constant None."""
    return isinstance(node, ast.Constant) and node.value is None


def digest(*texts: str) -> str:
    """A hash of texts."""
    return blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
