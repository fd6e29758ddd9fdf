"""How far points are from their nearest centre: bounded from above for all by matrix products, exact for those asked about.

|x|^2 + |c|^2 - 2xc is one matrix product for many centres, and it cancels: a duplicate comes out a little away from itself, and
the last digits depend on who multiplied. So products only say which pairs matter, with the worst case of their rounding added
(Higham, Accuracy and Stability of Numerical Algorithms, 3.1). Those pairs are then computed in float64 from differences, which
are exactly 0 for two equal points.

All that is compiled here stays in this file: numba's cache does not see that a function of another file has changed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

PRODUCTS = 2**20
"""Numbers in a block of products. Small next to the points; and large, as threads wait for one another after each block."""
ON_DEVICE = 2**26
"""The same where torch does the products elsewhere, and each block's results are waited for."""
SOON = 2**12
"""At least so many points are kept up to date, or a fifth: those with the highest bounds. Most of the rest never need be."""
BATCH = 1024
"""Centres in one product."""

Points = NDArray[np.floating]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Covering:
    """Squared distances of n points to the nearest of a growing list of centres.

    `points` is (n, d) and `centres` (m, d), both float32 or both float64; `squares` (n,) are the points' `squared_lengths`.
    There is room for `more` centres. Torch does the products on a `device` other than the CPU, where NumPy does them: the
    threads of two libraries would wait for one another's.
    """

    def __init__(self, points: Points, squares: Floats, centres: Points, more: int, device: str = "cpu") -> None:
        self.points, self.squares = points, squares
        self._room = np.empty((len(centres) + more, points.shape[1]), points.dtype)
        self._room[: len(centres)] = centres
        self.centres, self._lengths = self._room[: len(centres)], squared_lengths(centres)
        self._elsewhere = device != "cpu"
        if self._elsewhere:
            import torch

            self._their_points, self._their_room = (torch.from_numpy(a).to(device) for a in (points, self._room))
        # How many centres a point has met.
        self._met_by_product, self._met_exactly = (np.zeros(len(points), dtype=np.int64) for _ in range(2))
        # Of the centres met by products: the least |c|^2 - 2xc, the second least, and the number of the least one's.
        self._least, self._second = np.full(len(points), np.inf, points.dtype), np.full(len(points), np.inf, points.dtype)
        self._whose = np.zeros(len(points), dtype=np.int32)
        self._exact, self._above = np.full(len(points), np.inf), np.full(len(points), np.inf)
        self._lower(np.arange(len(points)))

    def add(self, chosen: Ints) -> None:
        """Make points centres. They lower the bounds of the few points that may be chosen soon; the others' bounds hold too."""
        count = len(self.centres)
        self.centres = self._room[: count + len(chosen)]
        self.centres[count:] = self.points[chosen]
        self._lengths = np.concatenate([self._lengths, self.squares[chosen]])
        if self._elsewhere:
            self._their_room[count : len(self.centres)] = self._their_points[chosen]
        soon = min(len(self.points), max(SOON, len(self.points) // 5))
        self._lower(self.at_least(np.partition(self._above, -soon)[-soon]))

    def farthest(self, count: int) -> tuple[Ints, float]:
        """The points with the highest bounds, ascending, and the highest bound of all others (-1 where there are none)."""
        if len(self.points) <= count:
            return np.arange(len(self.points)), -1.0
        order = np.argpartition(self._above, -count - 1)
        return np.sort(order[-count:]), float(self._above[order[-count - 1]])

    def at_least(self, squared: float) -> Ints:
        """The points whose bound is at least this, ascending: all others are nearer."""
        return np.flatnonzero(self._above >= squared)

    def exactly(self, which: Ints) -> Floats:
        """The squared distances of some points, given in ascending order, to their nearest centres."""
        self._lower(which)
        # Where rounding cannot have changed which centre is the nearest, only that one is asked.
        slack = rounding(self.squares[which], self._lengths.max(), self.points)
        gap = self._second[which] - self._least[which].astype(np.float64)
        sure = which[(self._met_exactly[which] < len(self.centres)) & (gap > 2 * slack)]
        self._exact[sure] = paired_squared(self.points, sure, self.centres, self._whose[sure])
        self._met_exactly[sure] = len(self.centres)
        rows = max(1, PRODUCTS // max(self.points.shape[1], len(self.centres)))
        for since, own in self._in_step(self._met_exactly, which):
            for first in range(0, len(own), rows):
                part = own[first : first + rows]
                near = nearest_squared(self.points[part], self.squares[part], self.centres[since:], self._lengths[since:])
                self._exact[part] = np.minimum(self._exact[part], near)
        self._above[which] = self._exact[which]
        return self._exact[which]

    def _lower(self, which: Ints) -> None:
        """Lower the bounds of some points, given in ascending order, by the centres that they have not met: matrix products."""
        block = ON_DEVICE if self._elsewhere else PRODUCTS
        for since, own in self._in_step(self._met_by_product, which):
            for start in range(since, len(self.centres), BATCH):
                stop = min(start + BATCH, len(self.centres))
                rows = max(1, block // max(stop - start, self.points.shape[1]))  # a library may copy what it multiplies
                for first in range(0, len(own), rows):
                    self._meet(own[first : first + rows], start, stop)
            bound = self.squares[own] + self._least[own] + rounding(self.squares[own], self._lengths.max(), self.points)
            self._above[own] = np.minimum(self._above[own], bound)

    def _meet(self, part: Ints, start: int, stop: int) -> None:
        """Some points, given in ascending order, meet the centres from one number up to another."""
        lengths = self._lengths[start:stop].astype(self.points.dtype)
        # Neighbours, as all points are, need not be gathered.
        place = slice(part[0], part[-1] + 1) if part[-1] - part[0] + 1 == len(part) else part
        least, second, whose = self._least[place], self._second[place], self._whose[place]
        if self._elsewhere:
            theirs, centres = self._their_points[place], self._their_room[start:stop]
            meet_on_device(theirs, centres, lengths, start, least, second, whose)
        else:
            meet(self.centres[start:stop] @ self.points[place].T, lengths, start, least, second, whose)
        self._least[place], self._second[place], self._whose[place] = least, second, whose

    def _in_step(self, met: Ints, which: Ints) -> Iterator[tuple[int, Ints]]:
        """Those of some points that have not met all centres yet, together with which they go on from; then they have."""
        for since in np.unique(met[which]).tolist():
            if since < len(self.centres):
                own = which[met[which] == since]
                yield since, own
                met[own] = len(self.centres)


@contextmanager
def full_precision() -> Iterator[None]:
    """Products of float32 as float32, whatever was set for the process: the bound on the rounding holds for no less."""
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
    """The most by which |x|^2 + |c|^2 - 2xc can be off in the points' precision: |x|^2 in `squares`, |c|^2 up to `largest`.

    (|x| + |c|)^2 <= 2|x|^2 + 2|c|^2, so that one part is the point's and one the centres'. Twice the first-order bound: for its
    higher orders, and for exact values of float64 points, which are rounded themselves.
    """
    kind = np.finfo(points.dtype)
    return (points.shape[1] + 8) * (2 * float(kind.eps) * (squares + largest) + 4 * float(kind.tiny))


def nearest_squared(points: Points, squares: Floats, centres: Points, lengths: Floats) -> Floats:
    """Squared distance of each point (n, d) to the nearest of the centres (m, d), m > 0, exact: shape (n,).

    `squares` (n,) and `lengths` (m,) are the `squared_lengths` of the two.
    """
    near = lengths.astype(points.dtype) - 2 * (points @ centres.T)
    slack = rounding(squares, lengths.max(), points)
    squared: Floats = exact_nearest(points, centres, near, near.min(axis=1) + 2 * slack)
    return squared


def squared_lengths(points: Points) -> Floats:
    """Of each point (n, d), as exact as the points' own precision, which `rounding` allows for: shape (n,)."""
    with np.errstate(over="ignore"):
        lengths: Floats = np.vecdot(points, points).astype(np.float64)
    return lengths


def meet_on_device(
    points: Any, centres: Any, lengths: Points, start: int, least: Points, second: Points, whose: NDArray[np.int32]
) -> None:
    """What `meet` does, and the products, by torch on the device of the tensors `points` and `centres`."""
    import torch

    with full_precision():
        near = torch.addmm(torch.from_numpy(lengths).to(points.device), points, centres.T, alpha=-2)
    first = near.min(dim=1)
    nearest, numbers = first.values.cpu().numpy(), first.indices.cpu().numpy()
    others = near.scatter_(1, first.indices[:, None], torch.inf).amin(dim=1).cpu().numpy()
    second[:] = np.minimum(np.minimum(second, np.maximum(least, nearest)), others)
    whose[:] = np.where(nearest < least, start + numbers, whose)
    least[:] = np.minimum(least, nearest)


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})  # type: ignore[untyped-decorator]
def meet(products: Points, lengths: Points, start: int, least: Points, second: Points, whose: NDArray[np.int32]) -> None:
    """Lower the `least` and the `second` least |c|^2 - 2xc (n,) of n points, and say `whose` the least is.

    `products` (m, n) are theirs with m centres, the first of which is the one numbered `start`; `lengths` (m,) those centres'.
    Free of branches, so that many points are compared at a time.
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
            whose[i] = number if nearer else whose[i]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def exact_nearest(points: Points, centres: Points, near: Points, limits: Floats) -> Any:
    """For each point the least of the exact distances to those centres that are no farther than its limit by the product."""
    squared = np.full(len(points), np.inf)
    for i in range(len(points)):
        for j in range(len(centres)):
            if near[i, j] <= limits[i]:
                squared[i] = min(squared[i], squared_distance(points[i], centres[j]))
    return squared


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def paired_squared(points: Points, which: Ints, centres: Points, whose: NDArray[np.int32]) -> Any:
    """Squared distance of each point of `which` to the centre of `whose` in its place."""
    squared = np.empty(len(which))
    for i in range(len(which)):
        squared[i] = squared_distance(points[which[i]], centres[whose[i]])
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
    """From float64 differences, in four sums that run side by side: of nothing but the two, wherever they lie."""
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
    """Farthest-first traversal among n points, as long as the farthest is one of `rows`, and above `outside`.

    `squares` are squared lengths; `nearest` are squared distances to the nearest centre so far, and are brought up to date.
    Distances by the `products` (len(rows), n) are off by at most `slack` (n,): what is not nearer by them is not nearer.
    Returns the choices and the squared distance of each; the last one may be at 0.
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
