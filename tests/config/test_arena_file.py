"""What people write by mistake in an arena's YAML: each is one line with the file, the line, the key and what was expected."""

import re
import time
from pathlib import Path

import pytest
import yaml

from tests.config.test_arena import GOOD, written
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import ArenaError, load_arena
from warrior_dagster.config.suggestions import keys, nearest


def mistakes(path: Path) -> list[str]:
    """The lines of the error of an arena's file, from the line's number on."""
    with pytest.raises(ArenaError) as error:
        load_arena(path)
    lines = str(error.value).splitlines()
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


def doubled(depth: int) -> str:
    """Nested aliases, which stand for 9 ** depth values."""
    lists = "".join(f"a{i}: &a{i} [{', '.join(['*a' + str(i - 1)] * 9)}]\n" for i in range(1, depth + 1))
    return f"a0: &a0 [x, x, x]\n{lists}"


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        # Keys.
        ("1: x\n", ["6: 1: expected a key of the schema"]),
        ("? [a]\n: x\n", ["6: arena: expected text as a key; found a list"]),
        ("mining:\n  ? {a: b}\n  : x\n", ["7: mining: expected text as a key; found a mapping"]),
        ('"a\\nb": x\n', ["6: a\\nb: expected a key of the schema"]),
        # Numbers that YAML 1.1 or pydantic would guess.
        ("mining: {samples: yes}\n", ["6: mining.samples: expected a whole number", "; found yes"]),
        ("ratings: {k: true}\n", ["6: ratings.k: expected a number", "; found true"]),
        ("battles: {judges: on}\n", ["6: battles.judges: expected a whole number", "; found on"]),
        ("mining: {samples: 010}\n", ["6: mining.samples: expected a whole number", "; found '010'"]),
        ("mining: {samples: '010'}\n", ["6: mining.samples: expected a whole number"]),
        ("mining: {samples: 12:30}\n", ["6: mining.samples: expected a whole number", "; found '12:30'"]),
        ("mining: {samples: 0b11}\n", ["6: mining.samples: expected a whole number"]),
        ("mining: {samples: 2024-01-01}\n", ["6: mining.samples: expected a whole number", "'2024-01-01'"]),
        (f"mining: {{samples: {10**30}}}\n", ["6: mining.samples: expected a finite number"]),
        (f"mining: {{samples: {'1' * 5000}}}\n", ["6: mining.samples: expected a value of type int"]),
        ("ratings: {initial: .nan}\n", ["6: ratings.initial: expected a finite number; found .nan"]),
        ("ratings: {k: .inf}\n", ["6: ratings.k: expected a finite number; found .inf"]),
        ("ratings: {k: 'nan'}\n", ["6: ratings.k: expected a finite number; found 'nan'"]),
        ("engine: {price_per_gpu_hour: 1e999}\n", ["6: engine.price_per_gpu_hour: expected a finite number"]),
        # Pairs.
        ("mining: {min_chars: 90, max_chars: 80}\n", ["6: mining.max_chars: expected at least 90, which is min_chars"]),
        ("mining: {min_chars: 9000}\n", ["6: mining.max_chars: expected at least 9000, which is min_chars; found 8000"]),
        # Types.
        ("mining:\n", ["6: mining: expected a mapping of keys; found nothing"]),
        ("languages: Python\n", ["6: languages: expected a list; found 'Python'"]),
        ("mining: !!python/object:os.system {}\n", ["6: mining: expected a value without a tag; found !!python/object"]),
        ("languages: !!set {a, b}\n", ["6: languages: expected a value without a tag; found !!set"]),
        ("mining: {samples: !!int abc}\n", ["6: mining.samples: expected a value of type int; found 'abc'"]),
        # Places.
        ("warehouse: ~no_such_user/x\n", ["6: warehouse: expected a user of this machine after '~'"]),
        ("embedding: {model: ~no_such_user/x}\n", ["6: embedding.model: expected a user of this machine after '~'"]),
        ("warehouse: $HOME/x\n", ["6: warehouse: expected a path without variables", "found $HOME"]),
        ("warehouse: s4://bucket/x\n", ["6: warehouse: expected a folder without a scheme, or one of s3://"]),
        ("warehouse: file:///x\n", ["6: warehouse: expected a folder without a scheme"]),
        ("export: {folder: 's3://bucket/x'}\n", ["6: export.folder: expected a folder of this machine"]),
        ('warehouse: "a\\0b"\n', ["6: warehouse: expected text of characters; found U+0000"]),
        ('warehouse: "a\\ud800b"\n', ["6: warehouse: expected text of characters; found U+D800"]),
        # Reference sets.
        (
            "analysis: {references: [{name: a, source: data/x.jsonl}]}\n",
            ["6: analysis.references[0].source: expected './data/x.jsonl' for a file"],
        ),
        (
            "analysis: {references: [{name: a, source: 'https://x/y.json'}]}\n",
            ["6: analysis.references[0].source: expected a hub id, or a file"],
        ),
        (
            "export: {benchmarks: [{name: a, source: ./x.jsonl, config: en}]}\n",
            ["6: export.benchmarks[0].config: expected none: only data sets of the hub"],
        ),
        # Schedules.
        ("schedule: {cron: @daily}\n", ["6: arena: expected YAML; a value that starts with '@' needs quotes"]),
        ("schedule: {cron: '0 0 2 * * *'}\n", ["6: schedule.cron: expected a cron schedule of five fields"]),
        # Syntax.
        ("mining:\n\tsamples: 3\n", ["7: arena: expected YAML; found a tab where only spaces may stand"]),
        ("--- \nname: x\n", ["6: arena: expected one YAML document; a second one begins here"]),
        ("x: \x00\n", ["6: arena: expected text without control characters; found U+0000"]),
        ('x: "\\UFFFFFFFF"\n', ["6: arena: expected YAML; an escape"]),
        ("x: *nowhere\n", ["6: arena: expected YAML: found undefined alias 'nowhere'"]),
        # Bounds.
        ("x: " + "[" * 5000, ["6: arena: expected at most 40 levels of nesting"]),
        ("x:\n  " + "- " * 5000, ["7: arena: expected at most 40 levels of nesting"]),
        (doubled(8), ["6: arena: expected at most 20000 values, with aliases"]),
        ("mining: &m {settings: [*m]}\n", ["6: mining.settings[0]: expected a value that does not contain itself"]),
        ("mining: &m {<<: *m}\n", ["6: mining.<<: expected the alias of another mapping"]),
        ("mining: {<<: 3}\n", ["6: mining.<<: expected the alias of another mapping"]),
    ],
)
def test_a_mistake_is_one_line_and_is_found_at_once(tmp_path: Path, extra: str, expected: list[str]) -> None:
    path, started = written(tmp_path, GOOD + extra), time.monotonic()
    (line,) = mistakes(path)
    assert time.monotonic() - started < 10
    assert line.startswith(expected[0])
    assert all(part in line for part in expected)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("minning: {}\n", "6: minning: expected a key of the schema; did you mean mining?"),
        ("mining: {max_token: 5}\n", "6: mining.max_token: expected a key of the schema; did you mean max_tokens?"),
        ("engine: {serve: {kind: endpoint, urls: [], url: x}}\n", "did you mean urls?"),
        ("serve: {kind: vllm}\n", "6: serve: expected a key of the schema; it is a key of competitors, engine"),
        ("mining: {temperature: 1}\n", "it is a key of competitors.sampling, mining.settings, difficulty.sampling and others"),
        (
            "mining: {samples:3}\n",
            "6: mining.samples:3: expected a key of the schema; a colon needs a space after it: `samples: 3`",
        ),
        ("selection: {number: 3}\n", "6: selection.number: expected a key of the schema; the keys here are centres, part_rows"),
        (
            "battles: {verdict: Direct}\n",
            "6: battles.verdict: expected 'reasoned' or 'direct'; found 'Direct'; did you mean direct?",
        ),
        ("ratings: {method: bradley-terry}\n", "found 'bradley-terry'; did you mean bradley_terry?"),
        ("ratings: {method: trueskill}\n", "expected 'elo', 'bradley_terry' or 'judge_aware'; found 'trueskill'"),
        ("engine: {serve: {kind: vLLM}}\n", "6: engine.serve.kind: expected `kind: vllm`, `kind: endpoint` or"),
        ("engine: {serve: {kind: vLLM}}\n", "found 'vLLM'; did you mean vllm?"),
        ("engine:\n  serve: vllm\n", "7: engine.serve: expected a mapping such as {kind: vllm} or"),
        ("engine:\n  serve: http://localhost:8000\n", "7: engine.serve: expected a mapping such as {kind: vllm} or"),
        (
            "engine:\n  serve: {max_model_len: 9}\n",
            "7: engine.serve.kind: expected `kind: vllm`, `kind: endpoint` or `kind: chat`",
        ),
        ("name: x\n", "6: name: expected each key once; it is already in line 1"),
        (
            "embedding: {model: a/b/c}\n",
            "6: embedding.model: expected a hub id such as org/name, or a path that starts with '.'",
        ),
        ("mining: {samples: -1}\n", "6: mining.samples: expected at least 1; found -1"),
        # Syntax.
        (
            "mining:\n  samples: 3\n   max_tokens: 5\n",
            "8: arena: expected YAML; this key is indented deeper than the one before it, which already has a value; indent",
        ),
        (
            "mining:\n  samples: 3\n max_tokens: 5\n",
            "8: arena: expected YAML; this line is indented by 1, as nothing above it is; indent it by 2",
        ),
        ("languages:\n  - C\n  samples: 3\n", "8: arena: expected YAML; this line is no item of the list from line 7"),
        (
            "mining:\ncentres: 3\n",
            "7: centres: expected a key of the schema; it is a key of selection: indent it below that",
        ),
        ("languages:[Python]\n", "6: arena: expected YAML; a key ends with a colon and a space"),
        ("x:y\nmining: {}\n", "6: arena: expected YAML; a key ends with a colon and a space"),
        ("mining: {samples: 3\nanswers: {}\n", "7: arena: expected YAML; the bracket of line 6 is still open here"),
        ('warehouse: "x\nmining: {}\n', "6: arena: expected YAML; the quote that opens in this line is not closed"),
        ("warehouse: a text: with a colon\n", "6: arena: expected YAML; a text that contains ': ' needs quotes around it"),
    ],
)
def test_a_mistake_says_what_was_meant_in_the_words_of_the_reader(tmp_path: Path, extra: str, expected: str) -> None:
    lines = mistakes(written(tmp_path, GOOD + extra))
    assert any(expected in line for line in lines), lines
    assert not any(word in line for line in lines for word in ("dictionary", "object to extract", "<block", "codec"))


@pytest.mark.parametrize(
    ("text", "line", "columns"),
    [
        ("mining:\n  samples: 3\n   max_tokens: 5\n", 3, 2),
        ("mining:\n  samples: 3\n max_tokens: 5\n", 3, 2),
        ("mining:\n  samples: 3\n# a note\n max_tokens: 5\n", 4, 2),
        ("competitors:\n    - name: a\n  - name: b\n", 3, 4),
        ("competitors:\n  - name: a\n  model: b\n", 3, 4),
        ("competitors:\n  - name: a\n      model: b\n", 3, 4),
        ("competitors:\n  - name: a\n    model: b\n   license: c\n", 4, 4),
        ("languages:\n  - C\n  samples: 3\n", 3, None),
        ("prompt: hello\n    world\n   foo: bar\n", 3, None),
    ],
)
def test_a_line_that_is_indented_as_its_mistake_says_is_read(tmp_path: Path, text: str, line: int, columns: int | None) -> None:
    (found,) = mistakes(written(tmp_path, text))
    assert found.startswith(f"{line}: arena: expected YAML")
    advice = re.search(r"indent it by (\d+)", found)
    assert (int(advice[1]) if advice else None) == columns
    if columns is not None:
        lines = text.splitlines()
        lines[line - 1] = " " * columns + lines[line - 1].lstrip()
        yaml.safe_load("\n".join(lines))


def test_a_key_that_lacks_a_letter_is_the_one_that_is_suggested() -> None:
    for section, key in keys(Arena):
        beside = [name for place, name in keys(Arena) if place == section]
        for at in range(len(key) if len(key) > 1 else 0):
            assert nearest(key[:at] + key[at + 1 :], beside) == key


def test_a_file_that_does_not_exist_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "arenas").mkdir()
    arena = written(tmp_path / "arenas", GOOD)
    for absent in ("mine.yaml", "arenas/mine.yml", "arenas/mne.yaml", "arena/mine.yaml"):
        (line,) = mistakes(tmp_path / absent)
        assert line == f" expected an arena's YAML file; there is no such file; did you mean {arena}?"
    (line,) = mistakes(tmp_path / "arenas/nothing_like_it.yaml")
    assert line.endswith("there is no such file")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a...b", "expected a name without '...', which means a range of Dagster's partitions"),
        ("no", "expected text; found no, which needs quotes to be text"),
        ("1", "expected text; found 1, which needs quotes to be text"),
        ('"a,b"', "expected letters, digits, '.', '-' and single '_'"),
        ('"a\\n"', "expected letters, digits, '.', '-' and single '_'"),
        ("a" * 65, "expected to have at most 64 characters"),
    ],
)
def test_a_name_that_no_partition_can_have_is_refused(tmp_path: Path, name: str, expected: str) -> None:
    (line,) = mistakes(written(tmp_path, GOOD.replace("name: b,", f"name: {name},")))
    assert line.startswith("4: competitors[1].name: ")
    assert expected in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The line of a key that an alias or a merge brings is that where it is written.
        (
            "answers:\n  sampling: &s\n    top_p: 2\nbattles:\n  sampling:\n    <<: *s\n    max_tokens: 0\n",
            ["8: answers.sampling.top_p", "8: battles.sampling.top_p", "12: battles.sampling.max_tokens"],
        ),
        (
            "answers: {sampling: &s {top_p: 2}}\nbattles:\n  sampling: *s\n",
            ["6: answers.sampling.top_p", "6: battles.sampling"],
        ),
        # A union's tag is no key, also if a key has its name.
        ("engine:\n  serve:\n    kind: vllm\n    dtype: x\n    vllm: 3\n", ["9: engine.serve.dtype", "10: engine.serve.vllm"]),
        (
            "engine:\n  serve:\n    dtype: auto\n",
            ["7: engine.serve.kind: expected `kind: vllm`, `kind: endpoint` or `kind: chat`; found none"],
        ),
        (
            "engine:\n  serve:\n    kind: foo\n",
            ["8: engine.serve.kind: expected `kind: vllm`, `kind: endpoint` or `kind: chat`; found 'foo'"],
        ),
        # A text of several lines, and characters that YAML counts as line breaks but no editor does.
        ("mining:\n  prompt: |\n    a\n    b\n  samples: x\n", ["7: mining.prompt", "10: mining.samples"]),
        ('warehouse: "\u2028\u2029\x85"\nzz: 1\n', ["7: zz"]),
        # A rule about several sections names its key.
        ("battles:\n  judges: 2\n", ["7: battles.judges: expected at most 1"]),
        # All mistakes at once, in the order of the file.
        ("name: x\nratings: {k: a}\nmining: {samples: 1, samples: 2}\n", ["6: name", "7: ratings.k", "8: mining.samples"]),
    ],
)
def test_the_line_is_that_of_the_key_as_editors_count(tmp_path: Path, text: str, expected: list[str]) -> None:
    for ends in ("\n", "\r\n"):
        path = tmp_path / "mine.yaml"
        path.write_bytes((GOOD + text).replace("\n", ends).encode())
        found = mistakes(path)
        assert len(found) == len(expected)
        assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))


def test_both_spellings_of_license_are_one_key(tmp_path: Path) -> None:
    (line,) = mistakes(written(tmp_path, GOOD.replace("model: org/a", "model: org/a, license: mit, licence: mit")))
    assert line.startswith("3: competitors[0]: expected one of license and licence")


@pytest.mark.parametrize(
    ("extra", "key", "value"),
    [
        ("mining: {samples: 1_000}\n", "mining.samples", 1000),
        ("mining: {samples: 0x10}\n", "mining.samples", 16),
        ("mining: {samples: '10'}\n", "mining.samples", 10),
        ("mining: {samples: 10.0}\n", "mining.samples", 10),
        ("ratings: {k: 1e1}\n", "ratings.k", 10.0),
        ("ratings: {initial: -.5}\n", "ratings.initial", -0.5),
        ("ratings: {initial: 0.5}\n", "ratings.initial", 0.5),
        ("analysis: {categories: yes}\n", "analysis.categories", True),
        ("analysis: {categories: off}\n", "analysis.categories", False),
        ("schedule: {cron: '@daily'}\n", "schedule.cron", "@daily"),
        ("languages: [C, 010, 12:30, 2024-01-01, 'on']\n", "languages", ("C", "010", "12:30", "2024-01-01", "on")),
        ("answers: {sampling: &s {top_p: 0.5}}\nbattles: {sampling: {<<: *s}}\n", "battles.sampling.top_p", 0.5),
        ("answers: {sampling: &s {top_p: 0.5}}\nbattles: {sampling: {top_p: 1, <<: *s}}\n", "battles.sampling.top_p", 1),
    ],
)
def test_what_every_reader_of_yaml_agrees_on_is_read(tmp_path: Path, extra: str, key: str, value: object) -> None:
    found: object = load_arena(written(tmp_path, GOOD + extra))
    for step in key.split("."):
        found = getattr(found, step)
    assert found == value
    assert type(found) is type(value) or isinstance(found, float)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (GOOD.encode("utf-16"), "1: arena: expected text in UTF-8; found the byte 0xFF"),
        (GOOD.encode() + b"warehouse: \xff\n", "6: arena: expected text in UTF-8; found the byte 0xFF"),
        (b"", "1: arena: expected a mapping of an arena's keys at the top level; found nothing: the file is empty"),
        (b"- a\n", "1: arena: expected a mapping of an arena's keys at the top level; found a list"),
        (b"a", "1: arena: expected a mapping of an arena's keys at the top level; found 'a'"),
        (b"#" * 600_000, " expected at most 524288 bytes"),
    ],
)
def test_a_file_that_is_no_arena_says_what_it_is(tmp_path: Path, data: bytes, expected: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(data)
    (line,) = mistakes(path)
    assert line.startswith(expected)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(GOOD.encode("utf-8-sig"))
    assert load_arena(path).name == "mine"


def test_folders_and_devices_are_no_arenas(tmp_path: Path) -> None:
    for path, found in ((tmp_path, "a folder"), (Path("/dev/zero"), "a device")):
        (line,) = mistakes(path)
        assert line == f" expected an arena's YAML file; this is {found}"


def test_the_quick_start_s_newcomer_is_appended_and_changes_nothing_else() -> None:
    arenas = Path(__file__).parents[2] / "arenas"
    before, after = (load_arena(arenas / f"{name}.yaml") for name in ("quickstart", "quickstart_newcomer"))
    assert after.roster[:-1] == before.roster
    assert after.model_copy(update={"competitors": before.competitors}) == before
