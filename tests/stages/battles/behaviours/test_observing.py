"""Observing: what is run on which inputs, what is not run again, and runs that differ."""

from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.config.battles import Execution
from warrior_dagster.sandbox.code_extraction import extract_code
from warrior_dagster.sandbox.pool import Observation, ObservedProgram, observe_all
from warrior_dagster.stages.battles.behaviours import inputs, observing
from warrior_dagster.stages.battles.sandbox_runs import ROUNDS

SETTINGS = Execution()
EMPTY = pl.DataFrame(schema=observing.SCHEMA)
PLUS = "def plus(a, b):\n    return a + b"


def answers(**texts: str) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"instruction_id": "00", "competitor": name, "answer": text, "usable": True, "completion_key": f"of {name}"}
            for name, text in texts.items()
        ]
    )


def calls(*texts: str, writer: str = "ann") -> pl.DataFrame:
    return pl.DataFrame([("00", writer, text, n) for n, text in enumerate(texts)], schema=inputs.SCHEMA, orient="row")


class Run:
    """Evaluates calls in this process, and records the programs. `differs` makes the second run return something else."""

    def __init__(self, *, differs: bool = False) -> None:
        self.differs, self.ran = differs, list[ObservedProgram]()

    def __call__(self, programs: Iterable[ObservedProgram]) -> Iterator[Observation]:
        for program in programs:
            self.ran.append(program)
            yield self.observed(program)

    def observed(self, program: ObservedProgram) -> Observation:
        namespace = dict[str, Any]({"run": len(self.ran) if self.differs else 0})
        count = len(program.calls)
        try:
            exec(program.code, namespace)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            return Observation(program.key, ("not run",) * count, ("",) * count, why, 0.5, "namespaces")
        outcomes, values = zip(*(self.called(call, namespace) for call in program.calls), strict=True)
        return Observation(program.key, outcomes, values, "", 0.5, "namespaces")

    def called(self, call: str, namespace: dict[str, Any]) -> tuple[Any, str]:
        try:
            return "returned", repr(eval(call, namespace))
        except Exception as error:
            return "raised", type(error).__name__


class Hanging(Run):
    """Some calls time out, in all rounds or in the first alone; after three the others are skipped, as in the sandbox."""

    def __init__(self, hang: Iterable[str], hang_once: Iterable[str] = ()) -> None:
        super().__init__()
        self.hang = {"0": {*hang, *hang_once}, "1": {*hang}}

    def observed(self, program: ObservedProgram) -> Observation:
        done, outcomes = super().observed(program), list[str]()
        for call, outcome in zip(program.calls, done.outcomes, strict=True):
            hangs = call in self.hang[program.key[-1]]
            outcomes.append("skipped" if outcomes.count("timeout") == 3 else "timeout" if hangs else outcome)
        values = [value if how == "returned" else "" for how, value in zip(outcomes, done.values, strict=True)]
        return Observation(program.key, tuple(outcomes), tuple(values), "", 0.5, "namespaces")


def found(rows: pl.DataFrame) -> list[tuple[str | None, ...]]:
    return rows.select("competitor", "input", "outcome", "value", "reason").rows()


def test_every_answer_is_run_on_the_inputs_of_all_writers_in_the_real_sandbox() -> None:
    given = answers(ann=PLUS, bob="```python\ndef add(a, b):\n    return [a, b].pop(a)\n```", cyd="I cannot.")
    asked = pl.concat([calls("add(1, 2)", "add(0, 'x')"), calls("add(1, 2)", writer="bob")])
    rows, spent = observing.observe(given, asked, EMPTY, observe_all, SETTINGS)
    assert found(rows) == [
        ("ann", "add(0, 'x')", "raised", None, "TypeError"), ("ann", "add(1, 2)", "returned", "3", ""),
        ("bob", "add(0, 'x')", "returned", "0", ""), ("bob", "add(1, 2)", "returned", "2", ""),
        ("cyd", "add(0, 'x')", "not run", None, "no code: nothing in it is Python"),
        ("cyd", "add(1, 2)", "not run", None, "no code: nothing in it is Python"),
    ]  # fmt: skip
    assert rows["bound"].to_list() == ["add = plus"] * 2 + [""] * 4
    assert rows["row_id"].n_unique() == 2
    assert set(rows.filter(pl.col("competitor") != "cyd")["answer_key"]) == {"of ann", "of bob"}
    assert (spent.runs, spent.reused) == (4, 0)
    again, spent = observing.observe(given, asked, rows, observe_all, SETTINGS)
    assert again.equals(rows)
    assert (spent.runs, spent.reused) == (0, 4)


def test_an_answer_is_run_once_on_all_its_inputs_in_each_round() -> None:
    run = Run()
    observing.observe(answers(ann=PLUS, bob=PLUS), calls("add(1, 2)", "add(2, 2)"), EMPTY, run, SETTINGS)
    assert [program.calls for program in run.ran] == [("plus(1, 2)", "plus(2, 2)")] * ROUNDS


def test_only_new_inputs_and_answers_are_run_and_rows_of_earlier_ones_are_kept() -> None:
    before, _ = observing.observe(answers(ann=PLUS), calls("add(1, 2)"), EMPTY, Run(), SETTINGS)
    run, more = Run(), pl.concat([calls("add(1, 2)"), calls("add(3, 4)", writer="bob")])
    rows, spent = observing.observe(answers(ann=PLUS, bob=PLUS + " + 1"), more, before, run, SETTINGS)
    assert [program.calls for program in run.ran] == [("plus(3, 4)",)] * 2 + [("plus(1, 2)", "plus(3, 4)")] * 2
    assert rows.join(before, on="run_key", how="semi").equals(before)
    assert (spent.runs, spent.reused) == (3, 1)


@pytest.mark.parametrize("changed", ["answer", "limit"])
def test_a_changed_answer_or_limit_is_run_again(changed: str) -> None:
    before, _ = observing.observe(answers(ann=PLUS), calls("add(1, 2)"), EMPTY, Run(), SETTINGS)
    settings = Execution(seconds=9) if changed == "limit" else SETTINGS
    run = Run()
    observing.observe(answers(ann=PLUS + " + 0" * (changed == "answer")), calls("add(1, 2)"), before, run, settings)
    assert len(run.ran) == ROUNDS


PLACES = tuple(f"plus({number}, 0)" for number in range(9))


@given(st.sets(st.sampled_from(PLACES)), st.lists(st.sets(st.sampled_from(PLACES)), max_size=3))
def test_what_is_skipped_does_not_depend_on_which_inputs_were_run_first(hang: set[str], earlier: list[set[str]]) -> None:
    given_answers, rows, known = answers(ann=PLUS), EMPTY, set[str]()
    for more in (*earlier, set(PLACES)):
        known |= more
        rows, _ = observing.observe(given_answers, calls(*sorted(known)), rows, Hanging(hang), SETTINGS)
    at_once, _ = observing.observe(given_answers, calls(*PLACES), EMPTY, Hanging(hang), SETTINGS)
    assert rows.equals(at_once)
    third = sorted(hang)[2] if len(hang) > 2 else "z"
    assert at_once["outcome"].to_list() == [
        "skipped" if call > third else "timeout" if call in hang else "returned" for call in PLACES
    ]
    again, spent = observing.observe(given_answers, calls(*PLACES), at_once, Hanging(hang), SETTINGS)
    assert (again.equals(at_once), spent.runs) == (True, 0)
    assert observing.forecast(given_answers, calls(*PLACES), at_once, SETTINGS)[1] == 0


def test_an_answer_that_always_hangs_is_run_on_three_inputs() -> None:
    run = Hanging(PLACES)
    rows, spent = observing.observe(answers(ann=PLUS), calls(*PLACES), EMPTY, run, SETTINGS)
    assert (len(run.ran), spent.runs) == (ROUNDS, 3)
    assert found(rows)[-1] == ("ann", PLACES[-1], "skipped", None, "3 calls before it timed out")


def test_a_third_timeout_in_one_round_alone_makes_no_other_input_unstable() -> None:
    run = Hanging(PLACES[:2], hang_once=PLACES[2:3])
    rows, _ = observing.observe(answers(ann=PLUS), calls(*PLACES), EMPTY, run, SETTINGS)
    assert rows["outcome"].to_list() == ["timeout", "timeout", "unstable", *["returned"] * 6]


def test_two_runs_that_differ_are_unstable_and_have_no_value() -> None:
    given = answers(ann="def add(a, b):\n    return run")
    rows, _ = observing.observe(given, calls("add(1, 2)"), EMPTY, Run(differs=True), SETTINGS)
    assert found(rows) == [("ann", "add(1, 2)", "unstable", None, "1 and 2")]


def test_where_a_program_fails_its_definitions_are_run_and_its_row_says_so() -> None:
    given = answers(ann=f"```python\n{PLUS}\nprint(plus(int(none_such), 2))\n```")
    run = Run()
    rows, _ = observing.observe(given, calls("add(1, 2)", "add(1, '')"), EMPTY, run, SETTINGS)
    why = "definitions only (NameError: name 'none_such' is not defined)"
    assert found(rows) == [
        ("ann", "add(1, '')", "raised", None, f"{why}: TypeError"), ("ann", "add(1, 2)", "returned", "3", why)
    ]  # fmt: skip
    assert run.ran[-1].code == extract_code(given["answer"][0]).definitions
    again, spent = observing.observe(given, calls("add(1, 2)", "add(1, '')"), rows, Run(), SETTINGS)
    assert (again.equals(rows), spent.runs) == (True, 0)


@pytest.mark.parametrize("place", ["program", "function"])
def test_an_answer_that_needs_a_module_which_the_sandbox_lacks_has_no_value_but_the_reason(place: str) -> None:
    whole = "import pandaz\ndef plus(a, b):\n    return pandaz.add(a, b)"
    code = whole if place == "program" else "def plus(a, b):\n    import pandaz\n    return a + b"
    rows, _ = observing.observe(answers(ann=code), calls("add(1, 2)"), EMPTY, Run(), SETTINGS)
    needs = "needs module pandaz, which the sandbox does not have"
    assert found(rows) == [("ann", "add(1, 2)", "needs module", None, needs)]
    again, spent = observing.observe(answers(ann=code), calls("add(1, 2)"), rows, Run(), SETTINGS)
    assert (again.equals(rows), spent.runs) == (True, 0)


def test_unusable_answers_and_instructions_without_inputs_have_no_rows() -> None:
    given = answers(ann=PLUS, bob=PLUS).with_columns(usable=pl.col("competitor") == "ann")
    rows, _ = observing.observe(given, calls("add(1, 2)"), EMPTY, Run(), SETTINGS)
    assert rows["competitor"].to_list() == ["ann"]
    assert observing.observe(given, calls(), EMPTY, Run(), SETTINGS)[0].is_empty()
