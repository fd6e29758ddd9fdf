"""Farthest-first traversal against a naive implementation, and its guarantees."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from warrior_dagster.stages.curation import covering, kcenter
from warrior_dagster.stages.curation.kcenter import k_center_greedy, k_center_in_parts

# Small whole coordinates: distances are exact, and ties and duplicates are common.
GRID = st.tuples(st.integers(1, 9), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.integers(-3, 3).map(float))
)
GRID_WITH_GIVEN = st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 3)).flatmap(
    lambda sizes: st.tuples(
        arrays(np.float32, (sizes[0], sizes[2]), elements=st.integers(-3, 3).map(float)),
        arrays(np.float32, (sizes[1], sizes[2]), elements=st.integers(-3, 3).map(float)),
    )
)


def distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.linalg.norm(points.astype(float)[:, None] - centres.astype(float)[None], axis=2)
    return result


def naive(points: np.ndarray, k: int, given: np.ndarray | None = None) -> tuple[list[int], list[float]]:
    centres = [] if given is None else list(given)
    chosen: list[int] = []
    radii: list[float] = []
    while len(chosen) < min(k, len(points)):
        if centres:
            nearest = distances(points, np.array(centres)).min(axis=1)
            if nearest.max() == 0:
                break
            choice = int(np.argmax(nearest))
        else:
            choice = int(np.argmin(((points.astype(float) - points.mean(axis=0, dtype=float)) ** 2).sum(axis=1)))
        chosen.append(choice)
        centres.append(points[choice])
        radii.append(float(distances(points, np.array(centres)).min(axis=1).max()))
    return chosen, radii


def gaussian(n: int, d: int, seed: int = 0) -> np.ndarray:
    points: np.ndarray = np.random.default_rng(seed).standard_normal((n, d))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points.astype(np.float32)


@given(GRID_WITH_GIVEN, st.integers(0, 10), st.booleans())
def test_choices_equal_the_naive_ones(arrays: tuple[np.ndarray, np.ndarray], k: int, with_given: bool) -> None:
    points, centres = arrays
    given_centres = centres if with_given else None
    chosen, radii = k_center_greedy(points, k, given_centres)
    expected, expected_radii = naive(points, k, given_centres)
    assert chosen.dtype == np.int64
    assert radii.dtype == np.float64
    assert chosen.tolist() == expected
    np.testing.assert_allclose(radii, expected_radii, rtol=1e-12)


@pytest.mark.parametrize("with_given", [False, True])
def test_choices_equal_the_naive_ones_for_any_block_and_pool_size(with_given: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    points = gaussian(150, 32)
    centres = gaussian(5, 32, seed=1) if with_given else None
    expected, expected_radii = naive(points, 40, centres)
    for block, pool in ((1, 1), (32 * 7, 3), (2**18, 50), (2**18, 500)):
        monkeypatch.setattr(covering, "BLOCK", block)
        monkeypatch.setattr(covering, "CENTRE_BATCH", max(1, pool // 2))
        monkeypatch.setattr(covering, "UPDATED", pool)
        monkeypatch.setattr(kcenter, "POOL", pool)
        monkeypatch.setattr(kcenter, "ROWS", max(1, pool // 3))
        chosen, radii = k_center_greedy(points, 40, centres)
        assert chosen.tolist() == expected
        np.testing.assert_allclose(radii, expected_radii, rtol=1e-12)


@given(GRID, st.integers(0, 9))
def test_the_choices_for_k_are_the_first_of_those_for_one_more(points: np.ndarray, k: int) -> None:
    chosen, radii = k_center_greedy(points, k)
    more, more_radii = k_center_greedy(points, k + 1)
    assert chosen.tolist() == more[:k].tolist()
    assert radii.tolist() == more_radii[:k].tolist()


@given(GRID_WITH_GIVEN)
def test_radii_never_grow_and_end_at_zero_once_every_distinct_point_is_covered(
    arrays: tuple[np.ndarray, np.ndarray],
) -> None:
    points, centres = arrays
    chosen, radii = k_center_greedy(points, len(points))
    assert (np.diff(radii) <= 0).all()
    assert radii[-1] == 0
    assert len(chosen) == len({tuple(point) for point in points})

    chosen, radii = k_center_greedy(points, len(points), centres)
    assert (np.diff(radii) <= 0).all()
    assert {tuple(point) for point in points[chosen]} == {tuple(p) for p in points} - {tuple(c) for c in centres}


@given(GRID, st.integers(1, 4))
def test_the_radius_is_at_most_twice_the_best_possible(points: np.ndarray, k: int) -> None:
    _, radii = k_center_greedy(points, k)
    k = min(k, len(points))
    best = min(distances(points, points[list(subset)]).min(axis=1).max() for subset in combinations(range(len(points)), k))
    assert radii[-1] <= 2 * best + 1e-12


@given(GRID, st.integers(0, 8), st.integers(0, 8))
def test_continuing_from_given_centres_equals_one_longer_traversal(points: np.ndarray, first: int, more: int) -> None:
    whole, whole_radii = k_center_greedy(points, first + more)
    start, _ = k_center_greedy(points, first)
    rest, rest_radii = k_center_greedy(points, more, points[start])
    assert [*start, *rest] == whole.tolist()
    assert rest_radii.tolist() == whole_radii[len(start) :].tolist()


def squares(rows: np.ndarray) -> np.ndarray:
    """The sum of squares of each row, in four parallel sums; the remainder is added to the first."""
    whole = rows.shape[1] // 4 * 4
    lanes = [np.cumsum(np.square(rows[:, lane:whole:4]), axis=1)[:, -1] if whole else np.zeros(len(rows)) for lane in range(4)]
    for left in range(whole, rows.shape[1]):
        lanes[0] = lanes[0] + np.square(rows[:, left])
    summed: np.ndarray = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
    return summed


def plain(points: np.ndarray, k: int) -> tuple[list[int], list[float]]:
    """The greedy by definition, with float64 differences of all points to all centres. `naive` ignores the last digits."""
    wide = points.astype(np.float64)
    chosen = [int(squares(wide - points.mean(axis=0, dtype=np.float64)).argmin())]
    nearest, radii = np.full(len(points), np.inf), list[float]()
    while True:
        nearest = np.minimum(nearest, squares(wide - wide[chosen[-1]]))
        radii.append(float(np.sqrt(nearest.max())))
        if len(chosen) == k:
            return chosen, radii
        chosen.append(int(nearest.argmax()))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pool", [1, 7, 512])
@pytest.mark.parametrize(
    "points",
    [
        gaussian(300, 48),
        gaussian(300, 48) * 1e-25,  # products underflow in float32
        gaussian(300, 48) * 1e25,  # and overflow
        gaussian(300, 50) + 1000,  # far from the origin: float32 products lose most digits
        gaussian(10, 48)[np.arange(300) % 10] + gaussian(300, 48, seed=1) * np.float32(1e-4),  # tight clusters
        np.eye(300, 48) + np.eye(300, 48, -100),  # most distances tie
        np.repeat(gaussian(60, 48), 5, axis=0),  # duplicates
    ],
    ids=["gaussian", "tiny", "huge", "far", "clusters", "ties", "duplicates"],
)
def test_choices_and_radii_equal_the_plain_greedy_bit_for_bit(
    points: np.ndarray, pool: int, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kcenter, "POOL", pool)
    monkeypatch.setattr(kcenter, "ROWS", max(1, pool // 3))
    monkeypatch.setattr(covering, "UPDATED", 2 * pool)
    points = points.astype(dtype)
    before: np.ndarray = points.copy()
    chosen, radii = k_center_greedy(points, 40)
    expected, expected_radii = plain(points, 40)
    assert chosen.tolist() == expected
    assert radii.tolist() == expected_radii
    assert (points == before).all()


@given(GRID_WITH_GIVEN, st.integers(0, 3), st.booleans())
def test_the_two_nearest_centres_are_right_after_each_added_batch(
    arrays: tuple[np.ndarray, np.ndarray], cut: int, by_torch: bool
) -> None:
    points, centres = arrays
    least, second = (np.full(len(points), np.inf, np.float32) for _ in range(2))
    owner = np.full(len(points), -1, np.int32)
    lengths = squares(centres).astype(np.float32)
    for first, last in ((0, min(cut, len(centres))), (min(cut, len(centres)), len(centres))):
        some, state = centres[first:last], (lengths[first:last], first, least, second, owner)
        if by_torch and len(some):
            covering.update_on_device(torch.from_numpy(points), torch.from_numpy(some), *state)
        elif len(some):
            covering.update(some @ points.T, *state)
    every = lengths - 2 * points @ centres.T  # Whole numbers: exact.
    assert (least == every.min(axis=1)).all()
    assert (every[np.arange(len(points)), owner] == least).all()
    ranked = np.sort(np.column_stack([every, np.full(len(points), np.inf)]), axis=1)
    assert (second == ranked[:, 1]).all()


@pytest.mark.parametrize("by_new_names", [False, True])
def test_torch_multiplies_in_full_precision_and_restores_the_setting_of_the_process(
    by_new_names: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before, during, product = [place.fp32_precision for place in places], [], torch.addmm

    def watched(*arguments: Any, **named: Any) -> torch.Tensor:
        during.append([place.fp32_precision for place in places])
        return product(*arguments, **named)

    monkeypatch.setattr(torch, "addmm", watched)
    try:
        if by_new_names:
            places[0].fp32_precision = "tf32"
        else:
            torch.set_float32_matmul_precision("medium")
        lax = [place.fp32_precision for place in places]
        chosen, _ = k_center_greedy(gaussian(300, 48), 40, device="cpu:0")
        assert "tf32" in lax
        assert [place.fp32_precision for place in places] == lax
    finally:
        for place, value in zip(places, before, strict=True):
            place.fp32_precision = value
    assert during
    assert all(one == ["ieee", "ieee"] for one in during)
    assert chosen.tolist() == plain(gaussian(300, 48), 40)[0]


@pytest.mark.parametrize(
    "device",
    ["cpu:0", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_choices_are_the_same_with_products_by_torch(device: str, dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(covering, "DEVICE_BLOCK", 2**16)
    monkeypatch.setattr(covering, "CENTRE_BATCH", 100)
    points: np.ndarray = gaussian(3000, 48).astype(dtype)
    centres: np.ndarray = gaussian(40, 48, seed=1).astype(dtype)
    elsewhere, radii = k_center_greedy(points, 200, centres, device)
    here, expected = k_center_greedy(points, 200, centres)
    assert (elsewhere.tolist(), radii.tolist()) == (here.tolist(), expected.tolist())


def test_the_memory_layout_of_the_points_does_not_matter() -> None:
    points = gaussian(300, 48)
    expected = k_center_greedy(points, 40)
    backwards = np.ascontiguousarray(points[::-1])[::-1]
    read_only = points.copy()
    read_only.flags.writeable = False
    for same in (np.asfortranarray(points), backwards, read_only):
        chosen, radii = k_center_greedy(same, 40)
        assert (chosen.tolist(), radii.tolist()) == (expected[0].tolist(), expected[1].tolist())
    # NumPy reports one row, or none, as contiguous for any strides.
    assert k_center_greedy(backwards[:1], 1, backwards[:0])[0].tolist() == [0]
    assert k_center_greedy(backwards[:0], 1, backwards[:1])[0].tolist() == []


def test_asking_for_more_centres_than_points_returns_all_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kcenter, "POOL", 3)
    monkeypatch.setattr(covering, "UPDATED", 2)
    points, centres = gaussian(300, 8), gaussian(1, 8, seed=1)
    for given_centres in (None, centres):
        chosen, radii = k_center_greedy(points, 10**9, given_centres)
        assert sorted(chosen) == list(range(300))
        assert radii[-1] == 0


@pytest.mark.parametrize("largest", [np.nan, np.inf, 1.2e154, 1e300])
def test_points_whose_distances_overflow_are_rejected(largest: float) -> None:
    points = np.array([[largest], [1e153], [1.1e153]])
    with pytest.raises(ValueError, match="must be finite"):
        k_center_greedy(points, 1)
    with pytest.raises(ValueError, match="must be finite"):
        k_center_greedy(np.ones((2, 1)), 1, points)


def test_choices_are_away_from_what_given_centres_cover() -> None:
    covered, new = gaussian(40, 8) * 0.1, gaussian(10, 8, seed=1) * 0.1 + 5
    points = np.concatenate([covered, new])
    chosen, radii = k_center_greedy(points, 1, covered[:3])
    assert chosen[0] >= len(covered)
    assert radii[0] < 1


def test_the_first_centre_is_the_point_nearest_the_mean_and_ties_go_to_the_lowest_index() -> None:
    points = np.array([[-4], [4], [1], [-1], [4], [-4]], dtype=np.float32)
    chosen, radii = k_center_greedy(points, 6)
    assert chosen.tolist() == [2, 0, 1, 3]
    assert radii.tolist() == [5, 3, 2, 0]


def test_duplicates_are_never_chosen_twice_where_squared_norms_cancel() -> None:
    # Columns of very different sizes: |x|^2 + |c|^2 - 2xc leaves a remainder for equal points, even in float64.
    distinct = gaussian(20, 64) * np.logspace(-4, 4, 64, dtype=np.float32)
    points = np.concatenate([distinct, distinct, distinct])
    chosen, radii = k_center_greedy(points, 60)
    assert sorted(chosen % 20) == list(range(20))
    assert radii[-1] == 0


def test_points_one_rounding_step_apart_are_distinct() -> None:
    near = np.nextafter(np.float32(1), np.float32(2))
    chosen, radii = k_center_greedy(np.array([[1], [near], [1]], dtype=np.float32), 3)
    assert chosen.tolist() == [0, 1]
    assert radii.tolist() == [float(near) - 1, 0]


def test_nothing_to_choose_or_nothing_requested_gives_empty_arrays() -> None:
    points = gaussian(3, 2)
    for chosen, radii in (
        k_center_greedy(points, 0),
        k_center_greedy(points[:0], 5),
        k_center_greedy(points[:0], 5, points),
        k_center_greedy(points, 5, points),
    ):
        assert chosen.shape == radii.shape == (0,)
        assert chosen.dtype == np.int64
        assert radii.dtype == np.float64


def test_empty_given_centres_are_the_same_as_none() -> None:
    points = gaussian(9, 2)
    assert k_center_greedy(points, 4, points[:0])[0].tolist() == k_center_greedy(points, 4)[0].tolist()


def test_the_inputs_are_not_modified() -> None:
    points, centres = gaussian(9, 2), gaussian(2, 2, seed=1)
    before = points.copy(), centres.copy()
    k_center_greedy(points, 5, centres)
    assert (points == before[0]).all()
    assert (centres == before[1]).all()


@pytest.mark.parametrize(
    ("points", "k", "centres"),
    [
        (np.zeros(3), 1, None),
        (np.zeros((3, 2)), 1, np.zeros((1, 3))),
        (np.zeros((3, 2)), 1, np.zeros(2)),
        (np.zeros((3, 2)), -1, None),
        (np.array([[0.0], [np.nan]]), 1, None),
        (np.array([[np.inf], [0.0]]), 1, None),
        (np.zeros((3, 1)), 1, np.array([[np.nan]])),
    ],
)
def test_invalid_arguments_are_rejected(points: np.ndarray, k: int, centres: np.ndarray | None) -> None:
    with pytest.raises(ValueError, match="must"):
        k_center_greedy(points, k, centres)


@given(GRID_WITH_GIVEN, st.integers(1, 9), st.integers(1, 10), st.booleans())
def test_in_parts_the_radius_is_within_the_reported_bound_and_four_times_the_best(
    arrays: tuple[np.ndarray, np.ndarray], k: int, part_rows: int, with_given: bool
) -> None:
    points, centres = arrays
    fixed = centres if with_given else points[:0]
    reads: list[tuple[int, int]] = []

    def read(first: int, last: int) -> np.ndarray:
        reads.append((first, last))
        return points[first:last]

    chosen, radii, vectors = k_center_in_parts(read, len(points), k, fixed if with_given else None, part_rows)
    assert [a for a, _ in reads] + [len(points)] == [0] + [b for _, b in reads]
    assert max(b - a for a, b in reads) <= part_rows
    assert len(set(chosen)) == len(chosen) == len(radii) <= k
    assert (vectors == points[chosen]).all()
    subsets = combinations(range(len(points)), min(k, len(points)))
    best = min(distances(points, np.concatenate([fixed, points[list(some)]])).min(axis=1).max() for some in subsets)
    for size in range(1, len(chosen) + 1):
        real = distances(points, np.concatenate([fixed, points[chosen[:size]]])).min(axis=1).max()
        assert real <= radii[size - 1] + 1e-9
    if len(chosen):
        assert real <= 4 * best + 1e-9
    else:
        assert best == 0


@given(GRID_WITH_GIVEN, st.integers(1, 9))
def test_one_part_equals_the_whole(arrays: tuple[np.ndarray, np.ndarray], k: int) -> None:
    points, centres = arrays
    chosen, radii, vectors = k_center_in_parts(lambda a, b: points[a:b], len(points), k, centres, len(points))
    expected, expected_radii = k_center_greedy(points, k, centres)
    assert (chosen.tolist(), radii.tolist()) == (expected.tolist(), expected_radii.tolist())
    assert (vectors == points[expected]).all()


@pytest.mark.parametrize(("rows", "part_rows", "message"), [(9, 0, "part_rows"), (9, 5, "5 points from 5 to 10, got 4")])
def test_invalid_part_sizes_and_missing_points_are_rejected(rows: int, part_rows: int, message: str) -> None:
    points = gaussian(rows, 4)
    with pytest.raises(ValueError, match=message):
        k_center_in_parts(lambda a, b: points[a:b], 10, 2, None, part_rows)


def test_points_of_higher_precision_are_converted_to_float64() -> None:
    points = gaussian(50, 4).astype(np.longdouble)
    assert k_center_greedy(points, 9)[0].tolist() == k_center_greedy(points.astype(np.float64), 9)[0].tolist()
