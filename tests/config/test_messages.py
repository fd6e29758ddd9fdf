"""Errors are shown on one line, and without what looks like a key or a password."""

import pytest

from warrior_dagster.config.messages import LONGEST, on_one_line


@pytest.mark.parametrize("words", ["hf-internal-testing/tiny is gated", "a task-specific 2048 limit", "** must be > 0", "n=4"])
def test_ordinary_words_are_not_taken_for_keys(words: str) -> None:
    assert on_one_line(words) == words


@pytest.mark.parametrize("password", ["s3cret", "s3cr@t", "s3c:r@t", "s3c?r#t"])
def test_a_password_in_an_address_is_masked_whatever_is_in_it(password: str) -> None:
    assert on_one_line(f"GET http://me:{password}@host/a@b") == "GET http://***@host/a@b"


@pytest.mark.parametrize("text", ["*" * 10**6, "sk-" * 10**6, "//" * 10**6, "bearer " + " " * 10**6])
def test_a_long_text_is_cut(text: str) -> None:
    assert len(on_one_line(text)) <= LONGEST
