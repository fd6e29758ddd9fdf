"""K-centre-greedy compared with the plain greedy in NumPy and with the steps of google/active-learning and anomalib.

The plain greedy computes one matrix-vector product per centre, in float64. The first line shows that its choices are those of
this project. In float32 it is faster, but its choices differ after the first `same` ones; that line has no limit. The other two
projects are represented by their step alone: one call of scikit-learn's `pairwise_distances` per centre, or one norm of
differences in torch. What they do before it is left out (anomalib projects the points to fewer dimensions). Their time is
measured over `measured` centres and extrapolated, because each centre costs the same.
    python -m benchmarks.kcenter [QUICK]
    python -m benchmarks.kcenter gpu        # the table of docs/growth.md: needs a GPU
"""

import sys
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances

from benchmarks.measure import QUICK, paired, result, timed
from warrior_dagster.stages.curation.kcenter import k_center_greedy, k_center_in_parts

Array = NDArray[np.floating]


def sphere(n: int, d: int) -> Array:
    """Points of length one that resemble embeddings: half in a few hundred clusters, half anywhere."""
    rng = np.random.default_rng(0)
    places = rng.standard_normal((n // 50, d))[rng.integers(0, n // 50, n // 2)]
    near = places + rng.standard_normal((n // 2, d)) * rng.uniform(0.2, 1, (n // 2, 1))
    points = np.concatenate([near, rng.standard_normal((n - n // 2, d))])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return rng.permutation(points).astype(np.float32)


def plain(points: Array, k: int, first: int) -> tuple[list[int], list[float]]:
    """The plain greedy in the precision of the points. Returns the choices and the radius after each."""
    squares = np.einsum("ij,ij->i", points, points)
    nearest, chosen, radii = np.full(len(points), np.inf, points.dtype), [first], list[float]()
    while True:
        np.minimum(nearest, squares + squares[chosen[-1]] - 2 * (points @ points[chosen[-1]]), out=nearest)
        nearest[chosen[-1]] = 0
        radii.append(float(np.sqrt(max(nearest.max(), 0))))
        if len(chosen) == k:
            return chosen, radii
        chosen.append(int(nearest.argmax()))


def google(points: Array, k: int, first: int) -> list[int]:
    """As google/active-learning: scikit-learn's distances of all points to the newest centre."""
    chosen, nearest = [first], np.full((len(points), 1), np.inf)
    for _ in range(k - 1):
        nearest = np.minimum(nearest, pairwise_distances(points, points[chosen[-1:]], metric="euclidean"))
        chosen.append(int(nearest.argmax()))
    return chosen


def anomalib(points: Array, k: int, first: int) -> list[int]:
    """As anomalib: torch's norm of the differences of all points to the newest centre."""
    every, chosen = torch.from_numpy(points), [first]
    nearest = torch.full((len(points),), torch.inf)
    for _ in range(k - 1):
        nearest = torch.minimum(nearest, torch.linalg.norm(every - every[chosen[-1]], dim=1))
        chosen.append(int(nearest.argmax()))
    return chosen


def main() -> None:
    """Compare choices and radii, time against each peer, and measure the radius of a selection in parts."""
    # Not smaller if quick: fewer points would fit in the cache, where a plain greedy is faster than in practice.
    n, d, k, rounds, few = 20_000, 768, 2_000, 1 if QUICK else 3, 50 if QUICK else 100
    points = sphere(n, d)
    wide = points.astype(np.float64)
    first = int(k_center_greedy(points, 2)[0][0])
    found: dict[str, Any] = {}
    mine, theirs, ratio = paired(
        lambda: found.update(ours=k_center_greedy(points, k)),
        lambda: found.update(plain=plain(wide, k, first)),
        rounds=3 if QUICK else 5,
    )
    (ours, radii), (expected, expected_radii) = found["ours"], found["plain"]
    same = next((i for i, (a, b) in enumerate(zip(ours, expected, strict=True)) if a != b), k)
    result("kcenter", "choices that are the plain greedy's, float64", same, "plain float64", k, same / k, n, least=1)
    worst = float(np.abs(radii[:-1] / np.array(expected_radii[:-1]) - 1).max())
    result("kcenter", "largest difference of a radius", worst, "plain float64", 1e-3, 1e-3 / max(worst, 1e-12), n, least=1)
    result("kcenter", "s", mine, "plain NumPy, float64 (same choices)", theirs, ratio, n, least=20)
    for name, peer in (("google/active-learning", google), ("anomalib's step", anomalib)):
        peer(points, 3, first)  # warm up the library
        some, scale = partial(peer, points, few, first), (k - 1) / (few - 1)
        mine, theirs, ratio = paired(lambda: k_center_greedy(points, k), some, rounds=rounds)
        result("kcenter", "s", mine, name, scale * theirs, scale * ratio, n, least=20, measured=few)
    if torch.cuda.is_available():
        on_gpu, _ = timed(lambda: k_center_greedy(points, k, device="cuda"))[1]
        assert on_gpu.tolist() == ours.tolist()
        mine, theirs, ratio = paired(
            lambda: k_center_greedy(points, k, device="cuda"), lambda: k_center_greedy(points, k), rounds=rounds
        )
        result("kcenter", f"s on {torch.cuda.get_device_name()}", mine, "this project's on the CPU", theirs, ratio, n, least=0)
    some_centres = 10 * few if QUICK else k
    mine, theirs, ratio = paired(
        lambda: k_center_greedy(points, k), lambda: found.update(narrow=plain(points, some_centres, first)[0]), rounds=rounds
    )
    agrees = next((i for i, (a, b) in enumerate(zip(found["narrow"], expected, strict=False)) if a != b), some_centres)
    scale, more = k / some_centres, {"same": agrees, "measured": some_centres}
    result("kcenter", "s", mine, "plain NumPy, float32", scale * theirs, scale * ratio, n, least=0, **more)

    def covering(chosen: NDArray[np.int64]) -> float:
        return float(
            max(np.sqrt(np.maximum(2 - 2 * (part @ points[chosen].T).max(axis=1), 0)).max() for part in np.split(points, 10))
        )

    seconds, (parts, bounds, _) = timed(lambda: k_center_in_parts(lambda a, b: points[a:b], n, k, None, n // 5))
    whole, apart = covering(ours), covering(parts)
    result(
        "kcenter",
        "radius in 5 parts",
        apart,
        "the whole",
        whole,
        whole / apart,
        n,
        least=0.5,
        bound=float(bounds[-1]),
        s=seconds,
    )


def plain_on_gpu(points: Array, k: int, first: int) -> list[int]:
    """The plain greedy in float32 on a GPU: one matrix-vector product per centre with torch."""
    every, chosen = torch.from_numpy(points).cuda(), [first]
    squares = (every * every).sum(dim=1)
    nearest = torch.full((len(points),), torch.inf, device="cuda")
    for _ in range(k - 1):
        newest = every[chosen[-1]]
        nearest = torch.minimum(nearest, squares + squares[chosen[-1]] - 2 * (every @ newest))
        nearest[chosen[-1]] = 0
        chosen.append(int(nearest.argmax()))
    return chosen


def on_gpu() -> None:
    """Check choices and radii on a GPU at four sizes; print seconds, GiB, and the seconds of the plain greedy on the GPU."""
    card = torch.cuda.get_device_name()
    for n, d, k in ((20_000, 768, 2_000), (100_000, 768, 10_000), (1_000_000, 384, 1_400), (1_000_000, 384, 10_000)):
        points = sphere(n, d)
        from_gpu = k_center_greedy(points, k, device="cuda")
        from_cpu = k_center_greedy(points, k)
        assert all((a == b).all() for a, b in zip(from_gpu, from_cpu, strict=True))
        first, more = int(from_gpu[0][0]), {"width": d, "centres": k, "gib": torch.cuda.max_memory_allocated() / 2**30}
        peers: dict[str, Any] = {
            "this project's on the CPU": partial(k_center_greedy, points, k),
            "plain greedy on the GPU": partial(plain_on_gpu, points, k, first),
        }
        for name, peer in peers.items():
            mine, theirs, ratio = paired(partial(k_center_greedy, points, k, device="cuda"), peer)
            result("kcenter", f"s on {card}", mine, name, theirs, ratio, n, least=0, **more)
        torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    on_gpu() if "gpu" in sys.argv[1:] else main()
