"""The nearest of 20,000 references by ROUGE-L against rouge-score, in pairs of a text and a reference a second.

Ours is timed whole, from texts to table, on texts x references; pairs that it can rule out count, since rouge-score would have
to score them for the same answer. rouge-score is timed on pairs drawn from the same texts: as its `score` is called, which
tokenizes both sides each time, and with a tokenizer that only looks its tokens up, which leaves the table of the subsequence.
"""

import random
from functools import cache
from types import SimpleNamespace

from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from benchmarks.measure import QUICK, instructions, paired, result
from warrior_dagster.analysis.novelty import nearest_references

SCORER = RougeScorer(["rougeL"])
LOOKING_UP = RougeScorer(["rougeL"], tokenizer=SimpleNamespace(tokenize=cache(DefaultTokenizer().tokenize)))
PEERS = {"rouge-score": SCORER, "rouge-score, tokenized before": LOOKING_UP}


def score(reference: str, text: str, scorer: RougeScorer = SCORER) -> float:
    return float(scorer.score(reference, text)["rougeL"].fmeasure)


def rates(measure: str, texts: list[str], references: list[str], sample: int) -> None:
    """A line for each way to call the peer."""
    chance = random.Random(0)
    drawn = [(chance.choice(references), chance.choice(texts)) for _ in range(sample)]
    for name, scorer in PEERS.items():
        for pair in drawn:  # fill what is looked up
            score(*pair, scorer)
        mine, theirs, ratio = paired(
            lambda: nearest_references(texts, references),
            lambda scorer=scorer: [score(*pair, scorer) for pair in drawn],  # type: ignore[misc]
        )
        pairs = len(texts) * len(references)
        result("novelty", measure, pairs / mine, name, sample / theirs, ratio * pairs / sample, pairs, least=1000)


def largest_difference(whole: list[str], named: list[str], references: list[str]) -> tuple[float, int]:
    """Of our F1 to rouge-score's highest of all references and, for `named`, to its value for the reference named; pairs."""
    differences = []
    for text, (rouge_l, reference) in zip(whole, nearest_references(whole, references).iter_rows(), strict=True):
        scores = [score(other, text, LOOKING_UP) for other in references]
        differences.append(abs(rouge_l - max(scores)))
        assert reference == next(j for j, other in enumerate(scores) if other >= max(scores) - 1e-12)
    for text, (rouge_l, reference) in zip(named, nearest_references(named, references).iter_rows(), strict=True):
        differences.append(abs(rouge_l - (score(references[reference], text) if reference is not None else 0.0)))
    return max(differences), len(whole) * len(references) + len(named)


def main() -> None:
    n, short, long = (5_000, 2_000, 200) if QUICK else (20_000, 10_000, 1_000)
    references = instructions(n)
    asked = instructions(n + short, seed=1)[-short:]
    # Words of instructions in any order, as many as a function has: near to nothing, which leaves the most to compare.
    chance = random.Random(1)
    words = [word for text in references for word in text.split()]
    answered = [" ".join(chance.choices(words, k=chance.randint(100, 300))) for _ in range(long)]
    nearest_references(asked[:1], references[:1])  # compiles, once for all processes

    rates("pairs/s, instructions", asked, references, 500 if QUICK else 1_000)
    rates("pairs/s, texts of 200 words", answered, references, 200 if QUICK else 500)
    whole = [*asked[:1], *answered[:1]] if QUICK else [*asked[:5], *answered[:1]]
    difference, pairs = largest_difference(whole, [*asked[:500], *answered[:100]], references)
    assert difference <= 1e-12
    peer = "rouge-score"
    result("novelty", "largest difference", difference, peer, 1e-12, min(1e-12 / max(difference, 1e-300), 1e6), pairs, least=1)


if __name__ == "__main__":
    main()
