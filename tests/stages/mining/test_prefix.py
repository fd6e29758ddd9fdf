"""The mining prefix of every family in tests/chat_templates."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.families import DEEPSEEK_BOS, FAMILIES, TEMPLATES, small_template
from warrior_dagster.inference.chat_template import load_template, render
from warrior_dagster.stages.mining.prefix import mining_system_prompt, user_turn_prefix

LANGUAGE = "The user asks about coding in Python."
QWEN_DEFAULT = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
DEEPSEEK_DEFAULT = "You are an AI programming assistant and answer questions related to computer science."


# With the system prompt SYSTEM.
PREFIXES = {
    "apriel": "<s><|begin_system|>\nSYSTEM\n<|begin_user|>\n",
    "chatml": "<|im_start|>system\nSYSTEM<|im_end|>\n<|im_start|>user\n",
    "command_a": (
        "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>SYSTEM<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>"
    ),
    "deepseek_coder_v1": f"{DEEPSEEK_BOS}SYSTEM\n### Instruction:\n",
    "deepseek_v2": f"{DEEPSEEK_BOS}SYSTEM\n\nUser: ",
    "deepseek_v31": f"{DEEPSEEK_BOS}SYSTEM<｜User｜>",
    "gemma": "<bos><start_of_turn>user\nSYSTEM\n\n",
    "gemma4": "<bos><|turn>system\n<|think|>SYSTEM<turn|>\n<|turn>user\n",
    "glm45": "[gMASK]<sop><|system|>\nSYSTEM<|user|>\n",
    "gpt_oss": (
        "<|start|>system<|message|>You are ChatGPT.\n\nReasoning: medium<|end|>"
        "<|start|>developer<|message|>SYSTEM<|end|><|start|>user<|message|>"
    ),
    "kimi_k2": "<|im_system|>system<|im_middle|>SYSTEM<|im_end|><|im_user|>user<|im_middle|>",
    "llama31": (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
        "Today Date: 26 Jul 2024\n\nSYSTEM<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
    ),
    "magistral": "<s>[SYSTEM_PROMPT]SYSTEM[/SYSTEM_PROMPT][INST]",
    "mistral": "<s>[INST] SYSTEM\n\n",
    "phi4": "<|im_start|>system<|im_sep|>SYSTEM<|im_end|><|im_start|>user<|im_sep|>",
    "qwen3": "<|im_start|>system\nSYSTEM<|im_end|>\n<|im_start|>user\n",
    "qwq": "<|im_start|>system\nSYSTEM<|im_end|>\n<|im_start|>user\n",
    "seed_oss": "<seed:bos>system\nSYSTEM<seed:eos><seed:bos>user\n",
}


def test_every_family_is_tested() -> None:
    assert FAMILIES.keys() == PREFIXES.keys() == {path.stem for path in TEMPLATES.glob("*.jinja")}
    assert len(FAMILIES) >= 15


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
        user_turn_prefix(small_template("{{ messages[0].role }}", ["</s>"], None, "</s>"), None)


def test_smollm2_is_mined_with_its_default_system_prompt(bundled_model: Path) -> None:
    template = load_template(str(bundled_model), None)
    prefix = user_turn_prefix(template, mining_system_prompt(template, None, LANGUAGE))
    default = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    assert prefix == f"<|im_start|>system\n{default}\n\n{LANGUAGE}<|im_end|>\n<|im_start|>user\n"
