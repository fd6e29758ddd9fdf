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

PRODUCTS = 2**21
"""Numbers in a block of products, which keeps the extra memory O(n): large, as threads wait for one another after each."""
SOON = 2**12
"""At least so many points are kept up to date, or a quarter: those with the highest bounds. Most of the rest never need be."""
BATCH = 1024
"""Centres in one product."""

Points = NDArray[np.floating]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Covering:
    """Squared distances of n points to the nearest of a growing list of centres.

    `points` is (n, d) and `centres` (m, d), both float32 or both float64; `squares` (n,) are the points' `squared_lengths`.
    There is room for `more` centres. Torch does the products on `device`.
    """

    def __init__(self, points: Points, squares: Floats, centres: Points, more: int, device: str = "cpu") -> None:
        import torch

        self.points, self.squares = points, squares
        self._room = np.empty((len(centres) + more, points.shape[1]), points.dtype)
        self._room[: len(centres)] = centres
        self.centres, self._lengths = self._room[: len(centres)], squared_lengths(centres)
        # How many centres a point has met: by their products, and exactly.
        self._met, self._seen = np.zeros(len(points), dtype=np.int64), np.zeros(len(points), dtype=np.int64)
        self._exact = np.full(len(points), np.inf)
        raised = squares + rounding(squares, 0.0, points)
        self._on_device, self._raised = (torch.from_numpy(a).to(device) for a in (points, raised))
        self._above = torch.full((len(points),), torch.inf, dtype=torch.float64, device=device)
        self._lower(np.arange(len(points)))

    def add(self, chosen: Ints) -> None:
        """Make points centres. They lower the bounds of the few points that may be chosen soon; the others' bounds hold too."""
        count = len(self.centres)
        self.centres = self._room[: count + len(chosen)]
        self.centres[count:] = self.points[chosen]
        self._lengths = np.concatenate([self._lengths, self.squares[chosen]])
        soon = self._above.topk(min(len(self.points), max(SOON, len(self.points) // 4))).indices
        self._lower(np.sort(soon.cpu().numpy()))

    def farthest(self, count: int) -> tuple[Ints, float]:
        """The points with the highest bounds, ascending, and the highest bound of all others (-1 where there are none)."""
        top = self._above.topk(min(count + 1, len(self.points)))
        outside = float(top.values[-1]) if len(self.points) > count else -1.0
        return np.sort(top.indices[:count].cpu().numpy()), outside

    def at_least(self, squared: float) -> Ints:
        """The points whose bound is at least this, ascending: all others are nearer."""
        found: Ints = (self._above >= squared).nonzero()[:, 0].cpu().numpy()
        return found

    def exactly(self, which: Ints) -> Floats:
        """The squared distances of some points to their nearest centres."""
        import torch

        rows = max(1, PRODUCTS // max(self.points.shape[1], len(self.centres)))
        for since, own in self._in_step(self._seen, which):
            for first in range(0, len(own), rows):
                part = own[first : first + rows]
                near = nearest_squared(self.points[part], self.squares[part], self.centres[since:], self._lengths[since:])
                self._exact[part] = np.minimum(self._exact[part], near)
        device = self._above.device
        self._above[torch.from_numpy(which).to(device)] = torch.from_numpy(self._exact[which]).to(device)
        return self._exact[which]

    def _lower(self, which: Ints) -> None:
        """Lower the bounds of some points, given in ascending order, by the centres that they have not met: matrix products."""
        import torch

        device, kind = self._above.device, self._on_device.dtype
        centres, lengths = torch.from_numpy(self.centres).to(device), torch.from_numpy(self._lengths).to(device, kind)
        slack = rounding(0.0, self._lengths.max(), self.points)
        for since, own in self._in_step(self._met, which):
            every = len(own) == len(self.points)  # and in order, so that nothing is gathered
            for start in range(since, len(centres), BATCH):
                some, squared = centres[start : start + BATCH], lengths[start : start + BATCH]
                rows = max(1, PRODUCTS // max(some.shape))  # of the points too: a library may copy what it multiplies
                for first in range(0, len(own), rows):
                    part = torch.from_numpy(own[first : first + rows]).to(device)
                    points = self._on_device[first : first + rows] if every else self._on_device.index_select(0, part)
                    with full_precision():
                        products = torch.addmm(squared, points, some.T, alpha=-2)
                    bound = products.amin(dim=1).double() + (self._raised[part] + slack)
                    self._above[part] = torch.minimum(self._above[part], bound)

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

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def rounding(squares: Any, largest: float, points: Points) -> Any:
    """The most by which |x|^2 + |c|^2 - 2xc can be off in the points' precision: |x|^2 in `squares`, |c|^2 up to `largest`.

    (|x| + |c|)^2 <= 2|x|^2 + 2|c|^2, so that one part is the point's and one the centres'. Twice the first-order bound: for its
    higher orders, and for exact values of float64 points, which are rounded themselves.
    """
    kind = np.finfo(points.dtype)
    return (points.shape[1] + 8) * (2 * float(kind.eps) * (squares + largest) + float(kind.tiny))


def product(a: Points, b: Points) -> Points:
    """Matrix product by torch: the threads of two libraries would wait for one another's."""
    import torch

    with full_precision():
        multiplied: Points = (torch.from_numpy(a) @ torch.from_numpy(b)).numpy()
    return multiplied


def nearest_squared(points: Points, squares: Floats, centres: Points, lengths: Floats) -> Floats:
    """Squared distance of each point (n, d) to the nearest of the centres (m, d), m > 0, exact: shape (n,).

    `squares` (n,) and `lengths` (m,) are the `squared_lengths` of the two.
    """
    near = lengths.astype(points.dtype) - 2 * product(points, centres.T)
    slack = rounding(squares, lengths.max(), points)
    squared: Floats = _least(points, centres, near, near.min(axis=1) + 2 * slack)
    return squared


def squared_lengths(points: Points) -> Floats:
    """Of each point (n, d), as exact as the points' own precision, which `rounding` allows for: shape (n,)."""
    import torch

    lengths: Floats = torch.linalg.vector_norm(torch.from_numpy(points), dim=1).double().square().numpy()
    return lengths


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _least(points: Points, centres: Points, near: Points, limits: Floats) -> Any:
    """For each point the least of the exact distances to those centres that are no farther than its limit by the product."""
    squared = np.full(len(points), np.inf)
    for i in range(len(points)):
        for j in range(len(centres)):
            if near[i, j] <= limits[i]:
                squared[i] = min(squared[i], squared_distance(points[i], centres[j]))
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
def traverse(points: Points, squares: Floats, products: Points, slack: Floats, nearest: Floats, outside: float) -> Any:
    """Farthest-first traversal among n points: the choices and the squared distance of each, as long as it is above `outside`.

    `squares` are squared lengths, `nearest` squared distances to the nearest centre so far. Distances by the `products` (n, n)
    of all pairs are off by at most `slack` (n,): what is not nearer by them is not nearer.
    """
    picks, distances, count = np.empty(len(points), dtype=np.int64), np.empty(len(points)), 0
    while count < len(points):
        pick = nearest.argmax()
        if nearest[pick] <= outside:
            break
        picks[count], distances[count] = pick, nearest[pick]
        count += 1
        if nearest[pick] == 0:
            break
        for i in range(len(points)):
            if squares[pick] + squares[i] - 2 * np.float64(products[pick, i]) - slack[i] < nearest[i]:
                nearest[i] = min(nearest[i], squared_distance(points[i], points[pick]))
    return picks[:count], distances[:count]
