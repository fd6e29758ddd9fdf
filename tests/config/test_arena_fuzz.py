"""Any text as an arena's YAML: an arena, or an error with a line for each mistake, which names the file, line and key."""

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.config.test_arena import ARENAS, GOOD
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import ArenaError, load_arena

TEXTS = {path.stem: path.read_text("utf-8") for path in sorted(ARENAS.glob("*.yaml"))}
SCALARS = [
    *("yes", "no", "on", "true", "null", "~", "''", "010", "0o7", "0x1F", "0b1", "1_000", "1__", "12:30", "2024-01-01", "1e3"),
    *(
        ".nan",
        "-.inf",
        "1e999",
        "-1",
        "0",
        "0.5",
        "1" * 30,
        "1" * 5_000,
        "nan",
        "@daily",
        "'@daily'",
        "%",
        "`",
        "=",
        "<<",
        "*a",
    ),
    *("&a 1", "!!int x", "!!str 1", "!!binary aGk=", "!!set {a}", "!x y", "~no_such_user", "~", "$HOME", "s4://x", "file:///x"),
    *(
        "a...b",
        "a__b",
        "'a,b'",
        '"a\\0b"',
        '"\\ud800"',
        '"\\UFFFFFFFF"',
        '"\\n"',
        "'\u2028'",
        "|\n",
        ">-\n",
        "[",
        "{",
        "]",
        "'",
        '"',
    ),
    *(
        "{}",
        "[]",
        "[[]]",
        "[{}]",
        "{a: b}",
        "{1: 2}",
        "{[a]: b}",
        "&a [*a]",
        "&a {<<: *a}",
        "{<<: 3}",
        "a: b",
        "- a",
        "? a",
        "---",
    ),
    *(
        "...",
        "#",
        "\t",
        "\0",
        "\x7f",
        "\x85",
        "\ufeff",
        "Python",
        "[Python]",
        "./x",
        "/",
        "{{ env.X }}",
        "$instruction",
        "$",
        "humaneval",
    ),
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates() | st.sampled_from(SCALARS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=6,
)


def load(text: str | bytes) -> Arena | None:
    """The arena of a text, or None if it was refused as it should be."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        lines = path.read_bytes().count(b"\n") + path.read_bytes().count(b"\r") + 1
        try:
            return load_arena(path)
        except ArenaError as error:
            for message in str(error).splitlines():
                assert message.isprintable()
                assert len(message) < 1_500
                found = re.fullmatch(re.escape(str(path)) + r":(\d+): \S.*: .*expected .+", message)
                assert found, message
                assert 1 <= int(found[1]) <= lines
            return None


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of each value in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


@pytest.mark.parametrize("name", TEXTS)
@settings(max_examples=40)
@given(st.data())
def test_a_value_of_any_kind_in_any_place(name: str, data: st.DataObject) -> None:
    """Also a key that is dropped, added or renamed."""
    document = yaml.safe_load(TEXTS[name])
    *above, last = data.draw(st.sampled_from(places(document)[1:]))
    section = document
    for key in above:
        section = section[key]
    change = data.draw(st.sampled_from(["replace", "drop", "add", "rename"]))
    value = section.pop(last) if change in ("drop", "rename") else data.draw(VALUES)
    if isinstance(section, list):
        section.insert(last, value)
    elif change != "drop":
        section[last if change == "replace" else data.draw(st.text(max_size=5) | st.integers() | st.none())] = value
    load(yaml.dump(document, allow_unicode=data.draw(st.booleans())))


@pytest.mark.parametrize("name", TEXTS)
@settings(max_examples=40)
@given(st.data())
def test_any_scalar_as_people_write_it_in_the_place_of_a_value(name: str, data: st.DataObject) -> None:
    values = list(re.finditer(r"(?<=: )[^\s{}\[\],#][^{}\[\],\n]*", TEXTS[name]))
    value = data.draw(st.sampled_from(values))
    load(TEXTS[name][: value.start()] + data.draw(st.sampled_from(SCALARS)) + TEXTS[name][value.end() :])


@settings(max_examples=100)
@given(st.sampled_from(list(TEXTS.values())), st.data())
def test_a_text_with_a_piece_cut_out_moved_or_put_in(text: str, data: st.DataObject) -> None:
    first, last = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
    piece = data.draw(st.sampled_from(["", text[first:last], *SCALARS, *"\t\r\n\u2028:-?[]{},#&*!|>'\"%@`"]))
    load(text[:first] + piece + text[data.draw(st.sampled_from([first, last])) :])


@settings(max_examples=100)
@given(st.text() | st.binary() | st.text(":-?[]{},#&*!|>'\"%@`~\n\t ab1.<"))
@example("[" * 20_000)
@example("- " * 20_000)
@example("? " * 20_000)
@example("{a: " * 20_000)
@example("&a " * 20_000)
@example(GOOD + "x: [" + "1," * 25_000 + "]")
@example(GOOD + "".join(f"x{i}: 1\n" for i in range(3_000)))
@example(
    GOOD + "a0: &a0 {k0: 1}\n" + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}, k{i}: 1}}\n" for i in range(1, 500)) + "<<: *a499\n"
)
def test_any_text(text: str | bytes) -> None:
    load(text)
