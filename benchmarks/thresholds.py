"""The texts that each threshold of deduplication removes from real short coding instructions: counts and example pairs.

Used in docs/deduplication.md. A pair is a text that is removed at this threshold but not at the next, and what it duplicates.
    python -m benchmarks.thresholds [PAIRS]
"""

import json
import random
import sys

from benchmarks.dedup import datasketch
from benchmarks.measure import instructions
from warrior_dagster.stages.curation.dedup import find_duplicates

THRESHOLDS = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def main(pairs: int) -> None:
    texts = instructions(6_552)
    loose = len(texts) - len(datasketch(texts))
    print(
        json.dumps(
            {"benchmark": "thresholds", "measure": "dropped by datasketch at 0.5, unverified", "value": loose, "n": len(texts)}
        )
    )
    for low, high in zip(THRESHOLDS, [*THRESHOLDS[1:], 2.0], strict=True):
        found = find_duplicates(texts, threshold=low).with_row_index("text").drop_nulls()
        print(json.dumps({"benchmark": "thresholds", "measure": f"dropped at {low}", "value": len(found), "n": len(texts)}))
        here = found.filter(found["similarity"] < high).rows()
        for text, other, similarity in random.Random(0).sample(here, min(pairs, len(here))):
            print(f"  {similarity:.2f}\n    {texts[other][:300]!r}\n    {texts[text][:300]!r}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
