"""Judges write tests for an instruction without seeing an answer (CodeT's idea, arXiv 2207.10397)."""

import ast
import logging
import re
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from io import StringIO
from itertools import accumulate
from operator import itemgetter
from typing import Any, TypeGuard

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.dispatch import Backend, DispatchResult, dispatch
from warrior_dagster.inference.prompting import REQUEST_COLUMNS, UNFINISHED, LoadedCompetitor, judge_prompt, request_columns
from warrior_dagster.inference.reasoning import ENDED_IN_REASONING
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.sandbox.code_blocks import fenced_blocks, outdented_fences
from warrior_dagster.sandbox.code_extraction import MAX_CHARS, parse_python, undefined_names

SCHEMA = {
    **dict.fromkeys(("row_id", "instruction_id", "writer", "test", "status", "reason"), pl.String),
    **REQUEST_COLUMNS,
}
"""`status`: ok; dropped; or, in the one row of a completion without any test, none or failed."""
LONGEST_TEST = 2_000
BEFORE_ASSERT = re.compile(r"^\s*+(?:>>>|[-*+]|\d++[.)])?+\s*+`*+(?=assert\b)")
"""The start of a line of prose with an assert: a list's mark, a prompt, a quote. Possessive, so that it takes linear time."""
SAYS_NONE = re.compile(r"^[^\w\n]*none[^\w\n]*$", re.IGNORECASE | re.MULTILINE)
"""A line with the word and no other."""
CHANGING = {
    *("random", "secrets", "uuid", "time", "datetime", "date", "timeit", "os", "sys", "io", "pathlib", "shutil", "tempfile"),
    *("socket", "ssl", "http", "urllib", "requests", "subprocess", "multiprocessing", "threading", "asyncio", "signal", "gc"),
    *("open", "input", "print", "id", "hash", "object", "memoryview", "eval", "exec", "compile", "globals", "locals", "vars"),
    *("dir", "breakpoint", "help", "exit", "quit", "setattr", "delattr", "inspect"),
}
"""Names that may differ from run to run, reach out of the code, or change it; so may all that begin with two underscores."""
CHANGING_ATTRIBUTES = {"now", "today", "utcnow", "random", "randint", "urandom", "perf_counter", "monotonic"}


def write(arena: Arena, engines: Backend, selected: pl.DataFrame, names: Sequence[str], log: logging.Logger) -> DispatchResult:
    """The tests that some competitors write for the selected instructions; rows of SCHEMA."""
    ordered = selected.sort("row_id")
    progress = engines.progress("generated_tests", len(ordered) * len(names) * arena.execution.samples, log)
    result = dispatch(arena, engines, names, lambda writer: requests(writer, ordered, arena), read, progress, "tests")
    result.rows = suite_rows(result.rows, arena.execution.max_tests)
    return result


def requests(writer: LoadedCompetitor, instructions: pl.DataFrame, arena: Arena) -> Iterator[Request]:
    """One request per instruction, for all samples."""
    samples = tuple(range(arena.execution.samples))
    for identity, instruction in instructions.select("instruction_id", "instruction").iter_rows():
        prompt = judge_prompt(writer, arena.execution.prompt, instruction=instruction)
        yield writer.reply(prompt, arena.execution.sampling, (writer.name, identity), samples)


def read(request: Request, completion: Completion) -> dict[str, Any]:
    """One completion of a writer for an instruction, not yet split into tests."""
    writer, identity = request.tag
    unfinished = UNFINISHED[ENDED_IN_REASONING] if completion.finish_reason == ENDED_IN_REASONING else ""
    known = {"instruction_id": identity, "writer": writer, "text": completion.text, "unfinished": unfinished}
    return known | {"sample": completion.sample} | request_columns(completion)


def suite_rows(written: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """The rows of all completions. Those of one writer for one instruction are one suite: a test that an earlier sample has is
    dropped from a later one. `most` counts for each sample, so that a further sample changes no row of those before it.
    """
    rows, kept = list[dict[str, Any]](), defaultdict[tuple[str, str], set[str]](set)
    for one in sorted(written, key=itemgetter("sample")):
        suite = kept[one["instruction_id"], one["writer"]]
        rows += (own := rows_of(one, most, suite))
        suite |= {row["test"] for row in own if row["status"] == "ok"}
    return rows


def rows_of(written: dict[str, Any], most: int, earlier: Collection[str] = ()) -> list[dict[str, Any]]:
    """The rows of one completion, at least one: a row per test, dropped ones with the reason. `earlier` are the tests that are
    kept of earlier samples.
    """
    request = {name: written[name] for name in ("sample", *REQUEST_COLUMNS)}
    identity, writer = written["instruction_id"], written["writer"]
    if written["error"] is not None:
        return [only_row(identity, writer, "failed", written["error"], **request)]
    found = tests(written["text"], most, earlier)
    if not found:
        none = "not runnable: the judge said NONE" if SAYS_NONE.search(written["text"]) else "no test could be read"
        reason = written["unfinished"] or none
        return [only_row(identity, writer, "none", reason, **request)]
    return [
        row(identity, writer, number, test, "dropped" if reason else "ok", reason, **request)
        for number, (test, reason) in enumerate(found)
    ]


def row(
    identity: str, writer: str, number: int, test: str | None, status: str, reason: str, sample: int = 0, **request: Any
) -> dict[str, Any]:
    """A row of SCHEMA. Its id stays the same when further samples are asked for."""
    suite = f"{identity}:{writer}:s{sample:02}" if sample else f"{identity}:{writer}"
    names = {"row_id": f"{suite}:{number:02}", "instruction_id": identity, "writer": writer}
    return {**names, "test": test, "status": status, "reason": reason, **request}


def only_row(identity: str, writer: str, status: str, reason: str, **request: Any) -> dict[str, Any]:
    """The row of a completion without any test."""
    return row(identity, writer, 0, None, status, reason, **request)


def tests(text: str, most: int, earlier: Collection[str]) -> list[tuple[str, str]]:
    """The tests of a completion, normalised, each with the reason why it is not kept, or "". At most `most` are kept, and none
    of those kept `earlier`.
    """
    found, seen, kept = list[tuple[str, str]](), {*earlier}, 0
    for statement in statements(text[:MAX_CHARS]):
        test, reason = checked(statement)
        if not reason and test in seen:
            reason = "a duplicate"
        elif not reason and kept >= most:
            reason = f"beyond {most} tests"
        kept += not reason
        seen.add(test)
        found.append((test, reason))
    return found


def statements(text: str) -> Iterator[str]:
    """Possible tests: every statement of a block, or every line of it if it is not Python; in prose the lines with an assert.

    A function without parameters that only asserts counts as its asserts, because many judges write tests so.
    """
    fenced = fenced_blocks(outdented_fences(text))
    for block in [block.text for block in fenced if block.is_python] if fenced else [text]:
        tree = parse_python(block)
        if tree is not None and (fenced or any(isinstance(node, ast.Assert) for node in tree.body)):
            found = [one for node in tree.body for one in (node.body if is_test_function(node) else [node])]
            yield from sources(block, found)
            continue
        for line in block.splitlines():
            test = BEFORE_ASSERT.sub("", line, count=1).rstrip("` \t")
            if test.startswith("assert") or (fenced and test.strip() and not test.lstrip().startswith("#")):
                yield test


def sources(text: str, nodes: Iterable[ast.stmt]) -> Iterator[str]:
    """The source of each statement in `text`, as `ast.get_source_segment` gives it; that would split the text for each."""
    data = text.encode()
    # Python's lines, whose columns are bytes. Unlike `str.splitlines`, it starts no line at a form feed.
    starts = [0, *accumulate(len(line.encode()) for line in StringIO(text, newline=""))]
    for node in nodes:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        yield data[starts[node.lineno - 1] + node.col_offset : starts[node.end_lineno - 1] + node.end_col_offset].decode()


def is_test_function(node: ast.stmt) -> TypeGuard[ast.FunctionDef]:
    """Whether a statement defines a function without parameters that only asserts."""
    return (
        isinstance(node, ast.FunctionDef)
        and not any(vars(node.args).values())
        and all(isinstance(one, ast.Assert) for one in node.body)
    )


def checked(statement: str) -> tuple[str, str]:
    """A test, normalised and without its message, and the reason why it cannot be kept, or ""."""
    if len(statement) > LONGEST_TEST:
        return statement[:LONGEST_TEST], f"longer than {LONGEST_TEST} characters"
    tree = parse_python(statement.strip())
    if tree is None:
        return statement, "does not parse"
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.Assert):
        return statement, "is not an assert"
    tree.body[0].msg = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            test = ast.unparse(tree)
            compile(test, "test", "exec", dont_inherit=True)  # a `yield` parses, but not here
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return statement, "does not parse"
    if reason := changing(tree):
        return test, f"not deterministic: {reason}"
    return test, "" if undefined_names(tree) else "calls nothing of an answer"


def changing(test: ast.AST) -> str:
    """The name in a test that may differ from run to run, or bypasses the tested code; "" if no name does."""
    for node in ast.walk(test):
        if isinstance(node, ast.Name) and (node.id in CHANGING or node.id.startswith("__")):
            return node.id
        if isinstance(node, ast.Attribute) and (node.attr in CHANGING_ATTRIBUTES or node.attr.startswith("__")):
            return f".{node.attr}"
    return ""
