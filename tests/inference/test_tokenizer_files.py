"""The tokenizer of a stranger's model: a file that no model has is one clear error, which names it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.broken_models import TURNS, copied, keys
from warrior_dagster.inference import chat_template, tokenizer_files
from warrior_dagster.inference.chat_template import load_template
from warrior_dagster.inference.tokenizer_files import LARGEST, LONGEST_TEMPLATE, check_files, load_tokenizer


@pytest.fixture
def folder(bundled_model: Path, tmp_path: Path) -> Path:
    """A copy of the bundled model without weights, whose template is in no file of its own."""
    folder = copied(bundled_model, tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    return folder


def name_of(pattern: str) -> str:
    return pattern.replace("*", "any")


@pytest.mark.parametrize("pattern", LARGEST)
def test_a_file_that_is_too_large_is_refused_before_it_is_read(folder: Path, pattern: str) -> None:
    path = folder / name_of(pattern)
    path.parent.mkdir(exist_ok=True)
    path.touch()
    os.truncate(path, LARGEST[pattern] + 1)  # a sparse file
    with pytest.raises(
        ValueError, match=rf"{path.name}: expected at most {LARGEST[pattern]} bytes; found {LARGEST[pattern] + 1}$"
    ):
        load_tokenizer(str(folder), None)


def test_a_template_in_the_settings_that_is_too_long_is_refused(folder: Path) -> None:
    keys("tokenizer_config.json", chat_template=" " * (LONGEST_TEMPLATE + 1))(folder)
    with pytest.raises(ValueError, match=f"{folder}: expected a chat template of at most {LONGEST_TEMPLATE} characters"):
        load_tokenizer(str(folder), None)


def test_a_tokenizer_with_too_many_tokens_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys("tokenizer_config.json", chat_template=TURNS)(folder)
    monkeypatch.setattr(tokenizer_files, "MOST_TOKENS", 5)
    with pytest.raises(ValueError, match=f"{folder}: expected a tokenizer with at most 5 added tokens; found 17"):
        load_tokenizer(str(folder), None)


@pytest.mark.parametrize(
    "template",
    [
        5,
        True,
        ["{{ messages }}"],
        [{"name": "default"}],
        [{"template": "x"}],
        [{"name": 1, "template": "x"}],
        [None],
        {"default": [1]},
    ],
)
def test_a_chat_template_that_is_no_text_is_refused_with_its_file(folder: Path, template: Any) -> None:
    keys("tokenizer_config.json", chat_template=template)(folder)
    with pytest.raises(ValueError, match=r"tokenizer_config.json: chat_template: expected a text, or a list of texts"):
        load_tokenizer(str(folder), None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[" * 100_000, "expected JSON; RecursionError"),
        ("{", "expected JSON; JSONDecodeError"),
        ("", "expected JSON; JSONDecodeError"),
        ("[]", "expected a mapping; found list"),
        ('"x"', "expected a mapping; found str"),
    ],
)
@pytest.mark.parametrize("name", ["tokenizer_config.json", "generation_config.json"])
def test_settings_that_are_no_mapping_are_refused_with_their_file(folder: Path, name: str, content: str, reason: str) -> None:
    keys("tokenizer_config.json", chat_template=TURNS)(folder)
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match=f"{name}: {reason}"):
        chat_template.turn_end(load_template(str(folder), None))


def test_settings_that_are_no_text_are_refused_with_their_file(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"tokenizer_config.json: expected JSON; UnicodeDecodeError"):
        load_tokenizer(str(folder), None)


def named(**templates: str) -> list[dict[str, str]]:
    return [{"name": name, "template": template} for name, template in templates.items()]


def test_of_named_templates_the_default_is_used(folder: Path) -> None:
    keys("tokenizer_config.json", chat_template=named(tool_use="{{ tools }}", default=TURNS))(folder)
    assert chat_template.render(load_template(str(folder), None), "Hi", None).startswith("<|im_start|>user\nHi<|im_end|>\n")


def test_named_templates_without_a_default_are_refused(folder: Path) -> None:
    keys("tokenizer_config.json", chat_template=named(tool_use="{{ tools }}", rag="{{ documents }}"))(folder)
    with pytest.raises(ValueError, match=rf"{folder}: the tokenizer has no \(default\) chat template"):
        load_tokenizer(str(folder), None)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(folder: Path) -> None:
    keys("tokenizer_config.json", chat_template=TURNS)(folder)
    (folder / "generation_config.json").unlink()
    for name in ("generation_config.json", "chat_template.jinja", "special_tokens_map.json"):
        os.mkfifo(folder / name)
    assert chat_template.render(load_template(str(folder), None), "Hi", None)


def test_the_files_of_the_bundled_model_are_read(bundled_model: Path) -> None:
    check_files(bundled_model)
    assert json.loads((bundled_model / "tokenizer_config.json").read_text())
