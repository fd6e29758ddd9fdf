"""Chat templates: what they write is found by rendering, for every family in tests/chat_templates."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import processors

from tests.families import FAMILIES, small_template, special_tokens
from warrior_dagster.inference import chat_template
from warrior_dagster.inference.chat_template import ChatTemplate
from warrior_dagster.inference.neutralising import neutralise
from warrior_dagster.inference.reasoning import reply_format

QWEN_DEFAULT = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
DEEPSEEK_DEFAULT = "You are an AI programming assistant and answer questions related to computer science.\n"


@given(st.sets(st.text("ab<.", min_size=1, max_size=4), max_size=8), st.text("ab<.", max_size=30))
def test_of_some_literals_the_longest_is_found_first(literals: set[str], text: str) -> None:
    plain = "|".join(map(re.escape, sorted(literals, key=len, reverse=True))) or "(?!)"
    assert chat_template.any_of(literals).findall(text) == re.findall(plain, text)


EVERY_FAMILY = pytest.mark.parametrize("template", FAMILIES.values(), ids=FAMILIES.keys())


def test_a_chatml_prompt_is_ready_for_the_answer() -> None:
    expected = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert chat_template.render(FAMILIES["chatml"], "Hi", "Be brief.") == expected


@EVERY_FAMILY
def test_a_prompt_has_the_system_text_before_the_user_text(template: ChatTemplate) -> None:
    prompt = chat_template.render(template, "What is a list?", "Be brief.")
    assert 0 <= prompt.find("Be brief.") < prompt.find("What is a list?")
    assert prompt.count("Be brief.") == prompt.count("What is a list?") == 1


@EVERY_FAMILY
def test_a_prompt_ends_where_an_answer_begins_in_a_conversation(template: ChatTemplate) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "ANSWER"}, {"role": "user", "content": "So?"}]
    conversation = template.tokenizer.apply_chat_template(
        turns, tokenize=False, date_string="26 Jul 2024", **template.arguments
    )
    assert isinstance(conversation, str)
    before = conversation.split("ANSWER")[0].rstrip()
    prompt = chat_template.render(template, "Hi", None).rstrip()
    reply = reply_format(template)
    assert prompt.startswith(before) if reply.opened else before == (prompt + reply.to_answer).rstrip()


def test_a_refused_system_text_opens_the_user_turn() -> None:
    prompt = chat_template.render(FAMILIES["gemma"], "Hi", "Be brief.")
    assert prompt == "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\n"
    assert chat_template.render(FAMILIES["gemma"], "Hi", "") == chat_template.render(FAMILIES["gemma"], "Hi", None)


def test_a_silently_dropped_system_text_opens_the_user_turn() -> None:
    source = "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
    template = small_template(source, ["</s>"], None, "</s>")
    assert chat_template.render(template, "Hi", "Be brief.") == "<user>Be brief.\n\nHi</s>"


def test_a_system_text_is_separated_from_the_user_turn_like_the_default() -> None:
    prompt = chat_template.render(FAMILIES["deepseek_coder_v1"], "Hi", "Be brief.")
    assert prompt == "<｜begin▁of▁sentence｜>Be brief.\n### Instruction:\nHi\n### Response:\n"


@pytest.mark.parametrize(
    ("date", "written"), [("{{ strftime_now('%Y-%m-%d') }}", "2024-07-26"), ("{{ date_string }}", "26 Jul 2024")]
)
def test_a_prompt_does_not_depend_on_the_day(date: str, written: str) -> None:
    body = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
    prompt = chat_template.render(small_template(date + body, ["</s>"], None, "</s>"), "Hi", None)
    assert prompt == f"{written}<user>Hi</s>"


def test_llama_prompts_have_a_fixed_date() -> None:
    assert "Today Date: 26 Jul 2024\n\n<|eot_id|>" in chat_template.render(FAMILIES["llama31"], "Hi", None)


def test_the_bos_is_written_once() -> None:
    silent = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
    for source in (silent, "{{ bos_token }}" + silent):
        template = small_template(source, ["<s>", "</s>"], "<s>", "</s>")
        adds_bos = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])
        template.tokenizer.backend_tokenizer.post_processor = adds_bos
        assert chat_template.render(template, "Hi", None) == "<s><user>Hi</s>"


def test_a_bos_that_the_tokenizer_does_not_add_is_not_added() -> None:
    assert chat_template.render(FAMILIES["chatml"], "Hi", None).startswith("<|im_start|>system")


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("chatml", QWEN_DEFAULT),
        ("llama31", None),
        ("deepseek_coder_v1", DEEPSEEK_DEFAULT),
        ("deepseek_v2", None),
        ("gemma", None),
        ("mistral", None),
        ("kimi_k2", "You are Kimi, an AI assistant created by Moonshot AI."),
        ("magistral", "First draft your thinking, as in [THINK]your thoughts[/THINK]your answer."),
        ("gpt_oss", None),
        ("gemma4", None),
        ("seed_oss", None),
    ],
)
def test_the_default_system_prompt_is_found(name: str, default: str | None) -> None:
    assert chat_template.default_system(FAMILIES[name]) == default


def test_a_greeting_outside_the_frame_of_a_system_turn_is_no_default_system_prompt() -> None:
    source = (
        "{% if messages[0].role != 'system' %}<hello>How are you today?</hello>{% endif %}"
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
    )
    assert chat_template.default_system(small_template(source, ["</s>"], None, "</s>")) is None


@EVERY_FAMILY
def test_giving_the_default_system_prompt_changes_nothing(template: ChatTemplate) -> None:
    default = chat_template.default_system(template)
    assert chat_template.render(template, "Hi", default) == chat_template.render(template, "Hi", None)


@pytest.mark.parametrize(
    ("name", "tokens", "strings"),
    [
        ("chatml", ["<|im_end|>"], []),
        ("llama31", ["<|end_of_text|>", "<|eot_id|>"], []),
        ("deepseek_coder_v1", ["<|EOT|>"], ["\n### Response:"]),
        ("deepseek_v2", ["<｜end▁of▁sentence｜>"], ["\nAssistant:"]),
        ("gemma", ["<eos>", "<end_of_turn>"], []),
        ("mistral", ["</s>"], ["[/INST]"]),
        ("apriel", ["<|end|>", "<|begin_assistant|>"], []),
        ("command_a", ["<|END_OF_TURN_TOKEN|>", "<|END_RESPONSE|>"], []),
        ("deepseek_v31", ["<｜end▁of▁sentence｜>", "<｜Assistant｜>"], []),
        ("gemma4", ["<eos>", "<turn|>"], []),
        ("glm45", ["<|endoftext|>", "<|user|>", "<|assistant|>"], []),
        ("gpt_oss", ["<|return|>", "<|end|>"], []),
        ("kimi_k2", ["<|im_end|>"], []),
        ("magistral", ["</s>", "[/INST]"], []),
        ("phi4", ["<|im_end|>"], []),
        ("qwen3", ["<|im_end|>"], []),
        ("qwq", ["<|im_end|>"], []),
        ("seed_oss", ["<seed:eos>"], []),
    ],
)
def test_the_stops_of_a_turn_are_found(name: str, tokens: list[str], strings: list[str]) -> None:
    ids = sorted(FAMILIES[name].tokenizer.get_vocab()[token] for token in tokens)
    assert chat_template.turn_end(FAMILIES[name]) == (ids, strings)


def test_the_two_turns_may_end_with_different_tokens() -> None:
    source = "{% for m in messages %}<{{ m.role }}>{{ m.content }} <{{ m.role[0] }}-end>\n{% endfor %}"
    template = small_template(source, ["<u-end>", "<a-end>", "<s-end>", "</s>"], None, "</s>")
    assert chat_template.turn_end(template) == ([0, 1, 3], [])


@EVERY_FAMILY
def test_a_mined_turn_ends_at_every_token_of_the_frame(template: ChatTemplate) -> None:
    prompt = chat_template.render(template, "Hi", "Be brief.")
    written = {
        i for i in template.tokenizer(prompt, add_special_tokens=False)["input_ids"] if i in template.tokenizer.all_special_ids
    }
    stops = set(chat_template.frame_stops(template))
    assert written <= stops | {template.tokenizer.bos_token_id}
    ends, strings = chat_template.turn_end(template)
    assert strings or stops & set(ends)


def test_a_model_that_opens_the_next_turn_by_itself_is_stopped() -> None:
    stops = chat_template.frame_stops(FAMILIES["chatml"])
    assert FAMILIES["chatml"].tokenizer.convert_tokens_to_ids("<|im_start|>") in stops


@pytest.mark.parametrize(("eos", "expected"), [("7", [1, 7]), ("[0, 7]", [0, 1, 7]), ("null", [1])])
def test_the_end_tokens_of_the_generation_config_count(tmp_path: Path, eos: str, expected: list[int]) -> None:
    source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
    small_template(source, ["<s>", "</s>"], "<s>", "</s>").tokenizer.save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text(f'{{"eos_token_id": {eos}}}')
    assert chat_template.turn_end(chat_template.load_template(str(tmp_path), None)) == (expected, [])


def test_a_template_that_writes_a_turn_twice_is_refused() -> None:
    template = small_template("{{ messages[0].content }}{{ messages[0].content }}</s>", ["</s>"], None, "</s>")
    with pytest.raises(ValueError, match="exactly once"):
        chat_template.turn_end(template)


def test_a_model_without_a_template_is_refused_by_name(tmp_path: Path) -> None:
    template = small_template("", ["</s>"], None, "</s>")
    template.tokenizer.chat_template = None
    template.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=rf"{tmp_path.name}.*chat template"):
        chat_template.load_template(str(tmp_path), None)


def test_an_argument_that_the_template_does_not_read_is_refused_by_name(tmp_path: Path) -> None:
    FAMILIES["qwen3"].tokenizer.save_pretrained(tmp_path)
    assert chat_template.load_template(str(tmp_path), None, '{"enable_thinking": false}').arguments == {
        "enable_thinking": False
    }
    with pytest.raises(ValueError, match=r"does not read enable_thinkin$"):
        chat_template.load_template(str(tmp_path), None, '{"enable_thinkin": false}')


def test_a_hub_model_is_read_at_its_revision(bundled_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    downloads: list[Any] = []

    def snapshot(model: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        downloads.append((model, revision, "*.safetensors" in allow_patterns))
        return str(bundled_model)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    template = chat_template.load_template("nobody/no-such-model", "abc123")
    assert downloads == [("nobody/no-such-model", "abc123", False)]
    assert template is chat_template.load_template("nobody/no-such-model", "abc123")


def test_smollm2_s_template_is_parsed(bundled_model: Path) -> None:
    template = chat_template.load_template(str(bundled_model), None)
    default = chat_template.default_system(template)
    assert default == "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    assert chat_template.turn_end(template) == ([template.tokenizer.convert_tokens_to_ids("<|im_end|>")], [])
    prompt = chat_template.render(template, neutralise(template, "<|im_end|><file_sep>"), None)
    assert prompt == chat_template.render(template, "<|im_end| ><file_sep >", default)
    assert len(special_tokens(template, prompt)) == 5
