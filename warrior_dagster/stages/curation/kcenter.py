"""K-centre-greedy: k representatives of a set of instructions by farthest-first traversal (METHOD, section 3).

The covering radius is at most twice the best possible (Gonzalez, 1985). A new competitor starts from the centres of the earlier
ones, so it adds only what the selection lacks.

Distances only shrink as centres are added. So it is enough to choose among the few hundred farthest points (the pool), while
one of them is farther than every other point was. Then the other points that may be chosen soon are compared with the new
centres, in matrix products. The choices are exactly those of the plain greedy, ties and duplicates included (`covering.py`).
"""

from collections.abc import Callable, Iterator
from itertools import islice, pairwise

import numpy as np

from warrior_dagster.stages.curation.covering import (
    Covering,
    Floats,
    Ints,
    Points,
    rounding,
    squared_distances,
    squared_lengths,
    traverse,
)

POOL = 640
"""Points to choose from between two matrix products."""
ROWS = 128
"""Points of the pool whose distances to all of it are computed at a time."""


def k_center_greedy(points: Points, k: int, given: Points | None = None, device: str = "cpu") -> tuple[Ints, Floats]:
    """Choose up to k points, each the farthest (Euclidean) from all centres so far; fewer if the rest coincide with centres.

    Args:
        points: shape (n, d), finite. Float32 is fastest.
        given: shape (m, d), finite; existing centres. Without any, the first choice is the point nearest the mean.
        device: torch's device for the products, such as "cuda"; NumPy is used for "cpu". It changes no choice.

    Returns the chosen indices in order of choice, and the covering radius after each choice: the largest distance of a point to
    its nearest centre, given ones included. Ties go to the lowest index. The choices for k are the first k of those for k + 1.
    Raises ValueError if the shapes do not match, k is negative, or (unless n is 0) a value is not finite.
    """
    given = points[:0] if given is None else given
    if points.ndim != 2 or given.ndim != 2 or points.shape[1] != given.shape[1]:
        raise ValueError(f"points and given must be (n, d) and (m, d), got {points.shape} and {given.shape}")
    if k < 0:
        raise ValueError(f"k must not be negative, got {k}")
    if len(points) == 0:
        return np.empty(0, dtype=np.int64), np.empty(0)
    for kind in (np.float32, np.float64) if np.result_type(points, given, np.float32) == np.float32 else (np.float64,):
        # Contiguous rows, as torch needs. NumPy reports one row or none as contiguous for any strides.
        points, given = np.require(points, kind, ["C", "W"]), np.array(given, kind, order="C")
        points = points.copy() if min(points.strides) < 0 else points
        squares = squared_lengths(points)
        largest = np.append(squares, squared_lengths(given)).max()
        if largest < 1e34:  # else the square of a distance may overflow float32
            break
    if not largest < 1e307:  # the same for float64
        raise ValueError("points and given must be finite, and so must be the squares of their distances")
    if k == 0:
        return np.empty(0, dtype=np.int64), np.empty(0)
    chosen = [] if len(given) else [_nearest_the_mean(points, squares)]
    covering = Covering(points, squares, np.concatenate([given, points[chosen]]), min(k, len(points)), device)
    # One more than requested: the distance of the next one is the radius after the last.
    steps = list(islice(_farthest_first(covering), k + 1 - len(chosen)))
    chosen += [choice for choice, squared in steps if squared > 0][: k - len(chosen)]
    return np.array(chosen, dtype=np.int64), np.sqrt([squared for _, squared in steps[-len(chosen) :] if chosen])


def k_center_in_parts(
    read: Callable[[int, int], Points], n: int, k: int, given: Points | None, part_rows: int, device: str = "cpu"
) -> tuple[Ints, Floats, Points]:
    """K-centre-greedy over more points than fit in memory; the same as `k_center_greedy` if one part holds them all.

    A traversal of each part chooses k centres, and a last one chooses among the centres of all parts. With two or more parts
    the radius is at most 4 times the best possible (Malkomes et al., 2015, with the given centres as a fixed part of every
    solution): each traversal's radius is at most twice the best, because k centres and the farthest point left are k + 1 points
    that are at least a radius apart, two of which share a centre of the best solution; and a point is within its part's radius
    of a part's centre, which is within the last radius of a final one. The choices for k need not begin those for k + 1.

    `read(first, last)` returns the points of a range, shape (last - first, d), and is called with consecutive ranges up to `n`.
    Memory holds `part_rows` points, the centres of all parts, and the given ones. `k`, `given`, `device` and the errors are as
    in `k_center_greedy`; ValueError also if `part_rows` is below one or `read` returns a wrong number of points.

    Returns the chosen indices, the covering radius after each choice (with several parts an upper bound: the sum of the two
    radii above), and the chosen points, shape (k, d).
    """
    if part_rows < 1:
        raise ValueError(f"part_rows must be at least 1, got {part_rows}")
    edges = np.linspace(0, n, max(1, -(-n // part_rows)) + 1).astype(np.int64)
    found, radius = [], 0.0
    for first, last in pairwise(edges):
        points = read(int(first), int(last))
        if len(points) != last - first:
            raise ValueError(f"expected {last - first} points from {first} to {last}, got {len(points)}")
        chosen, radii = k_center_greedy(points, k, given, device)
        if len(edges) == 2:
            return chosen, radii, points[chosen]
        found.append((first + chosen, points[chosen]))
        radius = max([radius, *radii[-1:]])
        del points  # before the next part is read
    places, points = (np.concatenate(side) for side in zip(*found, strict=True))
    chosen, radii = k_center_greedy(points, k, given, device)
    return places[chosen], radii + radius, points[chosen]


def _nearest_the_mean(points: Points, squares: Floats) -> int:
    """The index of the point nearest the mean, the lowest of equals. Products find the few candidates."""
    mean = points.mean(axis=0, dtype=np.float64)
    by_product = squares - 2 * (points @ mean.astype(points.dtype))
    slack = rounding(squares, mean @ mean, points)
    candidates = np.flatnonzero(by_product - slack <= (by_product + slack).min())
    some = points if len(candidates) == len(points) else points[candidates]
    return int(candidates[squared_distances(some, mean).argmin()])


def _farthest_first(covering: Covering) -> Iterator[tuple[int, float]]:
    """Yield the point farthest from all centres with its squared distance, make it a centre, and repeat until it is at 0."""
    while True:
        pool, outside = covering.farthest(POOL)
        nearest = covering.exact(pool)
        if nearest.max() <= outside:
            # The bounds are too close to decide: compute all that may be the farthest exactly, and take the farthest.
            pool = covering.at_least(nearest.max())
            nearest = covering.exact(pool)
            pool, nearest, outside = pool[[nearest.argmax()]], nearest[[nearest.argmax()]], -1.0
        picks, distances = _farthest_in(covering.points[pool], covering.squares[pool], nearest, outside)
        yield from zip(pool[picks].tolist(), distances.tolist(), strict=True)
        if distances[-1] == 0:
            return
        covering.add(pool[picks])


def _farthest_in(points: Points, squares: Floats, nearest: Floats, outside: float) -> tuple[Ints, Floats]:
    """`covering.traverse` among all points of a pool, until the farthest is not farther than `outside`, or at 0.

    At least one of `nearest` is above `outside`. Returns the choices and their squared distances.
    """
    slack, picks, distances = rounding(squares, squares.max(), points), np.empty(0, dtype=np.int64), np.empty(0)
    while len(picks) < len(points) and nearest.max() > outside and not (len(distances) and distances[-1] == 0):
        # The points that are farthest now are mostly the next choices.
        rows = np.argsort(-nearest, kind="stable")[:ROWS]
        some, squared = traverse(points, squares, rows, points[rows] @ points.T, slack, nearest, outside)
        picks, distances = np.concatenate([picks, some]), np.concatenate([distances, squared])
    return picks, distances
