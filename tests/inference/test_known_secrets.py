"""A secret that the client knows is found in whatever spelling a server repeats it."""

import html
import json
from base64 import b64encode
from collections.abc import Callable
from string import printable
from urllib.parse import quote, unquote

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


def escaped(pattern: str, characters: str) -> Callable[[str], str]:
    return lambda key: "".join(pattern.format(ord(c)) if c in characters else c for c in key)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "PHP": lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
    "Go": lambda key: escaped("\\u{:04x}", "<>&")(json.dumps(key)[1:-1]),
    ".NET": escaped("\\u{:04X}", "+&<>'\"`"),
    "every character": escaped("\\u{:04x}", printable),
    "Python's bytes": escaped("\\x{:02x}", '"+/'),
    "JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "HTML": html.escape,
    "numbers in HTML": escaped("&#{:d};", '+/"&<>='),
    "hexadecimal numbers in HTML": escaped("&#x{:X};", '+/"&<>='),
    "a URL in small letters": escaped("%{:02x}", '+/"&<>='),
    "the password of basic authentication": lambda key: b64encode(f":{key}".encode()).decode(),
    "base64": lambda key: b64encode(key.encode()).decode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("key", ['abC1+/d"e&f<gh==Z9Z9Z9', "+/+/+/+/+/+/", "c29t/ZS1r+ZXk=", "abc+defghijklmnopqr+stu"])
def test_a_key_in_the_escapes_of_other_programs_is_masked(key: str, spelling: str) -> None:
    told = SPELLINGS[spelling](key)
    shown = without(spellings(key, ()), f"invalid key {told} (request 1)")
    for text in (shown, unquote(shown), html.unescape(shown), shown.encode().decode("unicode_escape")):
        assert not any(key[at : at + SHORTEST] in text for at in range(len(key) - SHORTEST))
    assert told not in shown


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_a_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert without(spellings("sk-planted-secret", ()), text) == text


def test_the_password_of_a_proxy_is_a_secret_as_it_is_and_in_its_header() -> None:
    secrets = spellings(None, [None, URL("http://proxy:1"), URL("http://me:pass%20word@proxy:1")])
    assert without(secrets, "pass word, pass%20word, Basic bWU6cGFzcyB3b3Jk") == "***, ***, Basic ***"


@pytest.mark.parametrize("key", [None, "", "EMPTY", "sk-1234"])
def test_a_placeholder_is_no_secret(key: str | None) -> None:
    assert spellings(key, ()) == ()
    assert not repeats((), "anything")
