"""The nearest of 20,000 references by ROUGE-L, compared with rouge-score, in pairs of a text and a reference per second.

Ours is timed from texts to table. Pairs that it can rule out count, because rouge-score has to score them for the same result.
rouge-score is timed on pairs drawn from the same texts: with its `score`, which tokenizes both sides each time, and with a
tokenizer that looks tokens up, so that only the longest common subsequence is timed.
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
    """Print a result for each way to call the peer."""
    chance = random.Random(0)
    drawn = [(chance.choice(references), chance.choice(texts)) for _ in range(sample)]
    for name, scorer in PEERS.items():
        for pair in drawn:  # fill the cache
            score(*pair, scorer)
        mine, theirs, ratio = paired(
            lambda: nearest_references(texts, references),
            lambda scorer=scorer: [score(*pair, scorer) for pair in drawn],  # type: ignore[misc]
        )
        pairs = len(texts) * len(references)
        result("novelty", measure, pairs / mine, name, sample / theirs, ratio * pairs / sample, pairs, least=1000)


def largest_difference(whole: list[str], named: list[str], references: list[str]) -> tuple[float, int]:
    """Largest F1 difference to rouge-score, for all references (`whole`) or the one found (`named`), and number of pairs."""
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
    short_texts = instructions(n + short, seed=1)[-short:]
    # Random words, as many as a function has: such texts resemble no reference, so the most pairs have to be compared.
    chance = random.Random(1)
    words = [word for text in references for word in text.split()]
    long_texts = [" ".join(chance.choices(words, k=chance.randint(100, 300))) for _ in range(long)]
    nearest_references(short_texts[:1], references[:1])  # compiles, once for all processes

    rates("pairs/s, instructions", short_texts, references, 500 if QUICK else 1_000)
    rates("pairs/s, texts of 200 words", long_texts, references, 200 if QUICK else 500)
    whole = [*short_texts[:1], *long_texts[:1]] if QUICK else [*short_texts[:5], *long_texts[:1]]
    difference, pairs = largest_difference(whole, [*short_texts[:500], *long_texts[:100]], references)
    assert difference <= 1e-12
    peer = "rouge-score"
    result("novelty", "largest difference", difference, peer, 1e-12, min(1e-12 / max(difference, 1e-300), 1e6), pairs, least=1)


if __name__ == "__main__":
    main()
