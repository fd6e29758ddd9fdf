"""How far points are from their nearest centre: bounded from above for all by matrix products, exact for those asked about.

|x|^2 + |c|^2 - 2xc is one matrix product for many centres, and it cancels: a duplicate comes out a little away from itself, and
the last digits depend on who multiplied. So products only say which pairs matter, with the worst case of their rounding added
(Higham, Accuracy and Stability of Numerical Algorithms, 3.1). Those pairs are then computed in float64 from differences: the
difference of two equal points is exactly 0, of two different ones it is not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRODUCTS = 2**21
"""Numbers in a block of products: large, because threads wait for one another at the end of each."""
BATCH = 1024
"""Centres in one product."""
DIFFERENCES = 2**18
"""Numbers in a block of differences: small enough for the cache. Blocks are what keeps the extra memory O(n)."""

Points = NDArray[np.floating]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Covering:
    """Squared distances of n points to the nearest of a growing list of centres.

    `points` is (n, d) and `centres` (m, d), both float32 or both float64. The products run on a GPU if there is one.
    """

    def __init__(self, points: Points, centres: Points) -> None:
        import torch

        self.points, self.centres = points, centres
        self._exact, self._seen = np.full(len(points), np.inf), np.zeros(len(points), dtype=np.int64)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._on_device = torch.from_numpy(points).to(device)
        rows = max(1, DIFFERENCES // max(1, points.shape[1]))
        # Into place: small results left between the blocks would keep their memory from being used again.
        self._squares = torch.empty(len(points), dtype=torch.float64, device=device)
        for first in range(0, len(points), rows):
            block = self._on_device[first : first + rows].double()
            self._squares[first : first + rows] = block.square().sum(dim=1)
        self._above = torch.full((len(points),), torch.inf, dtype=torch.float64, device=device)
        self._lower(centres)

    def add(self, chosen: Ints) -> None:
        """Make points centres."""
        self.centres = np.concatenate([self.centres, self.points[chosen]])
        self._lower(self.points[chosen])

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
        for first in range(0, len(which), rows):
            part = which[first : first + rows]
            since = int(self._seen[part].min())
            if since < len(self.centres):
                near = nearest_squared(self.points[part], self.centres[since:])
                self._exact[part] = np.minimum(self._exact[part], near)
                self._seen[part] = len(self.centres)
        self._above[torch.from_numpy(which).to(self._above.device)] = torch.from_numpy(self._exact[which]).to(
            self._above.device
        )
        return self._exact[which]

    def _lower(self, centres: Points) -> None:
        """Lower the bounds by new centres: one matrix product."""
        import torch

        for start in range(0, len(centres), BATCH):
            some = torch.from_numpy(centres[start : start + BATCH]).to(self._on_device.device)
            squared = some.double().square().sum(dim=1)
            slack = rounding(self._squares.sqrt(), float(squared.max()) ** 0.5, self.points)
            rows = max(1, PRODUCTS // max(some.shape))  # of the points too: a library may copy what it multiplies
            for first in range(0, len(self.points), rows):
                last = first + rows
                with full_precision():
                    products = torch.addmm(squared.to(some.dtype), self._on_device[first:last], some.T, alpha=-2)
                bound = products.amin(dim=1).double() + self._squares[first:last] + slack[first:last]
                torch.minimum(self._above[first:last], bound, out=self._above[first:last])


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


def rounding(norms: Any, largest: float, points: Points) -> Any:
    """The most by which |x|^2 + |c|^2 - 2xc can be off in the points' precision, for |x| in `norms` and |c| up to `largest`.

    Twice the first-order bound: for its higher orders, and for exact values of float64 points, which are rounded themselves.
    """
    kind = np.finfo(points.dtype)
    return (points.shape[1] + 8) * (float(kind.eps) * (norms + largest) ** 2 + float(kind.tiny))


def product(a: Points, b: Points) -> Points:
    """Matrix product by torch: the threads of two libraries would wait for one another's."""
    import torch

    with full_precision():
        multiplied: Points = (torch.from_numpy(a) @ torch.from_numpy(b)).numpy()
    return multiplied


def nearest_squared(points: Points, centres: Points) -> Floats:
    """Squared distance of each point (n, d) to the nearest of the centres (m, d), m > 0, exact: shape (n,)."""
    own, centre_squares = (squared_distances(some, np.zeros(some.shape[1])) for some in (points, centres))
    near = centre_squares.astype(points.dtype) - 2 * product(points, centres.T)
    slack = rounding(np.sqrt(own), float(centre_squares.max()) ** 0.5, points)
    row, column = np.nonzero(near <= (near.min(axis=1) + 2 * slack)[:, None])
    squared = np.empty(len(row))
    step = max(1, DIFFERENCES // max(1, points.shape[1]))
    for first in range(0, len(row), step):
        part = slice(first, first + step)
        squared[part] = squares(points[row[part]].astype(np.float64) - centres[column[part]])
    return np.minimum.reduceat(squared, np.searchsorted(row, np.arange(len(points))))


def squared_distances(points: Points, centre: NDArray[Any]) -> Floats:
    """Squared distance of each point (n, d) to one centre (d,), from float64 differences: shape (n,)."""
    squared = np.empty(len(points))
    centre, rows = centre.astype(np.float64), max(1, DIFFERENCES // max(1, points.shape[1]))
    for start in range(0, len(points), rows):
        squared[start : start + rows] = squares(points[start : start + rows] - centre)
    return squared


def squares(rows: Floats) -> Floats:
    """The sum of the squares of each row (n, d): shape (n,). Of nothing but the row, which einsum does not promise."""
    summed: Floats = np.square(rows).sum(axis=1)
    return summed
