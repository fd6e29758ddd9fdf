"""A secret that the client knows is found in whatever spelling a server repeats it."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from warrior_dagster.inference.known_secrets import SHORTEST, repeats, spellings, without

KEYS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=SHORTEST, max_size=40)
TEXTS = st.text(max_size=10)


@given(TEXTS, KEYS)
def test_the_api_key_is_masked_wherever_it_stands_and_however_it_is_written(text: str, key: str) -> None:
    for written in (key, json.dumps(key)[1:-1], repr(key)[1:-1], quote(key), quote(key, safe="")):
        assert written not in without(spellings(key, ()), f"{text}{written}{text}").replace("***", "")


@given(TEXTS, KEYS)
def test_a_key_is_found_in_json_wherever_it_stands(text: str, key: str) -> None:
    secrets, told = spellings(key, ()), f"{text}{key}{text}"
    assert all(repeats(secrets, value) for value in (told, [{"a": told}], {told: 1}, [None, [told]]))
    assert not repeats(secrets, [{"a": key[:-1]}, key[1:]])


def test_the_password_of_a_proxy_is_a_secret_as_it_is_and_in_its_header() -> None:
    secrets = spellings(None, [None, URL("http://proxy:1"), URL("http://me:pass%20word@proxy:1")])
    assert without(secrets, "pass word, pass%20word, Basic bWU6cGFzcyB3b3Jk") == "***, ***, Basic ***"


@pytest.mark.parametrize("key", [None, "", "EMPTY", "sk-1234"])
def test_a_placeholder_is_no_secret(key: str | None) -> None:
    assert spellings(key, ()) == ()
    assert not repeats((), "anything")
