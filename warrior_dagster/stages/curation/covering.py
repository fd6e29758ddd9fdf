"""Squared distances of points to their nearest centre: upper bounds by matrix products, exact values on request.

|x|^2 + |c|^2 - 2xc is one matrix product for many centres, but rounding makes it inexact and dependent on the library. So
products only find which pairs matter, with the worst-case rounding error added (Higham, Accuracy and Stability of Numerical
Algorithms, 3.1). Those pairs are then computed in float64 from differences, which are exactly 0 for equal points.

All compiled functions call only functions of this file, because numba's cache does not notice changes in other files.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

BLOCK = 2**20
"""Products computed at a time: few compared to the points, but many, because threads synchronise after each block."""
DEVICE_BLOCK = 2**26
"""The same for torch on another device, where each block has to be waited for."""
UPDATED = 2**12
"""At least this many points, or a fifth, have their bounds updated at once: those with the highest bounds."""
CENTRE_BATCH = 1024
"""Centres in one matrix product."""

Points = NDArray[np.floating]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Covering:
    """Squared distances of n points to the nearest of a growing list of centres.

    `points` is (n, d) and `centres` (m, d), both float32 or both float64; `squares` (n,) are the points' `squared_lengths`.
    At most `more` centres can be added. NumPy multiplies on the CPU, torch on any other `device`: on one CPU the threads of the
    two libraries would block each other.
    """

    def __init__(self, points: Points, squares: Floats, centres: Points, more: int, device: str = "cpu") -> None:
        self.points, self.squares = points, squares
        self._buffer = np.empty((len(centres) + more, points.shape[1]), points.dtype)
        self._buffer[: len(centres)] = centres
        self.centres, self._lengths = self._buffer[: len(centres)], squared_lengths(centres)
        self._on_device = device != "cpu"
        if self._on_device:
            import torch

            self._device_points, self._device_buffer = (torch.from_numpy(a).to(device) for a in (points, self._buffer))
        # How many centres each point was compared with.
        self._compared_by_product, self._compared_exactly = (np.zeros(len(points), dtype=np.int64) for _ in range(2))
        # Over the centres compared by products: the least |c|^2 - 2xc, the second least, and the centre of the least.
        self._least, self._second = np.full(len(points), np.inf, points.dtype), np.full(len(points), np.inf, points.dtype)
        self._owner = np.zeros(len(points), dtype=np.int32)
        self._exact, self._bounds = np.full(len(points), np.inf), np.full(len(points), np.inf)
        self._lower_bounds(np.arange(len(points)))

    def add(self, chosen: Ints) -> None:
        """Make points centres. Only the bounds of points that may be chosen soon are lowered; the others stay valid."""
        count = len(self.centres)
        self.centres = self._buffer[: count + len(chosen)]
        self.centres[count:] = self.points[chosen]
        self._lengths = np.concatenate([self._lengths, self.squares[chosen]])
        if self._on_device:
            self._device_buffer[count : len(self.centres)] = self._device_points[chosen]
        soon = min(len(self.points), max(UPDATED, len(self.points) // 5))
        self._lower_bounds(self.at_least(np.partition(self._bounds, -soon)[-soon]))

    def farthest(self, count: int) -> tuple[Ints, float]:
        """The indices of the points with the highest bounds, ascending, and the highest bound of the others (-1 if none)."""
        if len(self.points) <= count:
            return np.arange(len(self.points)), -1.0
        order = np.argpartition(self._bounds, -count - 1)
        return np.sort(order[-count:]), float(self._bounds[order[-count - 1]])

    def at_least(self, squared: float) -> Ints:
        """The indices of the points with at least this bound, ascending. All others are nearer to a centre."""
        return np.flatnonzero(self._bounds >= squared)

    def exact(self, which: Ints) -> Floats:
        """The exact squared distances of the points `which` (ascending indices) to their nearest centres."""
        self._lower_bounds(which)
        # Where rounding cannot have changed which centre is nearest, only the distance to that one is computed.
        slack = rounding(self.squares[which], self._lengths.max(), self.points)
        gap = self._second[which] - self._least[which].astype(np.float64)
        sure = which[(self._compared_exactly[which] < len(self.centres)) & (gap > 2 * slack)]
        self._exact[sure] = paired_squared(self.points, sure, self.centres, self._owner[sure])
        self._compared_exactly[sure] = len(self.centres)
        rows = max(1, BLOCK // max(self.points.shape[1], len(self.centres)))
        for since, own in self._behind(self._compared_exactly, which):
            for first in range(0, len(own), rows):
                part = own[first : first + rows]
                near = nearest_squared(self.points[part], self.squares[part], self.centres[since:], self._lengths[since:])
                self._exact[part] = np.minimum(self._exact[part], near)
        self._bounds[which] = self._exact[which]
        return self._exact[which]

    def _lower_bounds(self, which: Ints) -> None:
        """Lower the bounds of the points `which` (ascending indices) by products with the centres not compared yet."""
        block = DEVICE_BLOCK if self._on_device else BLOCK
        for since, own in self._behind(self._compared_by_product, which):
            for start in range(since, len(self.centres), CENTRE_BATCH):
                stop = min(start + CENTRE_BATCH, len(self.centres))
                rows = max(1, block // max(stop - start, self.points.shape[1]))  # the library may copy the operands
                for first in range(0, len(own), rows):
                    self._compare(own[first : first + rows], start, stop)
            bound = self.squares[own] + self._least[own] + rounding(self.squares[own], self._lengths.max(), self.points)
            self._bounds[own] = np.minimum(self._bounds[own], bound)

    def _compare(self, part: Ints, start: int, stop: int) -> None:
        """Compare the points `part` (ascending indices) with the centres from `start` up to `stop`, by products."""
        lengths = self._lengths[start:stop].astype(self.points.dtype)
        place = slice(part[0], part[-1] + 1) if part[-1] - part[0] + 1 == len(part) else part  # a slice avoids a copy
        least, second, owner = self._least[place], self._second[place], self._owner[place]
        if self._on_device:
            own, centres = self._device_points[place], self._device_buffer[start:stop]
            update_on_device(own, centres, lengths, start, least, second, owner)
        else:
            update(self.centres[start:stop] @ self.points[place].T, lengths, start, least, second, owner)
        self._least[place], self._second[place], self._owner[place] = least, second, owner

    def _behind(self, compared: Ints, which: Ints) -> Iterator[tuple[int, Ints]]:
        """Group the points `which` by the number of centres compared, unless all were, and mark them as compared with all."""
        for since in np.unique(compared[which]).tolist():
            if since < len(self.centres):
                own = which[compared[which] == since]
                yield since, own
                compared[own] = len(self.centres)


@contextmanager
def full_precision() -> Iterator[None]:
    """Multiply float32 in full precision, as `rounding` assumes, and restore the process's setting on exit."""
    import torch

    places = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [place.fp32_precision for place in places]
    try:
        for place in places:
            place.fp32_precision = "ieee"
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.fp32_precision = value


def rounding(squares: Any, largest: float, points: Points) -> Any:
    """The largest error of |x|^2 + |c|^2 - 2xc in the points' precision, for |x|^2 in `squares` and |c|^2 up to `largest`.

    From (|x| + |c|)^2 <= 2|x|^2 + 2|c|^2. Twice the first-order bound, to cover higher orders and the exact float64 values.
    """
    kind = np.finfo(points.dtype)
    return (points.shape[1] + 8) * (2 * float(kind.eps) * (squares + largest) + 4 * float(kind.tiny))


def nearest_squared(points: Points, squares: Floats, centres: Points, lengths: Floats) -> Floats:
    """Exact squared distance of each point (n, d) to the nearest of m > 0 centres, both with their `squared_lengths`: (n,)."""
    near = lengths.astype(points.dtype) - 2 * (points @ centres.T)
    slack = rounding(squares, lengths.max(), points)
    squared: Floats = exact_nearest(points, centres, near, near.min(axis=1) + 2 * slack)
    return squared


def squared_lengths(points: Points) -> Floats:
    """|x|^2 of each point (n, d), computed in the points' precision, which `rounding` allows for: shape (n,)."""
    with np.errstate(over="ignore"):
        lengths: Floats = np.vecdot(points, points).astype(np.float64)
    return lengths


def update_on_device(
    points: Any, centres: Any, lengths: Points, start: int, least: Points, second: Points, owner: NDArray[np.int32]
) -> None:
    """The same as `update`, products included, by torch on the device of the tensors `points` and `centres`."""
    import torch

    with full_precision():
        near = torch.addmm(torch.from_numpy(lengths).to(points.device), points, centres.T, alpha=-2)
    first = near.min(dim=1)
    nearest, numbers = first.values.cpu().numpy(), first.indices.cpu().numpy()
    others = near.scatter_(1, first.indices[:, None], torch.inf).amin(dim=1).cpu().numpy()
    second[:] = np.minimum(np.minimum(second, np.maximum(least, nearest)), others)
    owner[:] = np.where(nearest < least, start + numbers, owner)
    least[:] = np.minimum(least, nearest)


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})  # type: ignore[untyped-decorator]
def update(products: Points, lengths: Points, start: int, least: Points, second: Points, owner: NDArray[np.int32]) -> None:
    """Update in place the `least` and `second` least |c|^2 - 2xc (n,) of n points, and the centre of the least, `owner`.

    `products` (m, n) are those of m centres, numbered from `start`, with the points; `lengths` (m,) are the centres' |c|^2.
    The loop has no branches, so that the compiler vectorises it.
    """
    two = products.dtype.type(2)
    for j in range(len(products)):
        row, length, number = products[j], lengths[j], np.int32(start + j)
        for i in range(len(row)):
            value, before = length - two * row[i], least[i]
            nearer = value < before
            other = before if nearer else value
            second[i] = other if other < second[i] else second[i]
            least[i] = value if nearer else before
            owner[i] = number if nearer else owner[i]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def exact_nearest(points: Points, centres: Points, near: Points, limits: Floats) -> Any:
    """Each point's least exact squared distance to the centres whose distance by product, `near`, is within its limit."""
    squared = np.full(len(points), np.inf)
    for i in range(len(points)):
        for j in range(len(centres)):
            if near[i, j] <= limits[i]:
                squared[i] = min(squared[i], squared_distance(points[i], centres[j]))
    return squared


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def paired_squared(points: Points, which: Ints, centres: Points, owner: NDArray[np.int32]) -> Any:
    """Squared distance of each point `which[i]` to the centre `owner[i]`: shape (len(which),)."""
    squared = np.empty(len(which))
    for i in range(len(which)):
        squared[i] = squared_distance(points[which[i]], centres[owner[i]])
    return squared


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def squared_distances(points: Points, centre: NDArray[Any]) -> Any:
    """Squared distance of each point (n, d) to one centre (d,), from float64 differences: shape (n,)."""
    squared = np.empty(len(points))
    for i in range(len(points)):
        squared[i] = squared_distance(points[i], centre)
    return squared


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def squared_distance(a: NDArray[Any], b: NDArray[Any]) -> Any:
    """From float64 differences, in four parallel sums. The result does not depend on the memory layout."""
    s, t, u, v, whole = 0.0, 0.0, 0.0, 0.0, len(a) // 4 * 4
    for j in range(0, whole, 4):
        s += (np.float64(a[j]) - np.float64(b[j])) ** 2
        t += (np.float64(a[j + 1]) - np.float64(b[j + 1])) ** 2
        u += (np.float64(a[j + 2]) - np.float64(b[j + 2])) ** 2
        v += (np.float64(a[j + 3]) - np.float64(b[j + 3])) ** 2
    for j in range(whole, len(a)):
        s += (np.float64(a[j]) - np.float64(b[j])) ** 2
    return (s + t) + (u + v)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def traverse(
    points: Points, squares: Floats, rows: Ints, products: Points, slack: Floats, nearest: Floats, outside: float
) -> Any:
    """Farthest-first traversal among n points, while the farthest is one of `rows` and farther than `outside`.

    `squares` are squared lengths; `nearest` are squared distances to the nearest centre so far, updated in place. Distances
    from `products` (len(rows), n) are off by at most `slack` (n,), so the exact one is computed only where it may be nearer.
    Returns the choices and the squared distance of each; the last may be 0.
    """
    picks, distances, count = np.empty(len(rows), dtype=np.int64), np.empty(len(rows)), 0
    place = np.full(len(points), -1)
    place[rows] = np.arange(len(rows))
    while True:
        pick = nearest.argmax()
        if nearest[pick] <= outside or place[pick] < 0:
            break
        picks[count], distances[count] = pick, nearest[pick]
        count += 1
        if nearest[pick] == 0:
            break
        product = products[place[pick]]
        place[pick] = -1
        for i in range(len(points)):
            if squares[pick] + squares[i] - 2 * np.float64(product[i]) - slack[i] < nearest[i]:
                nearest[i] = min(nearest[i], squared_distance(points[i], points[pick]))
    return picks[:count], distances[:count]
