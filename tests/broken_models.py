"""Real model folders without weights that cannot be prompted: the bundled tokenizer with one file broken."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

TURNS = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BOMB = "detonate"
REFUSES_A_TEXT = "{% for m in messages if '" + BOMB + "' in m['content'] %}{{ 1 + 'a' }}{% endfor %}" + TURNS
"""A template that raises TypeError for some texts only."""


def copied(model: Path, to: Path) -> Path:
    """A copy of a model's folder without its weights."""
    to.mkdir(parents=True)
    for file in model.iterdir():
        if file.suffix in (".json", ".jinja"):
            shutil.copy(file, to)
    return to


def file(name: str, content: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(content, encoding="utf-8")

    return write


def keys(name: str, **values: Any) -> Callable[[Path], None]:
    """Replaces keys of a JSON file; None removes one."""

    def write(folder: Path) -> None:
        merged = json.loads((folder / name).read_text(encoding="utf-8")) | values
        (folder / name).write_text(json.dumps({k: v for k, v in merged.items() if v is not None}), encoding="utf-8")

    return write


BREAKS: dict[str, tuple[Callable[[Path], None], str]] = {
    "tokenizer with own code": (
        keys("tokenizer_config.json", tokenizer_class="Own", auto_map={"AutoTokenizer": ["own.Own", None]}),
        "contains custom code",
    ),
    "tokenizer without a model": (keys("tokenizer.json", model=None), "Model missing"),
    "empty tokenizer": (file("tokenizer.json", "{}"), "KeyError: 'added_tokens'"),
    "tokenizer that is no JSON": (file("tokenizer.json", "{"), "JSONDecodeError"),
    "tokenizer settings that are a list": (
        file("tokenizer_config.json", "[]"),
        "tokenizer_config.json: expected a mapping",
    ),
    "list of end tokens": (keys("tokenizer_config.json", eos_token=["<|im_end|>"]), "eos_token has to be"),
    "end token by its text": (keys("generation_config.json", eos_token_id="</s>"), "eos_token_id: expected a token's id"),
    "end tokens by their texts": (keys("generation_config.json", eos_token_id=["</s>"]), "found ['</s>']"),
    "end token that is a truth value": (keys("generation_config.json", eos_token_id=True), "found True"),
    "generation settings that are a list": (
        file("generation_config.json", "[2]"),
        "generation_config.json: expected a mapping",
    ),
    "template with a syntax error": (file("chat_template.jinja", "{% for m in messages %}{{ m["), "TemplateSyntaxError"),
    "template with an unknown filter": (file("chat_template.jinja", TURNS + "{{ 1|nosuch }}"), "No filter named 'nosuch'"),
    "template that needs tools": (file("chat_template.jinja", "{{ tools|length }}" + TURNS), "TypeError: object of type"),
    "template that refuses plain turns": (
        file("chat_template.jinja", "{{ raise_exception('only with a tool') }}"),
        "TemplateError: only with a tool",
    ),
    "template that never ends": (file("chat_template.jinja", "{{ 10**(10**10) }}"), "more than 1 s of CPU time"),
    "template that fills the memory": (file("chat_template.jinja", "{{ 'x' * 10**10 }}"), "more than 512 MiB of memory"),
    "template that writes too much": (file("chat_template.jinja", "{{ 'x' * 10**7 }}"), "writes more than"),
    "template that writes nothing": (file("chat_template.jinja", ""), "does not write every turn"),
}
"""Each kind of fault: what breaks a folder, and what the reason says."""


def broken(model: Path, to: Path, fault: str) -> Path:
    """A copy of a model's folder with one of BREAKS."""
    BREAKS[fault][0](copied(model, to))
    return to
