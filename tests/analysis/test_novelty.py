"""The nearest reference by ROUGE-L, compared with rouge-score on all pairs."""

import random

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from warrior_dagster.analysis import novelty
from warrior_dagster.analysis.novelty import nearest_references

SCORER = RougeScorer(["rougeL"])

# Few distinct tokens, so that ties and repeats are common, and some that the tokenizer folds, splits or drops.
WORDS = st.sampled_from(["a", "A", "b", "c", "d", "a-b", "b_c", "é", "caé", "한", "🙂", "İ", "\udc80", "...", "7", "\n"])
TEXTS = st.lists(st.lists(WORDS, max_size=8).map(" ".join), max_size=8)
# Few distinct tokens, mixed or in runs, with lengths around multiples of 64 bits, so that carries cross words of bits,
# including words without a match.
LENGTHS = st.sampled_from([1, 2, 62, 63, 64, 65, 66, 126, 127, 128, 129, 130, 191, 192, 193])
MIXED = st.builds(
    lambda tokens, length, seed: drawn("abc"[:tokens], length, seed), st.integers(1, 3), LENGTHS, st.integers(0, 99)
)
RUNS = st.builds(lambda token, length: drawn(token, length, 0), st.sampled_from("abc"), LENGTHS)
LONG = st.lists(MIXED | RUNS, max_size=3).map(" ".join)


def drawn(tokens: str, length: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(tokens, k=length))


def score(reference: str, text: str) -> float:
    return float(SCORER.score(reference, text)["rougeL"].fmeasure)


def assert_equals_rouge_score(texts: list[str], references: list[str]) -> None:
    found = nearest_references(texts, references)
    assert found.schema == {"rouge_l": pl.Float64, "reference": pl.Int64}
    assert len(found) == len(texts)
    for text, (rouge_l, reference) in zip(texts, found.iter_rows(), strict=True):
        scores = [score(other, text) for other in references]
        highest = max(scores, default=0.0)
        if highest == 0:
            assert (rouge_l, reference) == (0.0, None)
        else:
            # Equal fractions may be rounded differently. Different fractions of such short texts are much further apart.
            assert reference == next(j for j, other in enumerate(scores) if other > highest - 1e-9)
            assert rouge_l == scores[reference]
            assert rouge_l == pytest.approx(highest, rel=0, abs=1e-12)


@given(TEXTS, TEXTS)
@example(["a b c"], [])
@example([], ["a b c"])
@example(["", "...", "🙂"], ["", "...", "a"])
@example(["a a b"] * 3, ["a a b"] * 3)
@example(["a b"], ["b a", "a b", "A-B"])
def test_results_equal_rouge_score(texts: list[str], references: list[str]) -> None:
    assert_equals_rouge_score(texts, references)


@given(st.lists(LONG, max_size=2), st.lists(LONG, max_size=3))
def test_results_equal_rouge_score_for_texts_of_several_words_of_bits(texts: list[str], references: list[str]) -> None:
    assert_equals_rouge_score(texts, references)


def test_results_equal_rouge_score_for_very_long_texts() -> None:
    assert_equals_rouge_score([drawn("abcdefgh", 2100, 0)], [drawn("abcdefgh", length, 1) for length in (40, 500, 2200)])


def test_results_equal_rouge_score_among_many_similar_references() -> None:
    # The order of the tokens decides: by shared tokens alone most references could be the nearest.
    references = [drawn("abcdef", 5 + seed % 20, seed) for seed in range(300)]
    assert_equals_rouge_score([drawn("abcdef", 3 + seed, -1 - seed) for seed in range(25)], references)


def test_a_carry_crosses_words_of_bits_without_a_match() -> None:
    assert_equals_rouge_score(["a" + " x" * length + " a" for length in (63, 127, 128, 200)], ["a", "x a"])


def test_of_equal_scores_the_lowest_index_is_returned() -> None:
    # 2 * 2 / (2 + 6) and 2 * 1 / (2 + 2) are the same fraction.
    references = ["x y", "a b y y y y", "a b c y y y y y", "a y", "a b c y y y y y y"]
    assert nearest_references(["a b"], references).row(0) == (0.5, 1)
    assert nearest_references(["a b"], [references[3], *references]).row(0) == (0.5, 0)
    # The later one shares more tokens, but no longer subsequence.
    assert nearest_references(["a b c"], ["a b x", "b a c"]).row(0) == (score("a b x", "a b c"), 0)


def test_equal_fractions_that_rouge_score_rounds_differently_are_a_tie() -> None:
    # 2 * 1 / (2 + 4) and 2 * 2 / (2 + 10) computed from precision and recall: the later one is one bit higher.
    references = ["a x x x", "a b x x x x x x x x"]
    assert score(references[0], "a b") < score(references[1], "a b")
    assert nearest_references(["a b"], references).row(0) == (score(references[0], "a b"), 0)
    assert nearest_references(["a b"], references[::-1]).row(0) == (score(references[1], "a b"), 0)


@given(TEXTS, TEXTS.filter(len))
def test_a_text_that_is_also_a_reference_scores_one(texts: list[str], references: list[str]) -> None:
    found = nearest_references(references, [*texts, *references])
    tokens = [score(text, text) for text in references]
    assert found["rouge_l"].to_list() == tokens
    assert set(tokens) <= {0.0, 1.0}


@given(TEXTS, TEXTS)
def test_each_result_is_independent_of_the_other_texts(texts: list[str], references: list[str]) -> None:
    alone = [nearest_references([text], references) for text in texts]
    assert nearest_references(texts, references).rows() == [found.row(0) for found in alone]


@pytest.mark.parametrize("chunk", [1, 2, 7, 39, 40, 41])
def test_the_chunk_size_does_not_matter(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [drawn("abcdef", 1 + seed % 9, seed) for seed in range(40)]
    references = [drawn("abcdef", 1 + seed % 9, seed) for seed in range(100, 130)]
    expected = nearest_references(texts, references)
    monkeypatch.setattr(novelty, "CHUNK", chunk)
    assert nearest_references(texts, references).equals(expected)


def test_tokens_that_no_reference_has_count_towards_the_length() -> None:
    assert nearest_references(["a new b", "new new", "new a new"], ["a b", "b a"]).rows() == [(0.8, 0), (0.0, None), (0.4, 0)]


@pytest.mark.parametrize("distinct", [300, 80_000])
def test_any_number_of_distinct_tokens_is_supported(distinct: int) -> None:
    tokens = [f"t{i}" for i in range(distinct)]
    references = [" ".join(tokens[start : start + 20]) for start in range(0, distinct, 20)]
    texts = [" ".join(tokens[start : start + 10]) for start in range(0, distinct, 20)]
    found = nearest_references(texts, references)
    assert found["reference"].to_list() == list(range(len(references)))
    assert found["rouge_l"].unique().to_list() == [score(references[0], texts[0])]


def test_repeated_tokens_count_as_often_as_both_texts_have_them() -> None:
    # Counting distinct tokens, or the tokens of one side only, would put the first reference ahead.
    assert nearest_references(["a a a b c d"], ["a b c d", "a a a a a a", "a a a b x x"]).row(0) == (
        score("a b c d", "a a a b c d"),
        0,
    )
    assert nearest_references(["a a a a"], ["a b", "a a b b", "a a a b"]).row(0) == (0.75, 2)


def test_empty_inputs_give_no_rows() -> None:
    assert nearest_references([], []).schema == {"rouge_l": pl.Float64, "reference": pl.Int64}
    assert nearest_references([], []).is_empty()


def test_a_character_of_a_script_without_spaces_is_a_token() -> None:
    found = nearest_references(["反转一个list"], ["反转字符串", "排序一个list"])
    assert found.rows() == [(pytest.approx(3 * 2 / 10), 1)]
