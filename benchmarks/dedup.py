"""Deduplication compared with datasketch and with a comparison of all pairs: speed and recall.

datasketch runs unverified, where a shared band makes a duplicate, and verified with this project's guarantee: bands propose
99 % of the pairs at the threshold and the exact similarity decides. The latter is slower and gets fewer texts.
"""

from collections.abc import Set
from itertools import pairwise
from typing import Any

from datasketch import MinHash, MinHashLSH

from benchmarks.measure import QUICK, instructions, paired, result
from warrior_dagster.stages.curation.dedup import find_duplicates, shingle_sets

THRESHOLD = 0.5
BANDS = (42, 3)
"""Of 128 permutations: the longest bands that propose 99.6 % of the pairs at 0.5."""


def datasketch(texts: list[str], bands: tuple[int, int] | None = None) -> list[int]:
    """The texts that datasketch keeps: each is compared with those kept before it. With `bands`, exact Jaccard decides."""
    index = MinHashLSH(threshold=THRESHOLD, num_perm=128, params=bands)
    words = [{word.encode() for word in text.split()} for text in texts]
    kept = []
    for i, sketch in enumerate(MinHash.generator(words, num_perm=128)):
        found = index.query(sketch)
        if not (any(similar(words[i], words[j]) for j in found) if bands else found):
            index.insert(i, sketch)
            kept.append(i)
    return kept


def similar(a: Set[Any], b: Set[Any]) -> bool:
    """Whether the Jaccard similarity of two sets reaches the threshold."""
    shared = len(a & b)
    return shared >= THRESHOLD * (len(a) + len(b) - shared)


def kept(texts: list[str]) -> set[int]:
    """The texts that this project keeps."""
    return set(find_duplicates(texts, threshold=THRESHOLD)["duplicate_of"].is_null().arg_true())


def every_pair(texts: list[str]) -> set[int]:
    """The texts kept if each is compared with all that were kept before it."""
    words = [frozenset(text.split()) for text in texts]
    chosen = list[int]()
    for i, own in enumerate(words):
        if not any(similar(own, words[j]) for j in chosen):
            chosen.append(i)
    return set(chosen)


def main() -> None:
    """Speed against both ways, then the recall of this project and of datasketch."""
    n, few = (20_000, 2_000) if QUICK else (100_000, 5_000)
    texts = instructions(n)
    kept(texts[:100])  # compiles, once for all processes
    verified = texts[: n // 4] if QUICK else texts[:10_000]
    ours, theirs, ratio = paired(lambda: kept(verified), lambda: datasketch(verified, BANDS), rounds=1 if QUICK else 3)
    result("dedup", "verified, recall of 0.99, s", ours, "datasketch, verified", theirs, ratio, len(verified), least=10)
    ours, theirs, ratio = paired(lambda: kept(texts), lambda: datasketch(texts), rounds=3)
    result("dedup", "all, s", ours, "datasketch, unverified", theirs, ratio, n, least=10)

    some = texts[:few]
    duplicates = set(range(few)) - every_pair(some)
    for name, least, chosen in (("", 0.99, kept(some)), (" of datasketch", 0, set(datasketch(some)))):
        share = len(duplicates - chosen) / len(duplicates)
        result("dedup", f"recall of duplicates{name}", share, "all pairs", 1.0, share, few, least=least, kept=len(chosen))
    starts, elements = shingle_sets(some)
    sets = [set(elements[a:b].tolist()) for a, b in pairwise(starts)]
    found = find_duplicates(some, threshold=THRESHOLD).with_row_index("i").drop_nulls("duplicate_of").rows()
    exact = [THRESHOLD <= similarity == len(sets[i] & sets[j]) / len(sets[i] | sets[j]) for i, j, similarity in found]
    right = sum(exact) / len(exact)
    result("dedup", "share of decisions that are exact", right, "all pairs", 1.0, right, few, least=1)


if __name__ == "__main__":
    main()
