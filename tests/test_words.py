"""A text in an alphabet has the words that it always had; scripts without spaces are cut."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.words import SPACELESS, pieces

ALPHABETS = st.characters(max_codepoint=0x0DFF, exclude_categories=["Zs", "Zl", "Zp", "Cs"])
"""Latin, Greek, Cyrillic, Hebrew, Arabic and the scripts of India, with signs, digits and control characters."""


@given(st.text(ALPHABETS | st.sampled_from("—“”’…→🙂한글"), min_size=1))
def test_a_word_of_an_alphabet_is_one_piece(word: str) -> None:
    assert pieces(word) == [word]


@given(st.text(ALPHABETS | st.sampled_from("写一个函数リストをスーของラーភាសာမြန်")))
def test_nothing_of_a_word_is_lost_and_a_piece_has_at_most_two_characters_without_spaces(word: str) -> None:
    found = pieces(word)
    assert set("".join(found)) == set(word)
    assert all(re.search(f"[{SPACELESS}]{{3}}", piece) is None for piece in found)
    assert not any(re.search(f"[{SPACELESS}]", piece) and re.search(f"[^{SPACELESS}]", piece) for piece in found)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("写一个Python函数，好", ["写一", "一个", "Python", "函数", "，", "好"]),
        ("時々", ["時々"]),
        ("データ", ["デー", "ータ"]),
        ("ค่า", ["ค่", "่า"]),
    ],
)
def test_neighbours_make_pairs_and_other_runs_stay_whole(word: str, found: list[str]) -> None:
    assert pieces(word) == found
