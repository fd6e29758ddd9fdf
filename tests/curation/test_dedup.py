"""Deduplication against its definition: the all-pairs rule, written without any index."""

import random
from functools import cache

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.curation.dedup import _banding, find_duplicates

# Few distinct words and short texts, so that hypothesis meets duplicates, near-duplicates and chains all the time.
TEXTS = st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "ü", "漢", "🙂"]), max_size=5).map(" ".join), max_size=15)
THRESHOLDS = st.sampled_from([0.2, 0.5, 0.55, 0.7, 1.0])


@cache
def shingles(text: str, size: int = 1) -> frozenset[tuple[str, ...]]:
    words = text.split()
    if 0 < len(words) < size:
        return frozenset([tuple(words)])
    return frozenset(tuple(words[i : i + size]) for i in range(len(words) - size + 1))


def jaccard(a: str, b: str, size: int = 1) -> float:
    left, right = shingles(a, size), shingles(b, size)
    return len(left & right) / len(left | right) if left | right else 1.0


def all_pairs(texts: list[str], threshold: float, size: int = 1) -> list[int | None]:
    kept: list[int] = []
    decisions: list[int | None] = []
    for i, text in enumerate(texts):
        match = next((j for j in kept if jaccard(texts[j], text, size) >= threshold), None)
        if match is None:
            kept.append(i)
        decisions.append(match)
    return decisions


def duplicate_of(texts: list[str], threshold: float = 0.5, size: int = 1) -> list[int | None]:
    return find_duplicates(texts, threshold=threshold, permutations=128, shingle_words=size)["duplicate_of"].to_list()


def near_duplicates(seed: int, families: int, size: int) -> list[str]:
    """Families of texts that share between nothing and everything with their first member, in a shuffled order."""
    rng = random.Random(seed)
    vocabulary = [f"word{i}" for i in range(3000)]
    texts = []
    for _ in range(families):
        words = rng.sample(vocabulary, size)
        texts.append(" ".join(words))
        for _ in range(4):
            fresh = rng.randrange(size // 2)
            texts.append(" ".join(rng.sample(words, size - fresh) + rng.sample(vocabulary, fresh)))
    rng.shuffle(texts)
    return texts


@given(TEXTS, THRESHOLDS, st.integers(1, 3))
def test_every_duplicate_names_an_earlier_kept_text_with_its_exact_similarity(
    texts: list[str], threshold: float, size: int
) -> None:
    found = find_duplicates(texts, threshold=threshold, permutations=128, shingle_words=size)
    assert found.schema == {"duplicate_of": pl.Int64, "similarity": pl.Float64}
    assert found.height == len(texts)
    kept = {i for i, j in enumerate(found["duplicate_of"]) if j is None}
    for i, (j, similarity) in enumerate(found.iter_rows()):
        if j is None:
            assert similarity is None
        else:
            assert j < i
            assert j in kept
            assert similarity == jaccard(texts[i], texts[j], size) >= threshold


@given(TEXTS, st.integers(1, 3))
def test_equal_sets_of_shingles_are_always_found(texts: list[str], size: int) -> None:
    assert duplicate_of(texts, threshold=1.0, size=size) == all_pairs(texts, 1.0, size)


@given(TEXTS, THRESHOLDS)
def test_no_two_kept_texts_have_the_same_words_at_any_threshold(texts: list[str], threshold: float) -> None:
    decisions = duplicate_of(texts, threshold)
    kept = [frozenset(text.split()) for text, decision in zip(texts, decisions, strict=True) if decision is None]
    assert len(kept) == len(set(kept))


@given(TEXTS, TEXTS, THRESHOLDS)
def test_appending_texts_changes_no_earlier_decision(texts: list[str], more: list[str], threshold: float) -> None:
    before = find_duplicates(texts, threshold=threshold, permutations=128)
    after = find_duplicates(texts + more, threshold=threshold, permutations=128)
    assert after.head(len(texts)).equals(before)


@pytest.mark.parametrize(("threshold", "shared", "own"), [(0.5, 10, 5), (0.5, 60, 30), (0.7, 14, 3), (0.9, 18, 1)])
def test_pairs_exactly_at_the_threshold_are_found_with_the_recall_that_is_promised(
    threshold: float, shared: int, own: int
) -> None:
    # The hardest pairs there are. No word occurs in two pairs, so only a pair's own two texts can match. The texts are
    # fixed; twice the promised share of misses allows for 1,000 pairs being a sample.
    texts = []
    for pair in range(1000):
        words = [f"{pair}.{i}" for i in range(shared + 2 * own)]
        texts += [" ".join(words[: shared + own]), " ".join(words[:shared] + words[shared + own :])]
    assert jaccard(texts[0], texts[1]) == threshold
    found = duplicate_of(texts, threshold)
    assert found[::2] == [None] * 1000
    assert sum(j is None for j in found[1::2]) <= 2 * 0.005 * 1000


@pytest.mark.parametrize("size", [10, 40])
def test_it_agrees_with_all_pairs_on_texts_of_every_likeness(size: int) -> None:
    # Likenesses from 0.33 to 1, few of them at the threshold: here nearly nothing may be missed.
    texts = near_duplicates(seed=size, families=60, size=size)
    expected, found = all_pairs(texts, 0.5), duplicate_of(texts)
    assert 60 < sum(j is not None for j in expected) < 240
    assert sum(a != b for a, b in zip(found, expected, strict=True)) <= 0.005 * len(texts)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("permutations", [64, 100, 128, 256])
def test_bands_reach_the_recall_with_no_shorter_a_band_than_needed(threshold: float, permutations: int) -> None:
    def recall(bands: int, rows: int) -> float:
        return 1 - (1 - threshold**rows) ** bands

    bands, rows = _banding(threshold, permutations)
    assert bands * rows <= permutations
    assert recall(bands, rows) >= 0.995
    assert rows == permutations or recall(permutations // (rows + 1), rows + 1) < 0.995


def test_the_published_setting_takes_bands_of_three() -> None:
    assert _banding(0.5, 128) == (42, 3)


def test_bands_fall_back_to_single_rows_when_the_recall_is_out_of_reach() -> None:
    assert _banding(0.01, 128) == (128, 1)


def test_a_chain_is_cut_where_a_text_resembles_no_kept_one() -> None:
    # a ~ b and b ~ c, but a !~ c: b goes, and c, whose only likeness is gone, stays.
    texts = ["1 2 3 4 5 6 7 8", "3 4 5 6 7 8 9 10", "5 6 7 8 9 10 11 12"]
    assert [jaccard(texts[i], texts[j]) for i, j in [(0, 1), (1, 2), (0, 2)]] == [0.6, 0.6, 1 / 3]
    assert duplicate_of(texts) == [None, 0, None]


def test_the_earliest_of_several_likenesses_is_named_even_if_a_later_one_is_closer() -> None:
    texts = ["1 2 3 4 5 6", "5 6 7 8 9 10", "1 2 3 4 5 6 7 8 9 10"]
    assert duplicate_of([*texts[:2], "4 5 6 7 8 9 10", texts[2]]) == [None, None, 1, 0]


def test_a_similarity_of_exactly_the_threshold_is_enough() -> None:
    # In floating point 0.56 * 25 exceeds 14, while 14 / 25 is 0.56.
    words = [str(i) for i in range(25)]
    assert duplicate_of([" ".join(words), " ".join(words[:14])], threshold=0.56) == [None, 0]
    assert duplicate_of([" ".join(words), " ".join(words[:13])], threshold=0.56) == [None, None]


def test_order_and_repetition_of_words_do_not_matter_but_case_does() -> None:
    assert duplicate_of(["sort a list", "list  a\nsort sort", "Sort A List"]) == [None, 0, None]


def test_longer_shingles_make_the_order_of_words_matter() -> None:
    texts = ["sort the list of words", "words of the list sort", "sort  the list of words"]
    assert duplicate_of(texts, size=2) == [None, None, 0]


def test_a_text_shorter_than_a_shingle_is_its_own_only_shingle() -> None:
    assert duplicate_of(["a b", "a c", "a  b", "a b c"], size=3) == [None, None, 0, None]


@pytest.mark.parametrize("size", [1, 2])
def test_texts_without_words_are_duplicates_of_one_another_only(size: int) -> None:
    assert duplicate_of(["a", "", " \n\t", "\u3000", "b"], size=size) == [None, None, 1, 1, None]


def test_no_text_and_one_text_and_all_equal() -> None:
    assert duplicate_of([]) == []
    assert duplicate_of(["a"]) == [None]
    assert duplicate_of(["a b c"] * 50) == [None] + [0] * 49


@pytest.mark.parametrize(
    "wrong",
    [{"threshold": 0.0}, {"threshold": 1.1}, {"threshold": float("nan")}, {"permutations": 0}, {"shingle_words": 0}],
)
def test_arguments_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        find_duplicates(["a"], **({"threshold": 0.5, "permutations": 128} | wrong))  # type: ignore[arg-type]
