"""A competitor settles on the sample that agrees most with its others, whatever the order of rows and whoever else is there."""

from collections.abc import Sequence
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from warrior_dagster.stages.battles import answering
from warrior_dagster.stages.battles.behaviours.agreement import agreement
from warrior_dagster.stages.battles.samples import settling

Returned = Sequence[str | None]
"""What a sample returned for each input: the text of a plain value, or None."""


def samples_of(*statuses: str, identity: str = "00") -> pl.DataFrame:
    rows = [
        {"instruction_id": identity, "competitor": "ann", "status": status, "answer": f"answer {number}", "sample": number,
         "usable": status in answering.USABLE, "completion_key": f"{identity} {number}", "tokens": 1, "attempts": 1}
        for number, status in enumerate(statuses)
    ]  # fmt: skip
    return answering.sample_rows(rows)


def observed(*returned: Returned, identity: str = "00", outcome: str = "raised") -> pl.DataFrame:
    rows = [
        {"row_id": f"{identity}:{sample:02}:{place}", "instruction_id": identity, "competitor": "ann", "sample": sample,
         "input": f"f({place})", "outcome": outcome if value is None else "returned", "value": value}
        for sample, values in enumerate(returned)
        for place, value in enumerate(values)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=settling.OBSERVED_SCHEMA)


def settled(samples: pl.DataFrame, seen: pl.DataFrame) -> dict[str, Any]:
    (row,) = settling.settle(samples, seen).to_dicts()
    return row


def test_the_sample_that_agrees_most_with_the_others_is_the_answer_and_the_one_that_agrees_least_is_named() -> None:
    row = settled(samples_of(*["ok"] * 4), observed("12", "34", "35", "3x"))
    assert (row["row_id"], row["sample"], row["answer"], row["completion_key"]) == ("00", 1, "answer 1", "00 1")
    assert (row["settled_by"], row["agreement"]) == ("agreement", round((0 + 0.5 + 0.5) / 3, settling.DECIMALS))
    assert (row["least_like"], row["least_agreement"]) == (0, 0.0)


def test_of_equal_samples_a_finished_one_comes_first_then_one_that_returns_a_value_then_the_lowest_number() -> None:
    assert settled(samples_of("unfinished", "ok", "ok"), observed("1", "1", "1"))["sample"] == 1
    assert settled(samples_of("ok", "ok", "ok"), observed([None], [None], "1"))["sample"] == 2
    assert settled(samples_of("ok", "unfinished"), observed([None], "1"))["sample"] == 0
    assert settled(samples_of("ok", "ok", "ok"), observed("1", "1", "2"))["sample"] == 0


def test_where_nothing_can_be_run_it_is_the_first_finished_sample_and_no_other_is_said_to_differ() -> None:
    for seen in (observed(), observed([None], [None], [None], outcome="not run")):
        row = settled(samples_of("empty", "unfinished", "ok"), seen)
        assert (row["sample"], row["settled_by"]) == (2, "first sample")
        assert (row["agreement"], row["least_like"], row["least_agreement"]) == (None, None, None)
    row = settled(samples_of("empty", "unfinished"), observed())
    assert (row["sample"], row["usable"], row["status"]) == (1, True, "unfinished")
    row = settled(samples_of("failed", "empty"), observed())
    assert (row["sample"], row["usable"], row["status"]) == (0, False, "failed")


def test_a_sample_that_needs_a_missing_module_is_not_said_to_differ_and_equal_texts_do_not_either() -> None:
    lacks = observed("1", "1", [None], outcome="needs module")
    assert settled(samples_of(*["ok"] * 3), lacks)["least_like"] is None
    crashes = observed("1", "1", [None])
    assert settled(samples_of(*["ok"] * 3), crashes)["least_like"] == 2
    same_text = samples_of(*["ok"] * 3).with_columns(answer=pl.lit("same"))
    assert settled(same_text, crashes)["least_like"] is None


values = st.sampled_from([None, "1", "2"])
statuses = st.sampled_from(["ok", "ok", "unfinished", "empty", "failed"])


@st.composite
def several(draw: st.DrawFn, identity: str = "00") -> tuple[pl.DataFrame, pl.DataFrame]:
    """Samples of one instruction and what the usable ones returned."""
    given_statuses = draw(st.lists(statuses, min_size=1, max_size=5))
    inputs = draw(st.integers(0, 3))
    returned = [draw(st.lists(values, min_size=inputs, max_size=inputs)) for _ in given_statuses]
    samples = samples_of(*given_statuses, identity=identity)
    usable = samples.filter("usable").select("sample")
    return samples, observed(*returned, identity=identity).join(usable, on="sample", how="semi")


@given(several(), several("01"), st.randoms(use_true_random=False))
def test_settling_depends_on_no_order_of_rows_and_on_no_other_instruction(
    one: tuple[pl.DataFrame, pl.DataFrame], other: tuple[pl.DataFrame, pl.DataFrame], random: Any
) -> None:
    alone = settling.settle(*one)
    together = [pl.concat(frames) for frames in zip(one, other, strict=True)]
    shuffled = [frame[random.sample(range(len(frame)), len(frame))] for frame in together]
    assert_frame_equal(settling.settle(*shuffled), pl.concat([alone, settling.settle(*other)]))


@given(several())
def test_nothing_usable_agrees_more_with_its_others_than_what_was_settled_on(one: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    samples, seen = one
    row = settled(samples, seen)
    usable = samples.filter("usable")["sample"].to_list()
    assert row["usable"] == bool(usable)
    of_sample = {s: dict(seen.filter(sample=s).select("input", "value").iter_rows()) for s in usable}
    peers = [s for s in usable if any(value is not None for value in of_sample[s].values())]

    def mean(sample: int) -> float:
        agreed = [agreement(of_sample[sample], of_sample[other]) or 0.0 for other in peers if other != sample]
        return sum(agreed) / len(agreed) if agreed else 0.0

    assert row["settled_by"] == ("agreement" if peers else "first sample")
    assert all(mean(row["sample"]) >= mean(s) - 1e-8 for s in usable)
    if row["least_like"] is not None:
        assert row["least_agreement"] == agreement(of_sample[row["sample"]], of_sample[row["least_like"]])
        assert row["least_agreement"] < 1


@given(several())
def test_a_sample_that_crashes_on_everything_does_not_change_which_of_the_others_is_settled_on(
    one: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    samples, seen = one
    before = settled(samples, seen)
    if before["settled_by"] == settling.AGREEMENT and before["agreement"] is not None:
        crashing = samples_of(*["ok"] * (len(samples) + 1)).tail(1)
        crashes = observed(*[[None] * 3] * (len(samples) + 1)).filter(sample=len(samples))
        after = settled(pl.concat([samples, crashing]), pl.concat([seen, crashes]))
        # Where nobody agreed with anybody, it may come before what is unfinished.
        assert after["sample"] in ([before["sample"], len(samples)] if before["agreement"] == 0 else [before["sample"]])
