"""The bootstrap against plain loops over the same draws, and the properties of intervals."""

from functools import partial
from itertools import combinations
from typing import Any

import evalica
import numpy as np
import polars as pl
import pytest
from evalica import Winner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from warrior_dagster.stages.ratings import bootstrap
from warrior_dagster.stages.ratings.bootstrap import bradley_terry_samples, draws, elo_samples, intervals
from warrior_dagster.stages.ratings.elo import (
    WINNER_OF_OUTCOME,
    bradley_terry,
    bradley_terry_of_counts,
    count_outcomes,
    elo,
    expected,
)

some = settings(max_examples=50)

NAMES = ["ada", "bob", "cyd", "dee"]
PAIRS = [(a, b) for a in NAMES for b in NAMES if a != b]
SCHEMA = {"left": pl.String, "right": pl.String, "outcome": pl.Float64}

battle_rows = st.lists(st.tuples(st.sampled_from(PAIRS), st.sampled_from([1.0, 0.5, 0.0])), max_size=40)


def table(rows: list[tuple[tuple[str, str], float]]) -> pl.DataFrame:
    return pl.DataFrame([(a, b, outcome) for (a, b), outcome in rows], schema=SCHEMA, orient="row")


def random_battles(
    count: int, *, pairs: list[tuple[str, str]] = PAIRS, outcomes: tuple[float, ...] = (1.0, 0.5, 0.0)
) -> pl.DataFrame:
    rng = np.random.default_rng(count)
    chosen = [pairs[i] for i in rng.integers(0, len(pairs), count)]
    return table(list(zip(chosen, rng.choice(outcomes, count).tolist(), strict=True)))


def looped_samples(
    battles: pl.DataFrame, *, k: float, initial: float, rounds: int, seed: int, names: list[str] = NAMES
) -> NDArray[np.float64]:
    """All draws of all rounds, replayed by METHOD's formula."""
    order = {outcome: int(winner) for outcome, winner in WINNER_OF_OUTCOME.items()}
    rows = sorted(battles.rows(), key=lambda row: (names.index(row[0]), names.index(row[1]), order[row[2]]))
    samples = []
    for number in range(rounds):
        rating = dict.fromkeys(names, initial)
        for i in draws(seed, number, len(rows), len(rows))[::-1]:
            a, b, outcome = rows[i]
            change = k * (outcome - expected(rating[a], rating[b]))
            rating[a] += change
            rating[b] -= change
        samples.append([rating[name] for name in names])
    return np.array(samples)


@some
@given(battle_rows, st.floats(0.0, 1000.0), st.floats(0.0, 2000.0), st.integers(0, 2**32))
def test_a_round_of_few_battles_equals_the_formula_over_its_draws(
    rows: list[tuple[tuple[str, str], float]], k: float, initial: float, seed: int
) -> None:
    samples = elo_samples(table(rows), NAMES, k=k, initial=initial, rounds=3, seed=seed)
    looped = looped_samples(table(rows), k=k, initial=initial, rounds=3, seed=seed)
    np.testing.assert_allclose(samples, looped, rtol=0, atol=1e-8)


STRANGE: dict[str, dict[str, Any]] = {
    "all kinds": {},
    "all draws": {"outcomes": (0.5,)},
    "one always wins": {"pairs": [("ada", "bob"), ("ada", "cyd"), ("ada", "dee")], "outcomes": (1.0,)},
    "groups that never met": {"pairs": [("ada", "bob"), ("dee", "cyd")]},
    "one without a battle": {"pairs": [("ada", "bob"), ("bob", "dee")]},
}


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("k", [4.0, 40.0, 1000.0])
def test_the_last_draws_give_the_same_as_all_draws(kind: str, k: float, monkeypatch: pytest.MonkeyPatch) -> None:
    battles = random_battles(4_000, **STRANGE[kind])
    monkeypatch.setattr(bootstrap, "TAIL", 16)  # Far too few: more must be replayed.
    samples = elo_samples(battles, NAMES, k=k, initial=1000.0, rounds=4, seed=5)
    looped = looped_samples(battles, k=k, initial=1000.0, rounds=4, seed=5)
    np.testing.assert_allclose(samples, looped, rtol=0, atol=1e-6)


def lengths_replayed(battles: pl.DataFrame, monkeypatch: pytest.MonkeyPatch, *, k: float = 40.0) -> list[int]:
    """How many draws of a round were replayed, for each attempt."""
    lengths: list[int] = []

    def recorded(seed: int, number: int, count: int, length: int) -> NDArray[np.int64]:
        lengths.append(length)
        return draws(seed, number, count, length)

    monkeypatch.setattr(bootstrap, "draws", recorded)
    elo_samples(battles, NAMES, k=k, initial=1000.0, rounds=1, seed=0)
    return lengths


def test_only_the_last_draws_are_replayed_if_they_determine_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    many = random_battles(10 * bootstrap.TAIL)
    assert lengths_replayed(many, monkeypatch) == [bootstrap.TAIL]
    assert lengths_replayed(many, monkeypatch, k=0.5) == [bootstrap.TAIL, 8 * bootstrap.TAIL, len(many)]
    assert lengths_replayed(many, monkeypatch, k=700.0) == [len(many)]


def test_a_rarely_drawn_battle_is_not_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two competitors with a single battle keep the replays apart even if all others converged."""
    battles = pl.concat([random_battles(20_000, pairs=[("ada", "bob")]), table([(("cyd", "dee"), 1.0)])])
    assert lengths_replayed(battles, monkeypatch) == [bootstrap.TAIL, len(battles)]
    samples = elo_samples(battles, NAMES, k=40.0, initial=1000.0, rounds=20, seed=0)
    assert 0 < (samples[:, 2] == 1000.0).sum() < 20  # In about a third of the rounds they are not drawn.


@some
@given(battle_rows, st.integers(0, 99))
def test_elo_samples_are_zero_sum(rows: list[tuple[tuple[str, str], float]], seed: int) -> None:
    samples = elo_samples(table(rows), NAMES, k=40.0, initial=1000.0, rounds=2, seed=seed)
    assert samples.sum(axis=1) == pytest.approx(4000.0, abs=1e-8)


@some
@given(battle_rows, st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_samples_do_not_depend_on_the_order_of_the_battles(
    rows: list[tuple[tuple[str, str], float]], seed: int, random: Any
) -> None:
    shuffled = random.sample(rows, len(rows))
    by_elo = partial(elo_samples, competitors=NAMES, k=40.0, initial=1000.0, rounds=3, seed=seed)
    by_strength = partial(bradley_terry_samples, competitors=NAMES, initial=1000.0, rounds=3, seed=seed)
    assert np.array_equal(by_elo(table(rows)), by_elo(table(shuffled)))
    assert np.array_equal(by_strength(table(rows)), by_strength(table(shuffled)))


def test_threads_do_not_change_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    battles = random_battles(5_000)
    many = elo_samples(battles, NAMES, k=40.0, initial=1000.0, rounds=50, seed=1)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert np.array_equal(elo_samples(battles, NAMES, k=40.0, initial=1000.0, rounds=50, seed=1), many)
    assert not np.array_equal(elo_samples(battles, NAMES, k=40.0, initial=1000.0, rounds=50, seed=2), many)


@some
@given(battle_rows, st.integers(0, 99))
def test_bradley_terry_of_counts_equals_evalica_on_repeated_battles(
    rows: list[tuple[tuple[str, str], float]], seed: int
) -> None:
    counted = count_outcomes(table(rows), NAMES)
    counts = np.random.default_rng(seed).integers(0, 4, (3, len(counted)))
    rated = bradley_terry_of_counts(counted, counts, len(NAMES), initial=1000.0)
    for count, ratings in zip(counts, rated, strict=True):
        repeated = counted[np.repeat(np.arange(len(counted)), count)]
        ties = list(combinations(range(len(NAMES)), 2))
        solved = evalica.bradley_terry(
            repeated["left"].to_list() + [a for a, _ in ties],
            repeated["right"].to_list() + [b for _, b in ties],
            [Winner(winner) for winner in repeated["winner"]] + [Winner.Draw] * len(ties),
            solver="naive",
            tolerance=1e-12,
            limit=100_000,
        )
        points = 400 * np.log10(solved.scores.sort_index().to_numpy())
        np.testing.assert_allclose(ratings, 1000.0 + points - points.mean(), rtol=0, atol=1e-6)


def test_bradley_terry_rounds_draw_as_many_battles_in_the_same_proportions(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[NDArray[np.int64]] = []

    def recorded(counted: pl.DataFrame, counts: NDArray[np.int64], competitors: int, *, initial: float) -> NDArray[np.float64]:
        seen.append(counts)
        return np.full((len(counts), competitors), initial)

    monkeypatch.setattr(bootstrap, "bradley_terry_of_counts", recorded)
    battles = random_battles(3_000)
    bradley_terry_samples(battles, NAMES, initial=1000.0, rounds=400, seed=0)
    assert (seen[0].sum(axis=1) == len(battles)).all()
    counted = count_outcomes(battles, NAMES)["count"].to_numpy()
    assert np.abs(seen[0].mean(axis=0) - counted).max() < 5 * np.sqrt(counted.max() / 400)
    # The variance of a multinomial, not a constant.
    assert seen[0].var(axis=0).mean() == pytest.approx(counted.mean(), rel=0.15)


def test_the_spread_of_elo_includes_order_and_battles() -> None:
    """The samples have the same mean and deviation as full replays of reshuffled battles."""
    battles = random_battles(6_000)
    samples = elo_samples(battles, NAMES, k=40.0, initial=1000.0, rounds=400, seed=0)
    replays = [elo(battles, NAMES, k=40.0, initial=1000.0, seed=seed) for seed in range(400)]
    full = np.array([[ratings[name] for name in NAMES] for ratings in replays])
    assert samples.std(axis=0) == pytest.approx(full.std(axis=0), rel=0.2)
    assert samples.mean(axis=0) == pytest.approx(full.mean(axis=0), abs=5 * full.std() / np.sqrt(200))


def even_battles(count: int) -> pl.DataFrame:
    return table([(("ada", "bob"), 1.0), (("ada", "bob"), 0.0), (("bob", "cyd"), 1.0), (("bob", "cyd"), 0.0)] * count)


def of_bradley_terry(count: int, *, rounds: int, seed: int, level: float = 0.95) -> dict[str, tuple[float, float]]:
    samples = bradley_terry_samples(even_battles(count), NAMES, initial=1000.0, rounds=rounds, seed=seed)
    return intervals(samples, NAMES, level=level)


def test_an_interval_contains_the_rating_and_narrows_with_more_battles() -> None:
    few, many = of_bradley_terry(5, rounds=100, seed=0), of_bradley_terry(500, rounds=100, seed=0)
    rated = bradley_terry(even_battles(500), NAMES, initial=1000.0)
    for name in ("ada", "bob", "cyd"):
        assert many[name][0] < rated[name] < many[name][1]
        assert many[name][1] - many[name][0] < 0.5 * (few[name][1] - few[name][0])


def test_an_interval_of_a_higher_level_contains_the_lower_one_and_depends_on_the_seed() -> None:
    wide, narrow = (of_bradley_terry(5, rounds=50, seed=3, level=level) for level in (0.99, 0.5))
    assert all(wide[name][0] < narrow[name][0] < narrow[name][1] < wide[name][1] for name in ("ada", "bob", "cyd"))
    assert of_bradley_terry(5, rounds=50, seed=3, level=0.5) == narrow


def test_without_battles_or_opponents_an_interval_is_the_rating() -> None:
    for names in (NAMES, ["ada"]):
        for samples in (
            elo_samples(table([]), names, k=40.0, initial=1000.0, rounds=3, seed=0),
            bradley_terry_samples(table([]), names, initial=1000.0, rounds=3, seed=0),
        ):
            assert intervals(samples, names) == dict.fromkeys(names, (1000.0, 1000.0))
    assert elo_samples(table([]), NAMES, k=40.0, initial=1000.0, rounds=0, seed=0).shape == (0, 4)
    with pytest.raises(ValueError, match="at least one bootstrap round"):
        intervals(np.empty((0, 4)), NAMES)


def test_a_battle_of_unknown_competitors_is_rejected() -> None:
    with pytest.raises(ValueError, match="competitors"):
        elo_samples(random_battles(10), NAMES[:2], k=40.0, initial=1000.0, rounds=1, seed=0)
    with pytest.raises(ValueError, match="competitors"):
        bradley_terry_samples(random_battles(10), NAMES[:2], initial=1000.0, rounds=1, seed=0)
