"""Deduplication against the definition: a comparison of all pairs, without any index."""

import random
from functools import cache
from itertools import combinations, pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stages.curation.examples import ROSTER, mined
from warrior_dagster.config.stages import Deduplication
from warrior_dagster.stages.curation import dedup, jaccard
from warrior_dagster.stages.curation.dedup import find_duplicates, mark_duplicates, shingle_sets
from warrior_dagster.words import pieces

# Few distinct words and short texts, so that hypothesis often finds duplicates, near-duplicates and chains.
TEXTS = st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "ü", "漢", "🙂"]), max_size=5).map(" ".join), max_size=15)
THRESHOLDS = st.sampled_from([0.2, 0.5, 0.55, 0.7, 1.0])


@cache
def shingles(text: str, size: int = 1) -> frozenset[tuple[str, ...]]:
    words = [piece for word in text.split() for piece in pieces(word)]
    if 0 < len(words) < size:
        return frozenset([tuple(words)])
    return frozenset(tuple(words[i : i + size]) for i in range(len(words) - size + 1))


def jaccard_of(a: str, b: str, size: int = 1) -> float:
    left, right = shingles(a, size), shingles(b, size)
    return len(left & right) / len(left | right) if left | right else 1.0


def all_pairs(texts: list[str], threshold: float, size: int = 1) -> list[int | None]:
    kept: list[int] = []
    decisions: list[int | None] = []
    for i, text in enumerate(texts):
        match = next((j for j in kept if jaccard_of(texts[j], text, size) >= threshold), None)
        if match is None:
            kept.append(i)
        decisions.append(match)
    return decisions


def duplicate_of(texts: list[str], threshold: float = 0.5, size: int = 1) -> list[int | None]:
    return find_duplicates(texts, threshold=threshold, shingle_words=size)["duplicate_of"].to_list()


SAME_TASK = [
    (
        "写一个Python函数，接收一个字符串列表，返回其中最长的字符串，如果有多个则返回第一个。",
        "写一个Python函数，接收一个整数列表，返回其中最长的字符串，如果有多个则返回第一个。",
    ),
    (
        "文字列のリストを受け取り、最も長い文字列を返すPython関数を書いてください。",
        "単語のリストを受け取り、最も長い文字列を返すPython関数を書いてください。",
    ),
    (
        "เขียนฟังก์ชัน Python ที่รับรายการของสตริงและคืนค่าสตริงที่ยาวที่สุดในรายการนั้น",
        "เขียนฟังก์ชัน Python ที่รับรายการของคำและคืนค่าสตริงที่ยาวที่สุดในรายการนั้น",
    ),
]
"""Requests in which one noun is another."""
OTHER_TASKS = [
    "写一个Python函数，接收一个整数列表，返回所有偶数的平方和，如果列表为空则返回零。",
    "写一个Python函数，判断一个字符串是否是回文，忽略大小写和标点符号。",
    "如何用Python读取一个很大的CSV文件，并且按照某一列的值进行分组统计？",
    "写一个函数，反转一个链表。",
    "写一个函数，反转一个字符串。",
    "整数のリストを受け取り、偶数の二乗の合計を返すPython関数を書いてください。",
    "与えられた文字列が回文かどうかを判定するPython関数を書いてください。",
    "次のコードは空のリストを渡すと例外が発生します。原因を見つけて修正してください。",
    "เขียนฟังก์ชัน Python ที่รับรายการของจำนวนเต็มและคืนค่าผลรวมของกำลังสองของเลขคู่",
    "เขียนฟังก์ชัน Python เพื่อตรวจสอบว่าสตริงเป็นพาลินโดรมหรือไม่",
    "อธิบายการทำงานของเดคอเรเตอร์ในภาษา Python พร้อมตัวอย่างการบันทึกเวลาทำงานของฟังก์ชัน",
]


def test_near_duplicates_in_scripts_without_spaces_are_found_and_other_tasks_are_kept() -> None:
    texts = [*OTHER_TASKS, *(text for pair in SAME_TASK for text in pair)]
    first = len(OTHER_TASKS)
    expected = [None] * first + [None, first, None, first + 2, None, first + 4]
    assert duplicate_of(texts, Deduplication().threshold) == expected


def near_duplicates(seed: int, families: int, size: int) -> list[str]:
    """Shuffled families of texts that share from none to all of their words with the first member."""
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
    found = find_duplicates(texts, threshold=threshold, shingle_words=size)
    assert found.schema == {"duplicate_of": pl.Int64, "similarity": pl.Float64}
    assert found.height == len(texts)
    kept = {i for i, j in enumerate(found["duplicate_of"]) if j is None}
    for i, (j, similarity) in enumerate(found.iter_rows()):
        if j is None:
            assert similarity is None
        else:
            assert j < i
            assert j in kept
            assert similarity == jaccard_of(texts[i], texts[j], size) >= threshold


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
    before = find_duplicates(texts, threshold=threshold)
    after = find_duplicates(texts + more, threshold=threshold)
    assert after.head(len(texts)).equals(before)


@pytest.mark.parametrize("block", [1, 7, 8192])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.56, 0.9])
@pytest.mark.parametrize("size", [2, 10, 40, 300])
def test_results_equal_all_pairs_for_texts_of_any_similarity_and_length(
    size: int, threshold: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jaccard, "BLOCK", block)
    texts = near_duplicates(seed=size, families=40, size=size)
    texts += [" ".join(text.split()[: size // 2]) for text in texts[:40]]  # and of different lengths
    assert duplicate_of(texts, threshold) == all_pairs(texts, threshold)


@given(TEXTS, THRESHOLDS, st.integers(1, 3), st.sampled_from([1, 3, 8192]))
def test_results_equal_all_pairs_for_any_block_size(texts: list[str], threshold: float, size: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaccard, "BLOCK", block)
        assert duplicate_of(texts, threshold, size) == all_pairs(texts, threshold, size)


@pytest.mark.parametrize(("shared", "own"), [(10, 5), (60, 30)])
def test_a_thousand_pairs_exactly_at_the_threshold_are_all_found(shared: int, own: int) -> None:
    texts = []
    for pair in range(1000):
        words = [f"{pair}.{i}" for i in range(shared + 2 * own)]
        texts += [" ".join(words[: shared + own]), " ".join(words[:shared] + words[shared + own :])]
    assert jaccard_of(texts[0], texts[1]) == 0.5
    assert duplicate_of(texts, 0.5) == [None if i % 2 == 0 else i - 1 for i in range(2000)]


@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=8), max_size=6), st.integers(1, 3), st.sampled_from([1, 2, 50_000])
)
def test_words_are_the_pieces_of_what_str_split_gives(texts: list[str], size: int, part: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedup, "SLICE", part)
        starts, elements = shingle_sets(texts, size)
    sets = [elements[a:b].tolist() for a, b in pairwise(starts)]
    assert all(own == sorted(set(own)) for own in sets)
    expected = [shingles(text, size) or frozenset([()]) for text in texts]
    assert [len(own) for own in sets] == [len(own) for own in expected]
    numbers = {
        number: words for own, words in zip(sets, expected, strict=True) if len(own) == 1 for number, words in [(own[0], words)]
    }
    assert all(numbers[own[0]] == words for own, words in zip(sets, expected, strict=True) if len(own) == 1)
    for (a, own_a), (b, own_b) in combinations(zip(expected, sets, strict=True), 2):
        assert len(a & b) == len(set(own_a) & set(own_b))


def test_a_text_similar_only_to_a_dropped_one_is_kept() -> None:
    # a ~ b and b ~ c, but a !~ c: b is dropped, and c is kept because the only similar text is gone.
    texts = ["1 2 3 4 5 6 7 8", "3 4 5 6 7 8 9 10", "5 6 7 8 9 10 11 12"]
    assert [jaccard_of(texts[i], texts[j]) for i, j in [(0, 1), (1, 2), (0, 2)]] == [0.6, 0.6, 1 / 3]
    assert duplicate_of(texts) == [None, 0, None]


def test_the_earliest_similar_text_is_reported_even_if_a_later_one_is_closer() -> None:
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


def test_a_text_shorter_than_a_shingle_is_one_shingle() -> None:
    assert duplicate_of(["a b", "a c", "a  b", "a b c"], size=3) == [None, None, 0, None]


@pytest.mark.parametrize("size", [1, 2])
def test_texts_without_words_duplicate_only_one_another(size: int) -> None:
    assert duplicate_of(["a", "", " \n\t", "\u3000", "b"], size=size) == [None, None, 1, 1, None]


def test_no_texts_one_text_and_equal_texts() -> None:
    assert duplicate_of([]) == []
    assert duplicate_of(["a"]) == [None]
    assert duplicate_of(["a b c"] * 50) == [None] + [0] * 49


@pytest.mark.parametrize(
    "wrong",
    [{"threshold": 0.0}, {"threshold": 1.1}, {"threshold": float("nan")}, {"shingle_words": 0}],
)
def test_arguments_out_of_range_are_rejected(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        find_duplicates(["a"], **({"threshold": 0.5} | wrong))  # type: ignore[arg-type]


def test_the_first_in_roster_order_is_kept_and_duplicates_name_it() -> None:
    texts = {"ann": ["sort a list of words", "new"], "zed": ["sort a list of words", ""], "bob": ["new"]}
    marked = {r["row_id"]: r for r in mark_duplicates(mined(texts), ROSTER, Deduplication()).to_dicts()}
    assert {k for k, r in marked.items() if r["kept"]} == {"zed0", "ann1"}
    assert (marked["ann0"]["duplicate_of"], marked["ann0"]["similarity"]) == ("zed0", 1.0)
    assert marked["bob0"]["duplicate_of"] == "ann1"
    assert marked["zed0"]["duplicate_of"] is None
    assert "zed1" not in marked


def test_the_same_task_in_two_languages_is_two_instructions_and_within_each_language_one() -> None:
    task = "Write a function in {} that removes all vowels from a given string."
    texts = [task.format("Python"), task.format("Rust"), task.format("Python 3"), task.format("Rust 2021")]
    marked = mark_duplicates(mined({"zed": texts}, ("Python", "Rust")), ["zed"], Deduplication())
    assert all(jaccard_of(texts[0], text) >= Deduplication().threshold for text in texts)
    assert marked["kept"].to_list() == [True, True, False, False]
    assert marked["duplicate_of"].to_list() == [None, None, "zed0", "zed1"]


def test_of_one_text_mined_for_two_languages_the_first_is_kept_and_no_usable_text_gives_no_row() -> None:
    marked = mark_duplicates(mined({"zed": ["sort a list of words"] * 2}, ("Python", "Rust")), ROSTER, Deduplication())
    assert marked.select("kept", "duplicate_of", "similarity").rows() == [(True, None, None), (False, "zed0", 1.0)]
    none = mark_duplicates(mined({"zed": ["", ""]}, ("Python", "Rust")), ROSTER, Deduplication())
    assert none.is_empty()
    assert none.schema == marked.schema


def by_language(texts: list[str], languages: list[str], threshold: float) -> list[int | None]:
    """The definition: all pairs within a language; of equal kept texts of several languages only the first is kept, and what
    duplicates another one duplicates it.
    """
    decisions: list[int | None] = [None] * len(texts)
    for language in set(languages):
        own = [i for i, one in enumerate(languages) if one == language]
        for i, match in zip(own, all_pairs([texts[i] for i in own], threshold), strict=True):
            decisions[i] = None if match is None else own[match]
    kept = [i for i, match in enumerate(decisions) if match is None]
    first = {i: next(j for j in kept if texts[j] == texts[i]) for i in kept}
    originals = [first[i if match is None else match] for i, match in enumerate(decisions)]
    return [None if original == i else original for i, original in enumerate(originals)]


@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=5).map(" ".join), max_size=12),
    st.sampled_from([("Python",), ("Python", "Rust"), ("Rust", "Go", "Python")]),
    THRESHOLDS,
)
def test_marking_equals_all_pairs_within_each_language(texts: list[str], languages: tuple[str, ...], threshold: float) -> None:
    marked = mark_duplicates(
        mined({"zed": ["a", *texts], "ann": texts[:3]}, languages), ROSTER, Deduplication(threshold=threshold)
    )
    every, of = marked["instruction"].to_list(), marked["language"].to_list()
    expected = by_language(every, of, threshold)
    ids = marked["instruction_id"].to_list()
    assert marked["duplicate_of"].to_list() == [None if i is None else ids[i] for i in expected]
    assert marked["kept"].to_list() == [i is None for i in expected]
    similarities = [None if j is None else jaccard_of(every[i], every[j]) for i, j in enumerate(expected)]
    assert marked["similarity"].to_list() == similarities
    assert not marked.filter("kept")["instruction"].is_duplicated().any()


WORD_LISTS = st.lists(st.text("abc ", min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=6)


@given(st.tuples(WORD_LISTS, WORD_LISTS, WORD_LISTS), WORD_LISTS, st.sampled_from([("Python",), ("Python", "Rust")]))
def test_a_later_competitor_and_more_samples_change_no_earlier_row(
    texts: tuple[list[str], ...], more: list[str], languages: tuple[str, ...]
) -> None:
    few = mark_duplicates(mined(dict(zip(ROSTER[:2], texts, strict=False)), languages), ROSTER, Deduplication())
    appended = mark_duplicates(mined(dict(zip(ROSTER, texts, strict=True)), languages), ROSTER, Deduplication())
    assert appended.filter(pl.col("competitor") != "bob").equals(few)
    longer = mark_duplicates(mined({"zed": texts[0] + more}, languages), ROSTER, Deduplication())
    assert longer.head(len(texts[0])).equals(few.filter(competitor="zed"))
