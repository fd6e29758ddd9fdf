"""Judge-aware ratings: judges that guess move nothing, and equal judges give Bradley-Terry's ratings."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warrior_dagster.config.stages import Ratings
from warrior_dagster.stages.ratings import judge_aware
from warrior_dagster.stages.ratings.elo import bradley_terry
from warrior_dagster.stages.ratings.leaderboard import rate

NAMES = ["ada", "bob", "cyd", "dee"]
JUDGES = ["j1", "j2", "j3", "j4", "j5"]
STRENGTHS = {"ada": 0.9, "bob": 0.3, "cyd": -0.3, "dee": -0.9}
SCHEMA = dict.fromkeys(("row_id", "instruction_id", "left", "right", "judge", "evidence", "status", "verdict"), pl.String)
Row = tuple[int, str, str, str, float]
"""Instruction, left, right, judge, share for left."""


def votes(rows: list[Row]) -> pl.DataFrame:
    side = {1.0: "left", 0.5: "tie", 0.0: "right"}
    return pl.DataFrame(
        [
            dict(
                zip(
                    SCHEMA, (f"{i}:{a}:{b}:{judge}", f"{i:04}", a, b, judge, "opinion", "decided", side.get(share)), strict=True
                )
            )
            | {"p_left": share}
            for i, a, b, judge, share in rows
        ],
        schema=SCHEMA | {"p_left": pl.Float64},
    )


def battles(rows: list[Row]) -> pl.DataFrame:
    """The battles of the votes, by their majority."""
    found = votes(rows).group_by("instruction_id", "left", "right", maintain_order=True).agg(share=pl.col("p_left").mean())
    lead = pl.col("share") - 0.5
    return found.with_columns(outcome=pl.when(lead.abs() < 1e-9).then(0.5).otherwise((lead > 0).cast(pl.Float64)))


def counted(rows: list[Row], roster: list[str] = NAMES) -> judge_aware.Counted:
    return judge_aware.counted(votes(rows), battles(rows), roster, "soft")


def simulated(discriminations: dict[str, float], instructions: int, seed: int) -> list[Row]:
    chance = np.random.default_rng(seed)
    return [
        (i, a, b, judge, float(chance.random() < 1 / (1 + np.exp(-own * (STRENGTHS[a] - STRENGTHS[b])))))
        for i in range(instructions)
        for a, b in combinations(NAMES, 2)
        for judge, own in discriminations.items()
    ]


def test_with_four_judges_of_five_that_guess_strengths_are_recovered_better_than_by_bradley_terry() -> None:
    errors = []
    for seed in range(5):
        rows = simulated(dict.fromkeys(JUDGES, 0.0) | {"j1": 2.0}, 150, seed)
        rated, gamma = judge_aware.rate(counted(rows), len(NAMES), initial=0.0)
        assert gamma["j1"] > 0.9
        assert max(gamma[judge] for judge in JUDGES[1:]) < 0.2
        plain = bradley_terry(battles(rows).select("left", "right", "outcome"), NAMES, initial=0.0)
        truth = np.array([2.0 * STRENGTHS[name] for name in NAMES]) * 400 / np.log(10)  # as the one good judge sees them
        errors.append((np.abs(rated - truth).max(), np.abs([plain[name] for name in NAMES] - truth).max()))
    ours, theirs = np.array(errors).T
    assert (ours < theirs / 3).all()


def test_equal_judges_give_the_ratings_of_bradley_terry() -> None:
    rows = simulated({"j1": 1.5}, 60, 1)
    alike = [(i, a, b, judge, share) for i, a, b, _, share in rows for judge in JUDGES[:3]]
    rated, gamma = judge_aware.rate(counted(alike), len(NAMES), initial=1000.0)
    plain = bradley_terry(battles(rows).select("left", "right", "outcome"), NAMES, initial=1000.0)
    assert rated == pytest.approx([plain[name] for name in NAMES], abs=0.01)
    assert list(gamma.values()) == pytest.approx([1.0] * 3, abs=1e-4)


def test_votes_on_one_text_do_not_count() -> None:
    battled = battles([(0, "ada", "bob", "j1", 1.0), (0, "ada", "cyd", "j1", 1.0), (1, "ada", "bob", "j1", 1.0)])
    texts = {("0000", "ada"): "x", ("0000", "bob"): "x", ("0000", "cyd"): "y", ("0001", "ada"): "x", ("0001", "bob"): "z"}
    answers = pl.DataFrame(
        [(*key, text) for key, text in texts.items()], schema=["instruction_id", "competitor", "answer"], orient="row"
    )
    kept = judge_aware.of_two_texts(battled, answers)
    assert set(kept.select("instruction_id", "left", "right").rows()) == {("0000", "ada", "cyd"), ("0001", "ada", "bob")}


@pytest.mark.parametrize("kind", ["execution", "behaviour"])
def test_a_competitor_may_be_named_as_a_kind_of_evidence(kind: str) -> None:
    roster = [kind, *NAMES[1:]]
    rows = [(i, kind if a == "ada" else a, b, judge, share) for i, a, b, judge, share in simulated({"j1": 1.0}, 9, 4)]
    as_kind = votes(rows).with_columns(evidence=pl.lit(kind))
    of_judge = votes([(i, "bob", "cyd", kind, 1.0) for i in range(9)])
    data = judge_aware.counted(pl.concat([as_kind, of_judge]), battles(rows), roster, "soft")
    assert data.judges == sorted([kind, f"{kind} votes"])
    assert len(data.cell) == 9 * 6 + 9


def test_tests_are_one_judge_by_the_name_of_their_kind_and_abstentions_are_no_votes() -> None:
    rows = simulated({"j1": 2.0, "j2": 2.0}, 20, 2)
    as_tests = votes(rows).with_columns(evidence=pl.lit("execution"))
    failed = votes([(0, "ada", "bob", "j9", 1.0)]).with_columns(status=pl.lit("failed"), p_left=None)
    data = judge_aware.counted(pl.concat([as_tests, failed]), battles(rows), NAMES, "soft")
    assert data.judges == ["execution votes"]
    assert len(data.cell) == 20 * 6


def test_votes_on_battles_that_were_not_fought_do_not_count() -> None:
    rows = simulated({"j1": 2.0}, 20, 3)
    fought = battles(rows).filter(pl.col("instruction_id") < "0010")
    kept = judge_aware.counted(votes(rows), fought, NAMES, "soft")
    assert kept.instructions == 10


def test_without_a_vote_all_ratings_are_the_initial_one() -> None:
    rated, gamma = judge_aware.rate(counted([]), len(NAMES), initial=1000.0)
    assert rated.tolist() == [1000.0] * 4
    assert gamma == {}


shares = st.sampled_from([0.0, 0.25, 0.5, 1.0])
pairs = st.sampled_from(list(combinations(NAMES, 2)))
ballots = st.dictionaries(st.tuples(st.integers(0, 9), pairs, st.sampled_from(JUDGES[:3])), shares, max_size=40)


@settings(max_examples=40)
@given(ballots, st.permutations(NAMES), st.permutations(NAMES), st.randoms(use_true_random=False))
def test_names_the_order_of_the_roster_sides_and_the_order_of_votes_change_no_rating(
    given_votes: dict[tuple[int, tuple[str, str], str], float], listed: list[str], renamed: list[str], random: object
) -> None:
    rows: list[Row] = [(i, a, b, judge, share) for (i, (a, b), judge), share in given_votes.items()]
    new = dict(zip(NAMES, renamed, strict=True))
    turn = {(i, pair): random.random() < 0.5 for i, pair, _ in given_votes}  # type: ignore[attr-defined]
    turned = [(i, new[b], new[a], j, 1 - s) if turn[i, (a, b)] else (i, new[a], new[b], j, s) for i, a, b, j, s in rows]
    random.shuffle(turned)  # type: ignore[attr-defined]
    chosen = Ratings(method="judge_aware", bootstrap_rounds=4)
    one = rate(battles(rows), NAMES, chosen, counted(rows)).with_columns(pl.col("competitor").replace(new)).sort("competitor")
    other = rate(battles(turned), listed, chosen, counted(turned, listed)).sort("competitor")
    for column in ("rating", "low", "high"):
        assert one[column].to_list() == pytest.approx(other[column].to_list(), abs=1e-3)
    assert one["rating"].sum() == pytest.approx(4000.0)
