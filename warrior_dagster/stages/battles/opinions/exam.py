"""The judges' exam: battles whose better side is known, asked exactly as real ones, in both orders.

Small judges may guess, or look at the position of an answer alone, and a rule that counts their votes counts noise. What a
judge scores here is the weight of its opinions (judge_weights.py).

All questions are made from the instructions, answers and tests of the first four competitors, and are chosen by hashes of
their content, so a further competitor changes none. No judge sees an answer of its own, nor one that its own tests decide.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import chain, zip_longest
from typing import Any

import polars as pl

from warrior_dagster import judge_weights
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import Battles
from warrior_dagster.inference.dispatch import Backend, DispatchResult, dispatch
from warrior_dagster.inference.prompting import REQUEST_COLUMNS, LoadedCompetitor, request_columns
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.sandbox.code_blocks import fenced_blocks
from warrior_dagster.stages.battles.opinions.judging import probability_of_first, question
from warrior_dagster.warehouse.tables import Warehouse

SCHEMA = {
    **dict.fromkeys(("row_id", "question", "instruction_id", "judge", "kind", "order", "status", "reason"), pl.String),
    "verdict": pl.String,
    "p_better": pl.Float64,
    **dict.fromkeys(("author_better", "key_better", "author_worse", "key_worse", "made", "how"), pl.String),
    **dict.fromkeys(("text", "reasoning"), pl.String),
    **REQUEST_COLUMNS,
}
"""One row per judge, question and order (better_first or worse_first). `verdict` is better, worse or tie, and `status` as of
votes. key_better and key_worse are the completion keys of the answers; `made` is the text that was made from the latter, null
if it is shown as it is. `how` says why it is the worse one.
"""
MISPLACED, CUT_OFF, BROKEN, REAL = "misplaced", "cut off", "broken", judge_weights.REAL
"""The kinds of questions: an answer against one to another instruction, itself cut off, itself with its code broken so that its
tests fail; and two answers of which one passes the tests of somebody else and the other does not.
"""
BETTER_FIRST, WORSE_FIRST = "better_first", "worse_first"
SHORTEST = 160
"""Characters of the shortest answer that is cut off: the half of less might still be a whole answer."""
LEAST_TESTS = 2
"""Tests that must tell two real answers apart: one alone may be wrong."""
FAILS = ("failed", "error", "timeout", "not run")
"""The outcomes of a test that an answer does not pass. Of other outcomes nothing is known."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two answers of a question."""

    author: str
    key: str
    """Its completion key; of a text that was made, that of the answer that it was made from."""
    text: str
    made: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """Two answers to an instruction, one of which is better."""

    kind: str
    instruction_id: str
    instruction: str
    better: Side
    worse: Side
    how: str

    @property
    def name(self) -> str:
        """A hash of what is asked."""
        return digest(self.kind, self.instruction_id, self.better.text, self.worse.text)


@dataclass(frozen=True, slots=True)
class Material:
    """What questions are made from, all of the arena's founders."""

    instructions: Mapping[str, str]
    """By instruction id."""
    answers: pl.DataFrame
    """Usable answers to these instructions, columns of answering.SCHEMA."""
    results: pl.DataFrame | None = None
    """The outcomes of these answers under the founders' tests, if the arena runs tests."""
    broken: pl.DataFrame | None = None
    """The rows of `broken_answers`."""


def read_material(arena: Arena, warehouse: Warehouse) -> Material:
    """The material of an arena. Raises LookupError if a part of it is missing, or is not of the present answers."""
    tables = ("execution_results", "broken_answers") if arena.runs_tests else ()
    run = [warehouse.read(table, arena.founders) for table in tables]
    selected, answers = (warehouse.read(table, arena.founders) for table in ("selected_instructions", "answers"))
    return material(selected, answers, arena.founders, *run)


def material(
    selected: pl.DataFrame,
    answers: pl.DataFrame,
    founders: list[str],
    results: pl.DataFrame | None = None,
    broken: pl.DataFrame | None = None,
) -> Material:
    """The material of the founders' rows. Raises LookupError if `results` or `broken` are not of the present answers."""
    used = answers.filter("usable").join(selected, on="instruction_id", how="semi")
    for table, rows in {"execution_results": results, "broken_answers": broken}.items():
        own = rows.join(selected, on="instruction_id", how="semi") if rows is not None else None
        if own is not None and len(own.join(used, left_on="answer_key", right_on="completion_key", how="anti")):
            raise LookupError(f"{table}: it is not of the present answers; materialize {table} first")
    of_founders = None if results is None else results.filter(pl.col("writer").is_in(founders))
    texts = dict(selected.sort("instruction_id").select("instruction_id", "instruction").iter_rows())
    return Material(texts, used, of_founders, broken)


def questions(given: Material, judge: str, most: int) -> list[Question]:
    """The questions to one judge, at most so many: of each kind about the same number, as long as there is material."""
    others = given.answers.filter(pl.col("competitor") != judge).sort("completion_key", "competitor")
    kinds = [misplaced(given, others), cut_off(given, others)]
    if given.results is not None:
        kinds += [broken(given, others), real(given, others, given.results.filter(pl.col("writer") != judge))]
    seen, found = set[str](), list[Question]()
    for one in filter(None, chain.from_iterable(zip_longest(*kinds))):  # one of each kind in turn
        if len(found) == most:
            break
        if one.name not in seen:  # competitors that share weights may give the same answer
            seen.add(one.name)
            found.append(one)
    return found


def misplaced(given: Material, answers: pl.DataFrame) -> Iterator[Question]:
    """Answers against another answer of the same author, which is to another instruction."""
    next_of = dict[str, dict[str, Any]]()
    for own in answers.filter(status="ok").partition_by("competitor", maintain_order=True):
        rows = sorted(own.iter_rows(named=True), key=lambda row: digest(row["completion_key"], row["instruction_id"]))
        next_of |= {row["row_id"] + row["competitor"]: rows[place - 1] for place, row in enumerate(rows)}
    for row in spread(answers.filter(status="ok"), MISPLACED):
        other = next_of[row["row_id"] + row["competitor"]]
        if other["answer"] != row["answer"]:
            how = f"it answers instruction {other['instruction_id']}"
            yield asked(MISPLACED, given, row, side(other), how)


def cut_off(given: Material, answers: pl.DataFrame) -> Iterator[Question]:
    """Answers against themselves without their second half."""
    for row in spread(answers.filter(status="ok"), CUT_OFF):
        if text := first_half(row["answer"]):
            how = f"it is cut off after {len(text)} of {len(row['answer'])} characters"
            yield asked(CUT_OFF, given, row, Side(row["competitor"], row["completion_key"], text, made=True), how)


def first_half(answer: str) -> str:
    """An answer up to the middle of its longest block of code, so that this is of no use, or of the whole if it has no block;
    at the end of a line or a word. "" if it is too short.
    """
    block = max((block.text for block in fenced_blocks(answer)), key=len, default="")
    start, length = (answer.index(block), len(block)) if block.count("\n") > 3 and block in answer else (0, len(answer))
    middle = start + length // 2
    ends = [place for mark in ("\n", " ") if (place := answer.rfind(mark, start + length // 4, middle)) >= 0]
    return answer[: ends[0]].rstrip() if ends and len(answer) >= SHORTEST else ""


def broken(given: Material, answers: pl.DataFrame) -> Iterator[Question]:
    """Answers against themselves with one change after which at least half of the tests that they passed fail."""
    if given.broken is None:
        return
    known = pl.col("outcome").is_in(["passed", "failed", "error"]).all()
    fails = (pl.col("outcome") != "passed").sum()
    changed = given.broken.group_by("competitor", "instruction_id", "answer_key", "broken", "change").agg(
        known=known, fails=fails, tests=pl.len()
    )
    worse = changed.filter("known", pl.col("fails") * 2 >= pl.col("tests")).sort("answer_key", "competitor", "broken")
    worse = worse.unique(["answer_key", "competitor"], keep="first", maintain_order=True)
    on = ["competitor", "instruction_id", "completion_key"]
    for row in spread(answers.join(worse.rename({"answer_key": "completion_key"}), on=on), BROKEN):
        how = f"{row['change']}: it fails {row['fails']} of {row['tests']} tests that the answer passes"
        yield asked(BROKEN, given, row, Side(row["competitor"], row["completion_key"], row["broken"], made=True), how)


def real(given: Material, answers: pl.DataFrame, results: pl.DataFrame) -> Iterator[Question]:
    """Two answers of which one passes all tests of somebody else, and the other fails at least half of them. `results` are
    without those of the judge's own tests, which would only ask it whether it agrees with itself.
    """
    passed, fails = pl.col("outcome") == "passed", pl.col("outcome").is_in(FAILS)
    suites = results.group_by("instruction_id", "writer", completion_key="answer_key", competitor="competitor").agg(
        tests=pl.len(), passed=passed.sum(), fails=fails.sum()
    )
    suites = suites.filter(pl.col("competitor") != pl.col("writer"), pl.col("tests") >= LEAST_TESTS)
    suites = answers.join(suites, on=["instruction_id", "competitor", "completion_key"])
    right = suites.filter(pl.col("passed") == pl.col("tests"))
    wrong = suites.filter(pl.col("passed") + pl.col("fails") == pl.col("tests"), pl.col("fails") * 2 >= pl.col("tests"))
    columns = ["competitor", "completion_key", "answer", "fails", "tests"]
    worse = wrong.select("instruction_id", "writer", *(pl.col(name).alias(f"other_{name}") for name in columns))
    for row in spread(right.join(worse, on=["instruction_id", "writer"]).sort("other_completion_key"), REAL):
        other = Side(row["other_competitor"], row["other_completion_key"], row["other_answer"])
        how = f"of {row['tests']} tests of {row['writer']} it fails {row['other_fails']}, the other none"
        yield asked(REAL, given, row, other, how)


def spread(rows: pl.DataFrame, kind: str) -> Iterable[dict[str, Any]]:
    """Rows in the order of a hash, the first of each instruction before the second of any."""
    if rows.is_empty():
        return []
    columns = [name for name in ("completion_key", "other_completion_key") if name in rows.columns]
    hashed = pl.struct(columns).map_elements(lambda row: digest(kind, *row.values()), return_dtype=pl.String)
    ordered = rows.with_columns(digest=hashed).sort("digest", maintain_order=True)
    turn = pl.int_range(pl.len()).over("instruction_id")
    return ordered.with_columns(turn=turn).sort("turn", "digest", maintain_order=True).iter_rows(named=True)


def side(row: Mapping[str, Any]) -> Side:
    """An answer as it is."""
    return Side(row["competitor"], row["completion_key"], row["answer"])


def asked(kind: str, given: Material, row: Mapping[str, Any], worse: Side, how: str) -> Question:
    """The question whose better answer is a row's."""
    return Question(kind, row["instruction_id"], given.instructions[row["instruction_id"]], side(row), worse, how)


def digest(*texts: str) -> str:
    """A hash of texts."""
    return blake2b(json.dumps(texts).encode(), digest_size=8).hexdigest()


def sit(arena: Arena, backend: Backend, given: Material, judges: Iterable[str], log: logging.Logger) -> DispatchResult:
    """The exam of some competitors that judge matchups; rows of SCHEMA."""
    papers = {judge: questions(given, judge, arena.battles.exam) for judge in judges if judge in arena.possible_judges}
    return dispatch(
        arena,
        backend,
        papers,
        lambda judge: requests(judge, papers[judge.name], arena.battles),
        partial(read, settings=arena.battles),
        backend.progress("judge_exams", 2 * sum(map(len, papers.values())), log),
        "verdicts",
    )


def requests(judge: LoadedCompetitor, paper: Iterable[Question], settings: Battles) -> Iterator[Request]:
    """Each question in both orders; those about one instruction are neighbours, because their prompts begin alike."""
    for one in sorted(paper, key=lambda one: (one.instruction_id, one.name)):
        for order in (BETTER_FIRST, WORSE_FIRST):
            first, second = (one.better, one.worse) if order == BETTER_FIRST else (one.worse, one.better)
            yield question(judge, settings, one.instruction, first.text, second.text, (judge.name, order, one))


def read(request: Request, completion: Completion, settings: Battles) -> dict[str, Any]:
    """The row of one completion."""
    judge, order, one = request.tag
    p_first, reason = probability_of_first(completion, settings)
    p_better = p_first if p_first is None or order == BETTER_FIRST else 1 - p_first
    verdict = None if p_better is None else "tie" if p_better == 0.5 else "better" if p_better > 0.5 else "worse"
    status = "failed" if p_better is None else "tie" if p_better == 0.5 else "decided"
    return {
        "row_id": f"{one.name}:{judge}:{order}",
        "question": one.name,
        "instruction_id": one.instruction_id,
        "judge": judge,
        "kind": one.kind,
        "order": order,
        "status": status,
        "reason": reason,
        "verdict": verdict,
        "p_better": p_better,
        "author_better": one.better.author,
        "key_better": one.better.key,
        "author_worse": one.worse.author,
        "key_worse": one.worse.key,
        "made": one.worse.text if one.worse.made else None,
        "how": one.how,
        "text": completion.text,
        "reasoning": completion.reasoning,
        **request_columns(completion),
    }
