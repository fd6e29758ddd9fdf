"""What answers return, side by side: telling inputs first, equal values in one group, and long values cut."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.report.behaviours import LONGEST, compared

NAMES = ("ann", "bob", "cyd")


def did(text: str, **outcomes: str) -> list[dict[str, Any]]:
    """Rows of one input: a value by competitor, or an outcome and what it says, as `raised: ValueError`."""
    found = []
    for name, said in outcomes.items():
        outcome, _, reason = said.partition(": ")
        value = {"value": None, "reason": reason} if ": " in said else {"outcome": "returned", "value": said, "reason": ""}
        found.append({"input": text, "competitor": name, "outcome": outcome} | value)
    return found


def test_inputs_that_tell_answers_apart_come_first_and_the_others_are_counted() -> None:
    rows = [
        *did("f(1)", ann="1", bob="1", cyd="1"),
        *did("f(2)", ann="2", bob="2", cyd="raised: ValueError"),
        *did("f(3)", ann="3", bob="4", cyd="5"),
        *did("f(4)", ann="3", bob="3", cyd="5"),
        *did("f(5)", ann="0", bob="0", cyd="0"),
    ]
    found = compared(rows, NAMES, most=3)
    assert [(one["input"], one["differs"]) for one in found["inputs"]] == [("f(3)", True), ("f(4)", True), ("f(2)", True)]
    assert (found["total"], found["more"]) == (5, "... and 2 more where all agree")
    assert compared(rows, NAMES, most=1)["more"] == "... and 2 more where answers differ and 2 more where all agree"
    assert compared(rows, NAMES, most=5)["more"] == ""


def test_equal_values_have_one_number_and_that_of_the_first_competitor_is_0() -> None:
    (one,) = compared(did("f(1)", ann="1", bob="2", cyd="2"), NAMES)["inputs"]
    assert one["values"] == {
        "ann": {"shown": "1", "same": 0},
        "bob": {"shown": "2", "same": 1},
        "cyd": {"shown": "2", "same": 1},
    }
    rows = did("f(1)", ann="raised: definitions only (EOFError: x): KeyError", bob="2", cyd="2")
    (one,) = compared(rows, NAMES)["inputs"]
    assert one["values"]["ann"] == {"shown": "raised KeyError", "same": None}
    assert {one["values"][name]["same"] for name in ("bob", "cyd")} == {1}


def test_what_is_no_plain_value_equals_nothing_and_is_shown_by_its_outcome() -> None:
    rows = did("f(1)", ann="timeout: ", bob="timeout: ", cyd="not plain: ")
    (one,) = compared(rows, NAMES)["inputs"]
    assert [one["values"][name] for name in NAMES] == [
        {"shown": "timeout", "same": None},
        {"shown": "timeout", "same": None},
        {"shown": "not plain", "same": None},
    ]


def test_long_values_are_compared_whole_and_shown_cut_with_their_length() -> None:
    long = "x" * 1999
    (one,) = compared(did("f(1)", ann=long + "a", bob=long + "b", cyd=long + "a"), NAMES)["inputs"]
    assert one["differs"]
    assert [one["values"][name]["same"] for name in NAMES] == [0, 1, 0]
    assert one["values"]["ann"]["shown"] == "x" * LONGEST + "... (2,000 characters)"


def test_a_competitor_that_was_not_observed_has_no_column() -> None:
    found = compared(did("f(1)", ann="1", cyd="1"), NAMES)
    assert found["competitors"] == ["ann", "cyd"]
    assert compared([], NAMES) == {"competitors": [], "total": 0, "inputs": [], "more": ""}


OUTCOMES = st.sampled_from(["1", "2", "3", "raised: ValueError", "timeout: "])
INPUTS = st.lists(st.fixed_dictionaries(dict.fromkeys(NAMES, OUTCOMES)), max_size=6)


@given(INPUTS, st.randoms(use_true_random=False))
def test_the_table_does_not_depend_on_the_order_of_rows_and_its_groups_are_the_equal_values(inputs: Any, random: Any) -> None:
    rows = [row for number, outcomes in enumerate(inputs) for row in did(f"f({number})", **outcomes)]
    found = compared(rows, NAMES)
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert compared(shuffled, NAMES) == found
    assert found["total"] == len(inputs)
    differs = [one["differs"] for one in found["inputs"]]
    assert differs == sorted(differs, reverse=True)
    for one in found["inputs"]:
        values = [value for value in one["values"].values() if value["same"] is not None]
        assert all((a["same"] == b["same"]) == (a["shown"] == b["shown"]) for a in values for b in values)
