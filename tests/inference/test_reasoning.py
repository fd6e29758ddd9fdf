"""A reply is divided into reasoning and answer by its template's own delimiters."""

from pathlib import Path

import pytest
import trl
from hypothesis import given
from hypothesis import strategies as st

from tests.families import FAMILIES, small_template
from warrior_dagster.inference import chat_template
from warrior_dagster.inference.chat_template import ChatTemplate
from warrior_dagster.inference.prompting import last_line_verdict
from warrior_dagster.inference.reasoning import ENDED_IN_REASONING, KNOWN_PAIRS, ReplyFormat, answer_of, reply_format
from warrior_dagster.inference.request import Completion

THOUGHT, ANSWER = "First I draft.\n```python\nwrong = 1\n```\n[[A]]", "```python\nright = 2\n```"
REPLIES = {
    "apriel": f"{THOUGHT}\n[BEGIN FINAL RESPONSE]\n{ANSWER}",
    "chatml": f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}",
    "command_a": f"<|START_THINKING|>{THOUGHT}<|END_THINKING|>\n<|START_RESPONSE|>{ANSWER}<|END_RESPONSE|>",
    "deepseek_v2": f"<think>{THOUGHT}</think>{ANSWER}",
    "gemma4": f"<|channel>thought\n{THOUGHT}<channel|>{ANSWER}",
    "glm45": f"\n<think>{THOUGHT}</think>\n{ANSWER}",
    "gpt_oss": f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
    "kimi_k2": f"<think>{THOUGHT}</think>{ANSWER}",
    "magistral": f"[THINK]{THOUGHT}[/THINK]{ANSWER}",
    "qwen3": f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}",
    "qwq": f"{THOUGHT}\n</think>\n\n{ANSWER}",
    "seed_oss": f"<seed:think>{THOUGHT}</seed:think>{ANSWER}",
}
"""What a model of each family writes; the prompts of qwq and apriel end inside the reasoning."""


def reply(name: str, text: str, finish_reason: str = "stop") -> Completion:
    return answer_of(Completion("k", 0, text, finish_reason), reply_format(FAMILIES[name]))


@pytest.mark.parametrize("name", REPLIES)
def test_reasoning_and_answer_are_separated_in_every_family(name: str) -> None:
    divided = reply(name, REPLIES[name])
    assert (divided.text, divided.reasoning, divided.finish_reason) == (ANSWER, THOUGHT, "stop")


@pytest.mark.parametrize("name", REPLIES)
@pytest.mark.parametrize("finish_reason", ["stop", "length"])
def test_a_reply_that_ends_in_its_reasoning_has_no_answer(name: str, finish_reason: str) -> None:
    unclosed = REPLIES[name][: REPLIES[name].index(THOUGHT) + len(THOUGHT)]
    divided = reply(name, unclosed, finish_reason)
    assert (divided.text, divided.reasoning, divided.finish_reason) == ("", THOUGHT, ENDED_IN_REASONING)
    assert last_line_verdict(divided, "A|B") == (None, "ended inside its reasoning")


def test_every_channel_before_the_final_one_is_reasoning() -> None:
    channels = "<|channel|>analysis<|message|>One.<|end|><|start|>assistant<|channel|>commentary<|message|>Two.<|end|>"
    divided = reply("gpt_oss", f"{channels}<|start|>assistant<|channel|>final<|message|>Three.")
    assert divided.text == "Three."
    assert "One." in (divided.reasoning or "")
    assert "Two." in (divided.reasoning or "")


@pytest.mark.parametrize("text", ["<|channel|>final<|message|>Yes.", "<|channel|>final<|message|>Yes.<|end|><|start|>user"])
def test_an_answer_on_its_channel_needs_no_reasoning_and_ends_with_its_message(text: str) -> None:
    assert reply("gpt_oss", text).text == "Yes."
    assert reply("gpt_oss", text).reasoning is None


@pytest.mark.parametrize(("name", "empty"), [("glm45", "<think></think>\n"), ("qwen3", "<think>\n\n</think>\n\n")])
def test_an_empty_block_of_reasoning_is_no_part_of_the_answer(name: str, empty: str) -> None:
    assert (reply(name, empty + ANSWER).text, reply(name, empty + ANSWER).reasoning) == (ANSWER, None)


def test_a_tag_that_the_prompt_opened_may_be_repeated() -> None:
    assert reply("qwq", f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}").text == ANSWER


def test_tags_inside_of_an_answer_are_text() -> None:
    about_tags = "Split at the tag:\n```python\ntext.split('</think>')[-1].removeprefix('<think>')\n```"
    for name in ("chatml", "qwen3", "deepseek_v31"):
        assert reply(name, about_tags) == Completion("k", 0, about_tags, "stop")
    assert reply("qwen3", f"<think>\nHm.\n</think>\n\n{about_tags}").text == about_tags


def test_tags_that_no_template_shows_are_named_by_the_arena() -> None:
    text = "<plan>Draft.</plan>\nAnswer."
    assert answer_of(Completion("k", 0, text, "stop"), reply_format(FAMILIES["chatml"])).text == text
    named = reply_format(FAMILIES["chatml"], ("<plan>", "</plan>"))
    divided = answer_of(Completion("k", 0, text, "stop"), named)
    assert (divided.text, divided.reasoning) == ("Answer.", "Draft.")


@pytest.mark.parametrize("pair", KNOWN_PAIRS)
def test_a_known_pair_at_the_beginning_counts_with_any_template(pair: tuple[str, str]) -> None:
    divided = reply("llama31", f"{pair[0]}Draft.{pair[1]}\nAnswer.")
    assert (divided.text, divided.reasoning) == ("Answer.", "Draft.")


@given(text=st.lists(st.sampled_from(["<think>", "</think>", " ", "\n", "a", "<", ">"])).map("".join))
def test_dividing_keeps_every_character_but_the_tags_and_space(text: str) -> None:
    divided = reply("chatml", text)
    kept = (divided.reasoning or "") + divided.text
    for tag in ("<think>", "</think>"):
        text, kept = text.replace(tag, ""), kept.replace(tag, "")
    assert sorted("".join(kept.split())) == sorted("".join(text.split()))


def test_a_prompt_that_opens_the_reasoning_is_closed_before_a_constrained_word() -> None:
    expected = {
        "qwq": "</think>\n\n",
        "apriel": "\n[BEGIN FINAL RESPONSE]\n",
        "gpt_oss": "<|channel|>final<|message|>",
        "glm45": "\n<think></think>\n",
        "kimi_k2": "<think></think>",
        "command_a": "<|START_RESPONSE|>",
    }
    assert {name: reply_format(t).to_answer for name, t in FAMILIES.items() if reply_format(t).to_answer} == expected


def test_special_tokens_are_kept_in_a_reply_only_where_they_delimit_it() -> None:
    kept = {name for name, template in FAMILIES.items() if reply_format(template).special}
    assert kept == {"command_a", "gemma4", "gpt_oss", "magistral", "seed_oss"}


def test_arguments_open_and_close_the_reasoning_of_a_prompt() -> None:
    tokenizer = FAMILIES["qwen3"].tokenizer
    off = ChatTemplate(tokenizer, {"enable_thinking": False})
    assert chat_template.render(off, "Hi", None).endswith("<think>\n\n</think>\n\n")
    assert not reply_format(off).opened
    on = ChatTemplate(FAMILIES["deepseek_v31"].tokenizer, {"thinking": True})
    assert reply_format(on).opened
    assert answer_of(Completion("k", 0, f"{THOUGHT}</think>{ANSWER}", "stop"), reply_format(on)).text == ANSWER


FOR_PICTURES = {"idefics3", "llava_next", "smolvlm"}
PUBLISHED = [
    path
    for path in sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))
    if not path.stem.endswith("_training") and path.stem not in FOR_PICTURES
]
"""The templates of published models that come with TRL."""


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_templates_show_how_to_divide_replies(path: Path) -> None:
    template = small_template(path.read_text(encoding="utf-8"), ["<bos>", "<eos>"], "<bos>", "<eos>")
    format = reply_format(template)
    opening, closing = format.pairs[0]
    start = "" if format.opened else opening
    divided = answer_of(Completion("k", 0, f"{start}\nDraft.\n{closing}\n{format.header}Answer.", "stop"), format)
    assert (divided.text, divided.reasoning) == ("Answer.", "Draft.")
    prompt = chat_template.render(template, "Hi", None) + format.to_answer
    assert prompt.rfind(closing) >= prompt.rfind(opening or closing)


def test_a_plain_reply_stays_as_it_is() -> None:
    plain = Completion("k", 0, "  Hello.\n", "stop", prompt_tokens=3)
    assert answer_of(plain, ReplyFormat()) is plain
    assert answer_of(plain, None) is plain
