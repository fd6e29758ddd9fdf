"""Prefixes for the template families in tests/chat_templates. A template is text, so any tokenizer can carry it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from warrior_dagster.inference.chat_template import load_tokenizer, render
from warrior_dagster.stages.mining.prefix import mining_system_prompt, user_turn_prefix

TEMPLATES = Path(__file__).parents[2] / "chat_templates"
LANGUAGE = "The user asks about coding in Python."
QWEN_DEFAULT = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
DEEPSEEK_DEFAULT = "You are an AI programming assistant and answer questions related to computer science."


def carrier(template: str) -> PreTrainedTokenizerFast:
    bare = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bare, bos_token="<s>", eos_token="</s>", chat_template=template
    )


FAMILIES = {path.stem: carrier(path.read_text(encoding="utf-8")) for path in sorted(TEMPLATES.glob("*.jinja"))}
# With the system prompt SYSTEM.
PREFIXES = {
    "chatml": "<|im_start|>system\nSYSTEM<|im_end|>\n<|im_start|>user\n",
    "deepseek_coder_v1": "<s>SYSTEM\n### Instruction:\n",
    "deepseek_v2": "<s>SYSTEM\n\nUser: ",
    "gemma": "<s><start_of_turn>user\nSYSTEM\n\n",
    "llama31": (
        "<s><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
        "Today Date: 26 Jul 2024\n\nSYSTEM<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
    ),
    "mistral": "<s>[INST] SYSTEM\n\n",
}


def test_every_family_is_tested() -> None:
    assert FAMILIES.keys() == PREFIXES.keys()


@pytest.mark.parametrize("name", PREFIXES)
def test_a_prefix_ends_where_the_users_message_begins(name: str) -> None:
    assert user_turn_prefix(FAMILIES[name], "SYSTEM") == PREFIXES[name]


@pytest.mark.parametrize("name", PREFIXES)
@given(
    user=st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text == text.strip()),
    system=st.none() | st.just("Be brief."),
)
def test_a_prompt_is_the_prefix_and_the_users_message(name: str, user: str, system: str | None) -> None:
    prefix = user_turn_prefix(FAMILIES[name], system)
    assert render(FAMILIES[name], user, system).startswith(prefix + user)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chatml", f"{QWEN_DEFAULT}\n\n{LANGUAGE}"),
        ("deepseek_coder_v1", f"{DEEPSEEK_DEFAULT}\n\n{LANGUAGE}"),
        ("deepseek_v2", LANGUAGE),
        ("gemma", LANGUAGE),
        ("llama31", LANGUAGE),
        ("mistral", LANGUAGE),
    ],
)
def test_the_language_follows_the_default_system_prompt(name: str, expected: str) -> None:
    assert mining_system_prompt(FAMILIES[name], None, LANGUAGE) == expected


@pytest.mark.parametrize("name", PREFIXES)
def test_a_persona_replaces_the_default_system_prompt(name: str) -> None:
    assert mining_system_prompt(FAMILIES[name], "Be brief.\n", f"{LANGUAGE}\n") == f"Be brief.\n\n{LANGUAGE}"
    assert mining_system_prompt(FAMILIES[name], "", LANGUAGE) == LANGUAGE


def test_the_date_is_in_the_prefix_once() -> None:
    prefix = user_turn_prefix(FAMILIES["llama31"], mining_system_prompt(FAMILIES["llama31"], None, LANGUAGE))
    assert prefix.count("Today Date") == 1


def test_a_template_without_the_user_message_is_rejected() -> None:
    with pytest.raises(ValueError, match="does not write the user's message"):
        user_turn_prefix(carrier("{{ messages[0].role }}"), None)


def test_smollm2_is_mined_with_its_default_system_prompt(bundled_model: Path) -> None:
    tokenizer = load_tokenizer(str(bundled_model), None)
    prefix = user_turn_prefix(tokenizer, mining_system_prompt(tokenizer, None, LANGUAGE))
    default = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    assert prefix == f"<|im_start|>system\n{default}\n\n{LANGUAGE}<|im_end|>\n<|im_start|>user\n"
