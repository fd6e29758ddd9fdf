"""Compression of a set of instructions to k representatives: greedy farthest-first traversal (METHOD, section 3).

The greedy's covering radius is at most twice the best possible (Gonzalez, 1985). Starting from the centres that earlier
competitors already have, a newcomer adds only what the selection lacks.
"""

import numpy as np
from numpy.typing import NDArray

# Numbers in a block of differences: small enough for the cache, and what keeps the extra memory O(n).
BLOCK = 2**18


def k_center_greedy(
    points: NDArray[np.floating], k: int, given: NDArray[np.floating] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Choose up to k points, each the farthest (Euclidean) from all centres so far.

    Args:
        points: shape (n, d), finite.
        k: number of points to choose. Fewer are chosen when the rest coincide with centres.
        given: shape (m, d), finite; centres that exist already. With none, the first choice is the point nearest the
            mean.

    Returns:
        The chosen indices in order of choice, and after each choice the covering radius: the largest distance of a
        point to its nearest centre, given ones included. Ties go to the lowest index. The choices for k are the first
        k of those for k + 1.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or a negative k.
    """
    given = np.empty((0, *points.shape[1:])) if given is None else given
    if points.ndim != 2 or given.ndim != 2 or points.shape[1] != given.shape[1]:
        raise ValueError(f"points and given must be (n, d) and (m, d), got {points.shape} and {given.shape}")
    if k < 0:
        raise ValueError(f"k must not be negative, got {k}")
    if not (np.isfinite(points.sum(dtype=np.float64)) and np.isfinite(given.sum(dtype=np.float64))):
        raise ValueError("points and given must be finite")

    nearest = np.full(len(points), np.inf)
    for centre in given:
        np.minimum(nearest, _squared_distances(points, centre), out=nearest)
    chosen: list[int] = []
    radii: list[float] = []
    while len(chosen) < min(k, len(points)):
        if len(given) or chosen:
            choice = int(nearest.argmax())
            if nearest[choice] == 0:
                break
        else:
            choice = int(_squared_distances(points, points.mean(axis=0, dtype=np.float64)).argmin())
        np.minimum(nearest, _squared_distances(points, points[choice]), out=nearest)
        chosen.append(choice)
        radii.append(float(np.sqrt(nearest.max())))
    return np.array(chosen, dtype=np.int64), np.array(radii, dtype=np.float64)


def _squared_distances(points: NDArray[np.floating], centre: NDArray[np.floating]) -> NDArray[np.float64]:
    """Squared distance of each point to the centre, in float64, from differences.

    |x|^2 + |c|^2 - 2xc would be one matrix-vector product, but it cancels: a duplicate would come out a little away
    from itself and be chosen again. The difference of two equal points is exactly 0, of two different ones it is not.
    """
    centre = centre.astype(np.float64)
    squared = np.empty(len(points))
    rows = max(1, BLOCK // max(1, points.shape[1]))
    for start in range(0, len(points), rows):
        difference = points[start : start + rows] - centre
        np.einsum("ij,ij->i", difference, difference, out=squared[start : start + rows])
    return squared
