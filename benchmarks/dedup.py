"""Deduplication against datasketch and against every pair: how fast it is, and what each finds.

Two ways to use datasketch: as it comes, where a shared band makes a duplicate, and with this project's promise, where bands
propose 99 % of the pairs at the threshold and the exact similarity decides: far slower, so on a tenth of the texts.
"""

from itertools import combinations, pairwise

from datasketch import MinHash, MinHashLSH

from benchmarks.measure import QUICK, instructions, paired, result
from warrior_dagster.curation.dedup import find_duplicates, shingle_sets

THRESHOLD = 0.5
BANDS = (42, 3)
"""Of 128 permutations: the longest bands that propose 99.6 % of the pairs at 0.5."""


def datasketch(texts: list[str], bands: tuple[int, int] | None = None) -> list[int]:
    """The texts that datasketch keeps: each is looked up among those kept before. With `bands` Jaccard decides."""
    index = MinHashLSH(threshold=THRESHOLD, num_perm=128, params=bands)
    words = [{word.encode() for word in text.split()} for text in texts]
    kept = []
    for i, sketch in enumerate(MinHash.generator(words, num_perm=128)):
        found = index.query(sketch)
        if bands:
            found = [j for j in found if len(words[i] & words[j]) >= THRESHOLD * len(words[i] | words[j])]
        if not found:
            index.insert(i, sketch)
            kept.append(i)
    return kept


def kept(texts: list[str]) -> set[int]:
    """What this project keeps."""
    found = find_duplicates(texts, threshold=THRESHOLD)["duplicate_of"]
    return {i for i, match in enumerate(found) if match is None}


def every_pair(texts: list[str]) -> set[int]:
    """What the rule keeps if each text is compared with all that are kept before it."""
    words = [frozenset(text.split()) for text in texts]
    chosen = list[int]()
    for i, own in enumerate(words):
        if not any(len(own & words[j]) >= THRESHOLD * len(own | words[j]) for j in chosen):
            chosen.append(i)
    return set(chosen)


def main() -> None:
    """Speed against both ways, then what is found of all pairs, by both and by datasketch."""
    n, few = (20_000, 2_000) if QUICK else (100_000, 5_000)
    texts = instructions(n)
    kept(texts[:100])  # compiles, once for all processes
    verified = texts[: n // 10]
    ours, theirs, ratio = paired(lambda: kept(verified), lambda: datasketch(verified, BANDS), rounds=1 if QUICK else 3)
    result("dedup", "verified, recall of 0.99, s", ours, "datasketch, verified", theirs, ratio, len(verified), least=10)
    ours, theirs, ratio = paired(lambda: kept(texts), lambda: datasketch(texts), rounds=3)
    result("dedup", "all, s", ours, "datasketch, unverified", theirs, ratio, n, least=10)

    some = texts[:few]
    starts, elements = shingle_sets(some)
    sets = [set(elements[a:b].tolist()) for a, b in pairwise(starts)]
    alike = [(i, j) for i, j in combinations(range(few), 2) if len(sets[i] & sets[j]) >= THRESHOLD * len(sets[i] | sets[j])]
    right, mine, loose = every_pair(some), kept(some), set(datasketch(some))
    found = find_duplicates(some, threshold=THRESHOLD)
    wrong = sum(
        match is not None and similarity != len(sets[i] & sets[match]) / len(sets[i] | sets[match])
        for i, (match, similarity) in enumerate(found.iter_rows())
    )
    assert mine == right
    assert not wrong
    duplicates = set(range(few)) - right
    recall = len(duplicates - mine) / len(duplicates)
    share = len(duplicates - loose) / len(duplicates)
    result(
        "dedup",
        "recall of duplicates",
        recall,
        "all pairs",
        1.0,
        recall,
        few,
        least=1,
        similar_pairs=len(alike),
    )
    result("dedup", "texts kept", len(mine), "all pairs", len(right), len(right) / len(mine), few, least=1)
    result("dedup", "recall of datasketch", share, "all pairs", 1.0, share, few, least=0, kept=len(loose))


if __name__ == "__main__":
    main()
