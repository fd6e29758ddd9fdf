"""The answers in each format, and their order."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stages.export.examples import ROWS, arena, group
from warrior_dagster.config.stages import Export
from warrior_dagster.stages.export.dpo import dpo_rows, own_sample_rows, without_own_sample
from warrior_dagster.stages.export.kto import kto_rows
from warrior_dagster.stages.export.records import undecided
from warrior_dagster.stages.export.sft import sft_rows


def test_sft_uses_the_gold_answer() -> None:
    records = pl.concat([group("b", ("best", 1.0, True), ("worst", 0.0, True)), group("a", ("only", 0.0, True))])
    assert sft_rows(records).to_dicts() == [
        {
            "instruction_id": "a",
            "messages": [{"role": "user", "content": "Ask a?"}, {"role": "assistant", "content": "only"}],
            "attacker": "ada",
            "language": "Python",
            "difficulty": 7.0,
            "competitor": "model-0",
            "score": 0.0,
            "decided_by": "opinion",
        },
        {
            "instruction_id": "b",
            "messages": [{"role": "user", "content": "Ask b?"}, {"role": "assistant", "content": "best"}],
            "attacker": "ada",
            "language": "Python",
            "difficulty": 7.0,
            "competitor": "model-0",
            "score": 1.0,
            "decided_by": "opinion",
        },
    ]


def test_sft_leaves_out_an_instruction_whose_gold_answer_is_unfinished() -> None:
    assert sft_rows(group("a", ("best but cut", 1.0, False), ("worse", 0.0, True))).is_empty()


def test_dpo_prefers_the_best_answer_to_the_worst() -> None:
    records = group("a", ("best", 1.5, True), ("middle", 1.0, True), ("worst", 0.5, False))
    assert dpo_rows(records, margin=0.5).to_dicts() == [
        {
            "instruction_id": "a",
            "prompt": [{"role": "user", "content": "Ask a?"}],
            "chosen": [{"role": "assistant", "content": "best"}],
            "rejected": [{"role": "assistant", "content": "worst"}],
            "attacker": "ada",
            "language": "Python",
            "difficulty": 7.0,
            "chosen_competitor": "model-0",
            "rejected_competitor": "model-2",
            "chosen_score": 1.5,
            "rejected_score": 0.5,
            "decided_by": "opinion",
        }
    ]


@pytest.mark.parametrize(
    ("records", "margin"),
    [
        (group("a", ("one", 0.5, True), ("other", 0.5, True)), 0.0),
        (group("a", ("one", 0.65, True), ("other", 0.35, True)), 0.3),  # The float difference is above 0.3.
        (group("a", ("same", 1.0, True), ("same\n", 0.0, True)), 0.0),
        (group("a", ("cut", 1.0, False), ("other", 0.0, True)), 0.0),
        (group("a", ("only", 0.0, True)), 0.0),
    ],
    ids=["equal scores", "margin not passed", "same text", "chosen unfinished", "one answer"],
)
def test_dpo_leaves_out_pairs_without_a_clear_preference(records: pl.DataFrame, margin: float) -> None:
    assert dpo_rows(records, margin=margin).is_empty()


def test_dpo_keeps_a_difference_above_the_margin() -> None:
    records = group("a", ("one", 0.65, True), ("other", 0.35, True))
    assert len(dpo_rows(records, margin=0.29)) == 1


def with_own_sample(text: str | None, finished: bool = True) -> pl.DataFrame:
    """An instruction with two answers; the gold one has this sample beside it."""
    records = group("a", ("best", 1.5, finished), ("worst", 0.5, True))
    return records.with_columns(own_sample=pl.when("gold").then(pl.lit(text, pl.String)).otherwise(pl.lit("other")))


def test_dpo_can_reject_a_sample_of_the_chosen_competitor_which_has_no_score() -> None:
    (row,) = own_sample_rows(with_own_sample("also tried")).to_dicts()
    assert row["chosen"] == [{"role": "assistant", "content": "best"}]
    assert row["rejected"] == [{"role": "assistant", "content": "also tried"}]
    assert (row["chosen_competitor"], row["rejected_competitor"]) == ("model-0", "model-0")
    assert (row["chosen_score"], row["rejected_score"]) == (1.5, None)
    assert own_sample_rows(with_own_sample("x")).schema == dpo_rows(with_own_sample("x"), margin=0.0).schema


@pytest.mark.parametrize(
    ("records", "without"),
    [(with_own_sample(None), 1), (with_own_sample("best\n"), 0), (with_own_sample("other", finished=False), 0)],
    ids=["no other sample", "same text", "chosen unfinished"],
)
def test_dpo_leaves_out_a_chosen_answer_without_a_sample_that_differs_and_counts_it(
    records: pl.DataFrame, without: int
) -> None:
    assert own_sample_rows(records).is_empty()
    assert without_own_sample(records) == without


def test_kto_labels_finished_answers_above_the_mean_desirable() -> None:
    good = group("a", ("best", 1.7, True), ("at the mean", 1.0, True), ("worst", 0.3, True))
    cut = group("b", ("best but cut", 0.9, False), ("worst and cut", 0.1, False))
    rows = kto_rows(pl.concat([good, cut]))
    labels = {row["completion"][0]["content"]: row["label"] for row in rows.to_dicts()}
    assert labels == {"best": True, "worst": False, "worst and cut": False}
    first = rows.filter(pl.col("competitor") == "model-0", pl.col("instruction_id") == "a").to_dicts()
    assert first == [
        {
            "instruction_id": "a",
            "prompt": [{"role": "user", "content": "Ask a?"}],
            "completion": [{"role": "assistant", "content": "best"}],
            "label": True,
            "attacker": "ada",
            "language": "Python",
            "difficulty": 7.0,
            "competitor": "model-0",
            "score": 1.7,
        }
    ]


def test_kto_leaves_out_a_score_at_the_mean_despite_rounding() -> None:
    records = group("a", ("high", 0.3, True), ("mean", 0.2, True), ("low", 0.1, True))
    assert sum(records["score"]) / 3 != 0.2
    assert sorted(kto_rows(records)["score"]) == [0.1, 0.3]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), st.integers(0, 4), st.booleans()), min_size=2, max_size=5))
def test_no_text_is_both_good_and_bad(answers: list[tuple[str, int, bool]]) -> None:
    """Scores of one text are equal, as `final_scores` makes them."""
    score_of = {text: score / 2 for text, score, _ in answers}
    ranked = sorted(((text, score_of[text], finished) for text, _, finished in answers), key=lambda one: -one[1])
    records = group("a", *ranked)
    labels = kto_rows(records).select(pl.col("completion").list.first().struct.field("content"), "label").rows()
    assert len({text for text, _ in labels}) == len(labels)
    for row in dpo_rows(records, margin=0.0).iter_rows(named=True):
        assert row["chosen"] != row["rejected"]


def test_kto_shows_a_text_of_several_competitors_once_and_as_finished_if_one_was_not_cut_off() -> None:
    records = group("a", ("same", 1.2, False), ("same", 1.2, True), ("worse", 0.8, True), ("worst", 0.3, True))
    rows = kto_rows(records).sort("score", descending=True)
    assert rows.select("competitor", "label").rows() == [("model-1", True), ("model-2", False), ("model-3", False)]
    old = group("a", ("same", 1.5, True), ("other", 1.0, True), ("same", 0.5, True))  # scored by an earlier version
    assert kto_rows(old).select("competitor", "label").rows() == [("model-0", True)]


def test_kto_neighbours_answer_different_instructions() -> None:
    rows = kto_rows(arena(50))
    neighbours = zip(rows["instruction_id"], rows["instruction_id"].shift(-1), strict=True)
    assert sum(a == b for a, b in neighbours) <= 3  # Only where one round of the instructions ends and the next begins.
    assert rows["label"].head(100).n_unique() == 2
    assert len(rows) == len(rows.select("instruction_id", "competitor").unique()) == 150  # One of four is at the mean.


@pytest.mark.parametrize("kind", ROWS)
def test_the_order_of_the_records_does_not_matter(kind: str) -> None:
    records = arena()
    assert ROWS[kind](records.reverse()).equals(ROWS[kind](records))


@pytest.mark.parametrize("kind", ROWS)
def test_without_records_the_rows_are_empty_with_the_same_types(kind: str) -> None:
    assert ROWS[kind](arena().clear()).schema == ROWS[kind](arena()).schema
    assert ROWS[kind](arena().clear()).is_empty()


def test_what_no_evidence_decided_is_undecided_unless_the_arena_keeps_it() -> None:
    deciders = ("opinion", "execution", "behaviour", "rating", "length")
    records = pl.concat(
        group(by, ("best", 1.0, True), ("worst", 0.0, True)).with_columns(decided_by=pl.lit(by)) for by in deciders
    )
    assert undecided(records, Export())["instruction_id"].to_list() == ["rating", "rating", "length", "length"]
    assert undecided(records, Export(undecided="keep")).is_empty()
