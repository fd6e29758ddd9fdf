"""The rules for rows: right rows give no problem, wrong ones their partition, number and ids."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.orchestration.checks import row_rules
from warrior_dagster.stages.ratings.elo import elo
from warrior_dagster.stages.ratings.scores import final_scores

ROSTER = ["ann", "bob", "cyd"]


def frame(*rows: tuple[Any, ...], **schema: Any) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"partition": pl.String, "row_id": pl.String, **schema}, orient="row")


def test_a_problem_names_the_partition_and_the_first_rows() -> None:
    wrong = frame(*(("p", f"r{i}") for i in range(7)), ("q", "s"))
    assert row_rules.named(wrong, "of that kind") == {
        "p": "7 rows of that kind: r0, r1, r2, r3, r4, …",
        "q": "1 row of that kind: s",
    }


def test_repeated_ids_are_found_within_a_partition() -> None:
    assert row_rules.repeated_ids(frame(("p", "a"), ("q", "a"), ("p", "b"))) == {}
    assert row_rules.repeated_ids(frame(("p", "a"), ("q", "b"), ("q", "b"))) == {"q": "2 rows with the id of another: b, b"}


def test_repeated_texts_are_found_across_partitions() -> None:
    rows = frame(("p", "a", "x"), ("q", "b", "x"), ("q", "c", "y"), text=pl.String)
    found = row_rules.repeated_texts(rows, pl.col("text"), "the text")
    assert found == {"p": "1 row with the text of another: a", "q": "1 row with the text of another: b"}
    assert row_rules.repeated_texts(rows.filter(partition="q"), pl.col("text"), "the text") == {}


def test_a_partition_with_only_unusable_rows_is_reported_and_one_without_rows_is_not() -> None:
    rows = frame(("p", "a", False), ("p", "b", False), ("q", "c", True), ("q", "d", False), good=pl.Boolean)
    assert row_rules.nothing_usable(rows, pl.col("good"), "good") == {"p": "none of its 2 rows is good"}
    assert row_rules.nothing_usable(rows.clear(), pl.col("good"), "good") == {}


@pytest.mark.parametrize(
    ("limit", "wrong"), [(0.5, {}), (0.49, {"p": "1 of 2 verdicts could not be read; at most 49% may be"})]
)
def test_more_unreadable_verdicts_than_the_limit_are_reported_and_exactly_the_limit_is_not(
    limit: float, wrong: dict[str, str]
) -> None:
    rows = frame(("p", "a", "failed"), ("p", "b", "tie"), ("q", "c", "decided"), status=pl.String)
    status = pl.col("status")
    assert row_rules.unreadable(rows, status.is_not_null(), status == "failed", limit) == wrong


def battle(row_id: str, left: str, right: str, votes: tuple[float, float], local: float | None) -> tuple[Any, ...]:
    return (f"{left}__{right}", row_id, row_id, left, right, *votes, round(sum(votes)), 0, local)


BATTLES = {"instruction_id": pl.String, "left": pl.String, "right": pl.String, "votes_left": pl.Float64,
           "votes_right": pl.Float64, "decided": pl.Int64, "tie": pl.Int64, "local_left": pl.Float64}  # fmt: skip


def test_less_than_the_expected_share_is_found_and_exactly_the_share_is_not() -> None:
    assert row_rules.below(["ann"], 4, 5, 0.8, "rows shine") == row_rules.below(["ann"], 0, 0, 0.8, "rows shine") == {}
    assert row_rules.below(["ann"], 3, 5, 0.8, "rows shine") == {"ann": "3 of 5 rows shine; expected at least 80%"}


def test_a_data_set_with_one_label_only_is_found() -> None:
    both = frame(("_all", "a", True), ("_all", "b", False), label=pl.Boolean)
    assert row_rules.missing_labels(both) == row_rules.missing_labels(both.clear()) == {}
    for label, problem in ((True, "all 1 labels are true"), (False, "all 1 labels are false")):
        assert row_rules.missing_labels(both.filter(label=label))["_all"].startswith(problem)


def test_local_scores_that_are_not_shares_and_repeated_pairs_are_found() -> None:
    right = frame(
        battle("i", "ann", "bob", (1.5, 0.5), 0.75),
        battle("j", "ann", "bob", (0, 0), 0.5),
        battle("k", "ann", "bob", (0, 0), None),
        **BATTLES,
    )
    assert row_rules.shares(right) == {}
    for x, votes in ((0.6, (1.5, 0.5)), (1.5, (3.0, -1.0)), (float("nan"), (1.0, 1.0))):
        (problem,) = row_rules.shares(frame(battle("i", "ann", "bob", votes, x), **BATTLES)).values()
        assert problem == "1 row where the local scores are not the shares of the votes: i"
    twice = frame(battle("i", "ann", "bob", (1, 1), 0.5), battle("i", "bob", "ann", (2, 0), 1.0), **BATTLES)
    assert set(row_rules.shares(twice)) == {"ann__bob", "bob__ann"}


def test_votes_of_two_kinds_are_all_counted_by_their_weights() -> None:
    weights = {"opinion": 1.0, "execution": 3.0}
    one = frame(battle("i", "ann", "bob", (4.0, 1.0), 0.8), **BATTLES)  # an opinion for each side, and one vote of tests
    right = one.with_columns(decided=pl.lit(3), tie=pl.lit(0), from_opinion=pl.lit(2.0), from_execution=pl.lit(3.0))
    assert row_rules.shares(right, weights) == {}
    assert set(row_rules.shares(right)) == {"ann__bob"}  # the weighted sum is five, but three votes were cast
    for wrong in (right.with_columns(decided=2), right.with_columns(from_opinion=5.0, from_execution=0.0, decided=4)):
        assert set(row_rules.shares(wrong, weights)) == {"ann__bob"}
    lost = right.with_columns(from_opinion=3.0, decided=4)
    assert set(row_rules.shares(lost, weights)) == {"ann__bob"}


@given(st.lists(st.tuples(st.sampled_from([(0, 1), (0, 2), (1, 2)]), st.sampled_from([0.0, 0.5, 1.0])), max_size=30), st.data())
def test_ratings_and_scores_of_any_battles_add_up_and_any_change_is_found(
    battles: list[tuple[tuple[int, int], float]], data: st.DataObject
) -> None:
    rows = [(f"i{n}", ROSTER[a], ROSTER[b], x) for n, ((a, b), x) in enumerate(battles)]
    fought = pl.DataFrame(
        rows, schema={"instruction_id": pl.String, "left": pl.String, "right": pl.String, "outcome": pl.Float64}, orient="row"
    )
    rated = elo(fought, ROSTER, k=40, initial=1000, seed=0)
    table = frame(*(("_all", n, n, r) for n, r in rated.items()), competitor=pl.String, rating=pl.Float64)
    assert row_rules.ratings(table, ROSTER, 1000) == {}
    assert "one of each competitor" in row_rules.ratings(table.head(2), ROSTER, 1000)["_all"]
    higher = table.with_columns(pl.col("rating") + pl.lit(pl.Series([0.1, 0, 0])))
    assert row_rules.ratings(higher, ROSTER, 1000)["_all"].startswith("ratings add up to +0.1 around 1000")

    answers = pl.DataFrame({"instruction_id": fought["instruction_id"].unique()}).join(
        pl.DataFrame({"competitor": ROSTER, "usable": True, "answer": ROSTER, "completion_key": ROSTER}), how="cross"
    )
    local = fought.rename({"outcome": "local_left"})
    scored = final_scores(local, rated, answers, ROSTER, alpha=0.7).with_columns(
        partition=pl.lit("_all"), row_id=pl.format("{}:{}", "instruction_id", "competitor")
    )
    assert row_rules.scores(scored) == {}
    if len(scored):
        at = data.draw(st.integers(0, len(scored) - 1))
        here = pl.int_range(pl.len()) == at
        assert row_rules.scores(scored.with_columns(score=pl.when(here).then(pl.col("score") + 0.01).otherwise("score")))
        assert row_rules.scores(scored.with_columns(gold=pl.col("gold") ^ here))
        assert row_rules.scores(scored.with_columns(score=pl.when(here).then(None).otherwise("score")))
