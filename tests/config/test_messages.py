"""Text that is shown is not obeyed; errors are on one line, without what looks like a key or a password."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile_text import TEXTS, obeyed
from warrior_dagster.config.messages import LONGEST, all_visible, on_one_line, visible


@given(TEXTS)
def test_nothing_that_is_shown_is_obeyed(text: str) -> None:
    assert obeyed(visible(text)) == obeyed(on_one_line(text)) == set()
    assert not set("\n\t") & set(on_one_line(text))


def test_every_character_that_is_obeyed_is_shown() -> None:
    assert not [code for code in range(0x110000) if obeyed(visible(chr(code)))]


@given(TEXTS)
def test_visible_json_has_the_same_values(text: str) -> None:
    assert json.loads(visible(json.dumps([text], ensure_ascii=False))) == json.loads(json.dumps([text]))


@pytest.mark.parametrize("text", ["a\n\tb", "äöü", "日本語", "می‌خواهم", "👩‍💻", "שלום", "a\u00a0b", "\\u202e", ""])
def test_text_of_any_script_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\x1b[31m", "\\u001b[31m"), ("a\r\n", "a\\u000d\n"), ("\u202ex", "\\u202ex"), ("\U000e0041", "\\udb40\\udc41")],
)
def test_what_is_shown_is_an_escape_of_json(text: str, shown: str) -> None:
    assert visible(text) == shown


VALUES = st.recursive(
    st.one_of(TEXTS, st.none(), st.integers(), st.booleans()),
    lambda of: st.one_of(st.lists(of, max_size=3), st.tuples(of), st.dictionaries(TEXTS, of, max_size=3)),
    max_leaves=8,
)


@given(VALUES)
def test_every_text_within_a_value_is_shown(value: object) -> None:
    assert not obeyed(json.dumps(all_visible(value), ensure_ascii=False))


@pytest.mark.parametrize("words", ["hf-internal-testing/tiny is gated", "a task-specific 2048 limit", "** must be > 0", "n=4"])
def test_ordinary_words_are_not_taken_for_keys(words: str) -> None:
    assert on_one_line(words) == words


@pytest.mark.parametrize("password", ["s3cret", "s3cr@t", "s3c:r@t", "s3c?r#t"])
def test_a_password_in_an_address_is_masked_whatever_is_in_it(password: str) -> None:
    assert on_one_line(f"GET http://me:{password}@host/a@b") == "GET http://***@host/a@b"


@pytest.mark.parametrize("text", ["*" * 10**6, "sk-" * 10**6, "//" * 10**6, "bearer " + " " * 10**6])
def test_a_long_text_is_cut(text: str) -> None:
    assert len(on_one_line(text)) <= LONGEST
