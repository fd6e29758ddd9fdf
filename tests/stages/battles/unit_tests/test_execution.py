"""Execution of tests on answers: what is run, what is not run again, and the outcome of two runs that differ."""

from collections.abc import Iterable, Iterator
from functools import partial

import polars as pl
import pytest

from warrior_dagster.config.battles import Execution
from warrior_dagster.sandbox.code_extraction import extract_code
from warrior_dagster.sandbox.host import Outcome
from warrior_dagster.sandbox.pool import Program, Result, run_all
from warrior_dagster.stages.battles import answering
from warrior_dagster.stages.battles.sandbox_runs import ROUNDS, limits
from warrior_dagster.stages.battles.unit_tests import execution, generation

SETTINGS = Execution()
EMPTY = pl.DataFrame(schema=execution.SCHEMA)
PLUS = "def plus(a, b):\n    return a + b"


def answers(**texts: str) -> pl.DataFrame:
    rows = [
        {"row_id": "00", "instruction_id": "00", "competitor": n, "answer": text, "usable": True, "completion_key": f"of {n}"}
        for n, text in texts.items()
    ]
    return pl.DataFrame(rows, schema=answering.SCHEMA)


def asserts_of(**written: str) -> pl.DataFrame:
    completed = {"instruction_id": "00", "sample": 0, "completion_key": "k", "attempts": 1, "error": None}
    rows = [row for name, text in written.items() for row in generation.rows_of(completed | {"writer": name, "text": text}, 8)]
    return pl.DataFrame(rows, schema=generation.SCHEMA)


class Sandbox:
    """Returns the next scripted outcome for each program; records the programs."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes, self.ran = iter(outcomes), list[Program]()

    def __call__(self, programs: Iterable[Program]) -> Iterator[Result]:
        for program in programs:
            self.ran.append(program)
            outcome: Outcome = next(self.outcomes, "passed")
            n = len(program.checks)
            yield Result(program.key, (outcome,) * n, (f"<f at 0x{len(self.ran)}af>",) * n, "", 0.5, "namespaces")


def outcomes(rows: pl.DataFrame) -> dict[tuple[str, str], str]:
    return {(competitor, test): o for competitor, test, o in rows.select("competitor", "test", "outcome").rows()}


def test_every_answer_runs_with_every_kept_test_in_the_real_sandbox() -> None:
    given = answers(ann=PLUS, bob="```python\ndef add(a, b):\n    return a - b\n```", cyd="I cannot.")
    written = asserts_of(ann="assert add(1, 2) == 3\nassert add(", bob="assert add(2, 0) == 2")
    rows, spent = execution.execute(given, written, EMPTY, run_all, SETTINGS)
    assert outcomes(rows) == {
        ("ann", "assert add(1, 2) == 3"): "passed", ("ann", "assert add(2, 0) == 2"): "passed",
        ("bob", "assert add(1, 2) == 3"): "failed", ("bob", "assert add(2, 0) == 2"): "passed",
        ("cyd", "assert add(1, 2) == 3"): "not run", ("cyd", "assert add(2, 0) == 2"): "not run",
    }  # fmt: skip
    assert set(rows.filter(competitor="ann")["bound"]) == {"add = plus"}
    assert set(rows.filter(competitor="cyd")["reason"]) == {"no code: nothing in it is Python"}
    assert (spent.runs, spent.reused) == (4, 0)


def test_an_earlier_run_is_not_repeated_and_its_rows_are_kept() -> None:
    given, written = answers(ann=PLUS), asserts_of(ann="assert add(1, 2) == 3")
    before, _ = execution.execute(given, written, EMPTY, Sandbox("timeout", "timeout"), SETTINGS)
    more, sandbox = pl.concat([written, asserts_of(bob="assert add(0, 0) == 0\nassert add(1, 2) == 3")]), Sandbox()
    rows, spent = execution.execute(given, more, before, sandbox, SETTINGS)
    assert [program.checks for program in sandbox.ran] == [("assert plus(0, 0) == 0",)] * 2
    assert rows.filter(writer="ann").equals(before)
    assert outcomes(rows) == {("ann", "assert add(1, 2) == 3"): "timeout", ("ann", "assert add(0, 0) == 0"): "passed"}
    assert (spent.runs, spent.reused) == (1, 2)


@pytest.mark.parametrize("changed", ["answer", "limit"])
def test_a_changed_answer_or_limit_is_run_again(changed: str) -> None:
    written = asserts_of(ann="assert add(1, 2) == 3")
    before, _ = execution.execute(answers(ann=PLUS), written, EMPTY, Sandbox(), SETTINGS)
    settings = Execution(seconds=9) if changed == "limit" else SETTINGS
    sandbox = Sandbox()
    execution.execute(answers(ann=PLUS + "\n\n" if changed == "answer" else PLUS), written, before, sandbox, settings)
    assert len(sandbox.ran) == ROUNDS


def test_two_runs_that_differ_are_unstable_in_either_order() -> None:
    given, written = answers(ann=PLUS), asserts_of(ann="assert add(1, 2) == 3")
    one, other = (
        execution.execute(given, written, EMPTY, Sandbox(*scripted), SETTINGS)[0]
        for scripted in (("passed", "failed"), ("failed", "passed"))
    )
    assert one["outcome"].to_list() == ["unstable"]
    assert one.equals(other)
    assert "0x..." in execution.execute(given, written, EMPTY, Sandbox("failed", "failed"), SETTINGS)[0]["reason"][0]


def test_equal_code_is_run_once_for_all_its_answers() -> None:
    sandbox = Sandbox()
    rows, _ = execution.execute(answers(ann=PLUS, bob=PLUS), asserts_of(ann="assert add(1, 2) == 3"), EMPTY, sandbox, SETTINGS)
    assert len(sandbox.ran) == ROUNDS
    assert rows["answer_key"].to_list() == ["of ann", "of bob"]


READS_INPUT = f"```python\n{PLUS}\nprint(plus(int(input()), 2))\n```"


def test_where_a_program_fails_its_definitions_are_run_and_its_row_says_so() -> None:
    given, written = answers(ann=READS_INPUT, bob=PLUS), asserts_of(ann="assert add(1, 2) == 3\nassert add(1, 2) == 4")
    rows, spent = execution.execute(given, written, EMPTY, run_all, SETTINGS)
    assert rows.filter(competitor="ann").select("outcome", "reason").rows() == [
        ("passed", "definitions only (EOFError: EOF when reading a line)"),
        ("failed", "definitions only (EOFError: EOF when reading a line): the assert in line 1 does not hold"),
    ]
    assert rows["run_key"].n_unique() == 4  # that of the definitions is not that of the same text as a whole program
    assert (spent.runs, spent.reused) == (6, 0)


def test_definitions_that_were_run_are_not_run_again() -> None:
    given, written = answers(ann=READS_INPUT), asserts_of(ann="assert add(1, 2) == 3")
    before, _ = execution.execute(given, written, EMPTY, run_all, SETTINGS)
    sandbox = Sandbox()
    again, spent = execution.execute(given, written, before, sandbox, SETTINGS)
    assert again.equals(before)
    assert (sandbox.ran, spent.runs, spent.reused) == ([], 0, 1)


def test_a_stored_result_of_a_whole_program_is_used_and_only_a_program_that_failed_is_run_again() -> None:
    """Run keys of a version that knew whole programs only stay valid."""
    written = asserts_of(ann="assert add(1, 2) == 3")
    before, _ = execution.execute(answers(ann=PLUS), written, EMPTY, Sandbox(), SETTINGS)
    assert before["run_key"].to_list() == ["c77cc844ea8910c864931d509e19e349"]
    failed = before.with_columns(run_key=pl.lit(whole_key(READS_INPUT)), outcome=pl.lit("not run"), reason=pl.lit("EOFError: "))
    sandbox = Sandbox()
    rows, _ = execution.execute(answers(ann=READS_INPUT), written, failed, sandbox, SETTINGS)
    assert [program.code for program in sandbox.ran] == [extract_code(READS_INPUT).definitions] * ROUNDS
    assert rows["run_key"][0] != failed["run_key"][0]


def whole_key(answer: str) -> str:
    """The run key of an answer's whole program."""
    test = {"row_id": "", "instruction_id": "", "writer": "", "test": "assert add(1, 2) == 3"}
    key: str = execution.result_row(extract_code(answer), test, SETTINGS)["run_key"]
    return key


@pytest.mark.parametrize("place", ["program", "function"])
def test_code_that_needs_a_module_which_the_sandbox_lacks_is_not_judged(place: str) -> None:
    code = "import numpy\ndef plus(a, b):\n    return int(numpy.add(a, b))"
    code = code if place == "program" else "def plus(a, b):\n    import numpy\n    return int(numpy.add(a, b))"
    written = asserts_of(ann="assert add(1, 2) == 3")
    rows, _ = execution.execute(answers(ann=code), written, EMPTY, run_all, SETTINGS)
    needs = ("needs module", "needs module numpy, which the sandbox does not have")
    assert rows.select("outcome", "reason").rows() == [needs]
    again, spent = execution.execute(answers(ann=code), written, rows, Sandbox(), SETTINGS)
    assert (again.equals(rows), spent.reused) == (True, 1)
    settings = Execution(modules=("numpy",))
    with_numpy = partial(run_all, limits=limits(settings))
    named, spent = execution.execute(answers(ann=code), written, rows, with_numpy, settings)
    assert named.select("outcome", "reason").rows() == [("passed", "")]
    assert spent.runs == 1  # the modules are part of the run key


@pytest.mark.parametrize(
    "code",
    [
        "def plus(a, b):\n    raise ModuleNotFoundError(\"No module named 'numpy'\")",
        "def plus(a, b):\n    import os.add\n    return os.add(a, b)",
        "def plus(a, b):\n    import json.add\n    return 3",
    ],
)
def test_code_that_only_claims_to_need_a_module_is_judged(code: str) -> None:
    rows, _ = execution.execute(answers(ann=code), asserts_of(ann="assert add(1, 2) == 3"), EMPTY, run_all, SETTINGS)
    assert rows["outcome"].to_list() == ["error"]


def test_a_program_that_could_be_loaded_only_once_is_run_as_its_definitions() -> None:
    sandbox = Sandbox("passed", "not run")
    rows, _ = execution.execute(answers(ann=READS_INPUT), asserts_of(ann="assert add(1, 2) == 3"), EMPTY, sandbox, SETTINGS)
    assert rows["outcome"].to_list() == ["passed"]
    assert len({program.code for program in sandbox.ran}) == 2
