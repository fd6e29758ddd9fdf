"""Compression of a set of instructions to k representatives: greedy farthest-first traversal (METHOD, section 3).

The greedy's covering radius is at most twice the best possible (Gonzalez, 1985). Starting from the centres that earlier
competitors already have, a newcomer adds only what the selection lacks.

Distances only shrink as centres are added. So the farthest few hundred points (the pool) are chosen from alone while the
farthest of them is farther than any other point was; only then do the points that may be chosen soon meet the new centres, in
matrix products. The choices are those of the plain greedy, ties and duplicates included, whatever did the product
(`covering.py`).
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
"""Points that are chosen from between two matrix products."""
ROWS = 128
"""Points of the pool whose distances to all of it are computed at a time."""


def k_center_greedy(points: Points, k: int, given: Points | None = None, device: str = "cpu") -> tuple[Ints, Floats]:
    """Choose up to k points, each the farthest (Euclidean) from all centres so far.

    Args:
        points: shape (n, d), finite. Float32, what embeddings are, is fastest.
        k: number of points to choose. Fewer are chosen when the rest coincide with centres.
        given: shape (m, d), finite; centres that exist already. With none, the first choice is the point nearest the
            mean.
        device: where torch does the products, such as "cuda"; on the "cpu" NumPy does them. It changes no choice.

    Returns:
        The chosen indices in order of choice, and after each choice the covering radius: the largest distance of a
        point to its nearest centre, given ones included. Ties go to the lowest index. The choices for k are the first
        k of those for k + 1.

    Raises:
        ValueError: shapes that do not fit, a negative k, or (if there are points) values that are not finite.
    """
    given = points[:0] if given is None else given
    if points.ndim != 2 or given.ndim != 2 or points.shape[1] != given.shape[1]:
        raise ValueError(f"points and given must be (n, d) and (m, d), got {points.shape} and {given.shape}")
    if k < 0:
        raise ValueError(f"k must not be negative, got {k}")
    if len(points) == 0:
        return np.empty(0, dtype=np.int64), np.empty(0)
    for kind in (np.float32, np.float64) if np.result_type(points, given, np.float32) == np.float32 else (np.float64,):
        # In rows that torch can take, also where there is one or none, of which NumPy says that it lies as it should.
        points, given = np.require(points, kind, ["C", "W"]), np.array(given, kind, order="C")
        points = points.copy() if min(points.strides) < 0 else points
        squares = squared_lengths(points)
        largest = np.append(squares, squared_lengths(given)).max()
        if largest < 1e34:  # or float32 might not hold the square of a distance
            break
    if not largest < 1e307:  # nor float64
        raise ValueError("points and given must be finite, and so must be the squares of their distances")
    if k == 0:
        return np.empty(0, dtype=np.int64), np.empty(0)
    chosen = [] if len(given) else [_nearest_the_mean(points, squares)]
    covering = Covering(points, squares, np.concatenate([given, points[chosen]]), min(k, len(points)), device)
    # One more than asked for: how far the next one is, is the radius after the last.
    steps = list(islice(_farthest_first(covering), k + 1 - len(chosen)))
    chosen += [choice for choice, squared in steps if squared > 0][: k - len(chosen)]
    return np.array(chosen, dtype=np.int64), np.sqrt([squared for _, squared in steps[-len(chosen) :] if chosen])


def k_center_in_parts(
    read: Callable[[int, int], Points], n: int, k: int, given: Points | None, part_rows: int, device: str = "cpu"
) -> tuple[Ints, Floats, Points]:
    """K-centre-greedy over more points than fit in memory; `k_center_greedy` itself where one part holds them all.

    Each part has its own traversal, of k centres, and a last one chooses among the centres of all parts. With two or more parts
    the radius is at most 4 times the best possible, against twice for the whole (Malkomes et al., 2015, with given centres as a
    fixed part of every solution): k centres and the point left farthest are k + 1 points that are pairwise, and from all given
    centres, at least a radius apart, so two of them share a centre of the best solution, and no radius exceeds twice the best;
    a point is within its part's radius of a point that is within the last traversal's radius of a centre. Unlike there, the
    choices for k need not be the first of those for k + 1.

    Args:
        read: the points from one index up to another, shape (last - first, d); called with consecutive ranges.
        n, k, given, device: as there.
        part_rows: points of a part, at least one. In memory at once are one part, the centres of all parts, and the given ones.

    Returns:
        The chosen indices, the covering radius after each choice (with several parts a bound on it: the sum of the two radii
        above), and the chosen points, shape (k, d).

    Raises:
        ValueError: as there; fewer than one point a part; or `read` gave another number of points than asked for.
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
    """The lowest index of the nearest; products say which few may be."""
    mean = points.mean(axis=0, dtype=np.float64)
    by_product = squares - 2 * (points @ mean.astype(points.dtype))
    slack = rounding(squares, mean @ mean, points)
    candidates = np.flatnonzero(by_product - slack <= (by_product + slack).min())
    some = points if len(candidates) == len(points) else points[candidates]
    return int(candidates[squared_distances(some, mean).argmin()])


def _farthest_first(covering: Covering) -> Iterator[tuple[int, float]]:
    """The farthest point from all centres and its squared distance; it becomes a centre; and so on, until the distance is 0."""
    while True:
        pool, outside = covering.farthest(POOL)
        nearest = covering.exactly(pool)
        if nearest.max() <= outside:
            # Bounds this near one another tell nothing: make all that may be the farthest exact, and take the farthest.
            pool = covering.at_least(nearest.max())
            nearest = covering.exactly(pool)
            pool, nearest, outside = pool[[nearest.argmax()]], nearest[[nearest.argmax()]], -1.0
        picks, distances = _farthest_in(covering.points[pool], covering.squares[pool], nearest, outside)
        yield from zip(pool[picks].tolist(), distances.tolist(), strict=True)
        if distances[-1] == 0:
            return
        covering.add(pool[picks])


def _farthest_in(points: Points, squares: Floats, nearest: Floats, outside: float) -> tuple[Ints, Floats]:
    """The traversal among the points of a pool, as long as the farthest is farther than `outside`, or until that is at 0.

    `squares` are their squared lengths; `nearest` are their squared distances to the nearest centre so far, of which one at
    least is above `outside`.
    """
    slack, picks, distances = rounding(squares, squares.max(), points), np.empty(0, dtype=np.int64), np.empty(0)
    while len(picks) < len(points) and nearest.max() > outside and not (len(distances) and distances[-1] == 0):
        # Those that are farthest now are mostly those that are chosen next.
        rows = np.argsort(-nearest, kind="stable")[:ROWS]
        some, squared = traverse(points, squares, rows, points[rows] @ points.T, slack, nearest, outside)
        picks, distances = np.concatenate([picks, some]), np.concatenate([distances, squared])
    return picks, distances
