"""A model's chat template: rendering prompts, and what a template writes around the turns.

Prompts are sent to /v1/completions, because chat endpoints cannot mine (METHOD section 2), with `add_special_tokens: false`,
because rendered text already has the BOS token. Rendering sentinels shows what a template writes; nothing is assumed.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from warrior_dagster.inference.rendering import Renderer, TemplateRefused
from warrior_dagster.inference.tokenizer_files import generation_eos, load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Plain letters, so that no template strips, escapes or splits them, and words that no template contains.
SYSTEM_SENTINEL, USER_SENTINEL, REASONING_SENTINEL, ANSWER_SENTINEL, NEXT_SENTINEL = (
    f"Warrior{name}Sentinel" for name in ("System", "User", "Reasoning", "Answer", "Next")
)
# The names that templates have for the reasoning of a message.
_REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking")


@dataclass(frozen=True, eq=False)  # compared and hashed by identity, because what it writes is cached
class ChatTemplate:
    """A tokenizer with the arguments of its template, such as enable_thinking, which must not change later."""

    tokenizer: "PreTrainedTokenizerBase"
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.tokenizer.name_or_path)


@dataclass(frozen=True)
class Frame:
    """What a template writes around the turns. `token_ids`: the ids of all tokens in the frame, by their text."""

    around_system: tuple[str, str] | None  # before the system text, and between it and the user text; None: no system turns
    before_user: str  # without a system turn
    prompt_end: str  # from the user text to where the model's answer begins
    user_to_assistant: str  # inside a conversation
    assistant_to_user: str
    token_ids: dict[str, int]


@lru_cache(maxsize=64)
def load_template(model: str, revision: str | None, arguments: str = "{}") -> ChatTemplate:
    """The template of a folder or of a Hub model at `revision` (None: main), with its arguments as JSON.

    Raises ValueError if it has no chat template, or one that does not read an argument.
    """
    template = ChatTemplate(load_tokenizer(model, revision), json.loads(arguments))
    source = template.tokenizer.get_chat_template()
    if unread := [name for name in template.arguments if not re.search(rf"\b{name}\b", source)]:
        raise ValueError(f"{model}: expected arguments that its chat template reads; it does not read {', '.join(unread)}")
    return template


def render(template: ChatTemplate, user: str, system: str | None) -> str:
    """The prompt of one user turn up to where the model's answer begins, including BOS. Neutralise text from models before.

    If the template refuses or drops system turns, the user turn begins with the system text and a blank line. White space at
    the end of the template's default system prompt (DeepSeek Coder) is added to `system`.
    """
    if system is not None and _around_system(template) is not None:
        default = default_system(template) or ""
        ending = default[len(default.rstrip()) :]
        system = system if system.endswith(ending) else system + ending
        return _apply(template, [("system", system), ("user", user)], generate=True)
    return _apply(template, [("user", f"{system}\n\n{user}" if system else user)], generate=True)


@lru_cache(maxsize=64)
def default_system(template: ChatTemplate) -> str | None:
    """The system prompt that the template writes if none is given, or None. A header like Llama's date is not part of it."""
    frame = frame_of(template)
    if frame.around_system is None:
        return None
    before, after = frame.around_system
    if not (frame.before_user.startswith(before) and frame.before_user.endswith(after)):
        return None
    default = frame.before_user[len(before) : len(frame.before_user) - len(after)]
    # If `before` and `after` overlap, the length is negative and the text is empty.
    return default if default.strip() else None


@lru_cache(maxsize=64)  # it reads a file, and every request needs it
def turn_end(template: ChatTemplate) -> tuple[list[int], list[str]]:
    """(stop_token_ids, stop strings) that may end a user's or an assistant's turn, each sorted and without duplicates.

    Token ids: EOS of the tokenizer and of generation_config.json, and the token directly after a turn's text. Strings: a plain
    first line after a turn's text, with the newline before it, if any.
    """
    frame = frame_of(template)
    ids = set(generation_eos(template.name))
    if isinstance(template.tokenizer.eos_token_id, int):
        ids.add(template.tokenizer.eos_token_id)
    strings = set()
    for text in (frame.user_to_assistant, frame.assistant_to_user):
        plain, token = _upto_token(text, frame.token_ids)
        if not plain.strip() and token is not None:
            ids.add(frame.token_ids[token])
        elif plain.strip():
            lead = plain[: len(plain) - len(plain.lstrip())]
            # A label such as "Assistant:" ends a turn only at the start of a line: code may contain `class Assistant:`.
            strings.add(("\n" if "\n" in lead else "") + plain.strip().splitlines()[0].rstrip())
    return sorted(ids), sorted(strings)


@lru_cache(maxsize=64)
def frame_stops(template: ChatTemplate) -> tuple[int, ...]:
    """The ids of all tokens that begin or end a segment of the frame, sorted. A user's turn is over at each of them."""
    frame = frame_of(template)
    written = [
        frame.before_user,
        frame.prompt_end,
        frame.user_to_assistant,
        frame.assistant_to_user,
        *(frame.around_system or ()),
    ]
    return tuple(sorted(token_ids(template, "\n".join(written))))


def token_ids(template: ChatTemplate, text: str) -> set[int]:
    """The ids of the frame's tokens in a text."""
    ids = frame_of(template).token_ids
    return {ids[token] for token in any_of(set(ids)).findall(text)}


def with_reasoning(template: ChatTemplate) -> tuple[str, str] | None:
    """What the template writes between a user's text and the reasoning of the next turn, and between that and the answer.

    None if it writes no reasoning that stands in a field of the message.
    """
    for field_name in _REASONING_FIELDS:
        turns = [("user", USER_SENTINEL), ("assistant", ANSWER_SENTINEL)]
        text = _apply(template, turns, generate=False, fields_of_last={field_name: REASONING_SENTINEL})
        if pieces := around(text, USER_SENTINEL, REASONING_SENTINEL, ANSWER_SENTINEL):
            return pieces[1], pieces[2]
    return None


def _apply(
    template: ChatTemplate,
    turns: Sequence[tuple[str, str]],
    *,
    generate: bool,
    fields_of_last: Mapping[str, str] = MappingProxyType({}),
) -> str:
    messages = [{"role": role, "content": content} for role, content in turns]
    messages[-1] |= fields_of_last
    text = _renderer(template).render(messages, generate)
    bos = _automatic_bos(template)
    return text if text.startswith(bos) else bos + text


@lru_cache(maxsize=8)  # each is a process; stages use one model after the other
def _renderer(template: ChatTemplate) -> Renderer:
    values = {"tools": None, "documents": None, **template.tokenizer.special_tokens_map, **template.arguments}
    return Renderer(template.tokenizer.get_chat_template(), values)


@lru_cache(maxsize=64)
def _automatic_bos(template: ChatTemplate) -> str:
    """What the tokenizer adds before a text. Most templates write it too; the others rely on the tokenizer."""
    bare = template.tokenizer("a", add_special_tokens=False)["input_ids"]
    ids = template.tokenizer("a", add_special_tokens=True)["input_ids"]
    start = next(i for i in range(len(ids)) if ids[i : i + len(bare)] == bare)
    return "".join(template.tokenizer.convert_ids_to_tokens(ids[:start]))


@lru_cache(maxsize=64)
def _around_system(template: ChatTemplate) -> tuple[str, str] | None:
    try:
        text = _apply(template, [("system", SYSTEM_SENTINEL), ("user", USER_SENTINEL)], generate=True)
    except TemplateRefused:
        return None
    pieces = around(text, SYSTEM_SENTINEL, USER_SENTINEL)
    return None if pieces is None else (pieces[0], pieces[1])


@lru_cache(maxsize=64)
def frame_of(template: ChatTemplate) -> Frame:
    """Found by rendering sentinels. A tokenizer's template must not be replaced after the first call."""
    prompt = around(_apply(template, [("user", USER_SENTINEL)], generate=True), USER_SENTINEL)
    turns = [("user", USER_SENTINEL), ("assistant", ANSWER_SENTINEL), ("user", NEXT_SENTINEL)]
    chat = around(_apply(template, turns, generate=False), USER_SENTINEL, ANSWER_SENTINEL, NEXT_SENTINEL)
    if prompt is None or chat is None:
        raise ValueError(f"{template.name}: the chat template does not write every turn exactly once, in order")
    around_system = _around_system(template)
    written = "\n".join([*chat, *prompt, *(around_system or ())])
    token_ids = dict(zip(template.tokenizer.all_special_tokens, template.tokenizer.all_special_ids, strict=True)) | {
        token.content: index
        for index, token in template.tokenizer.added_tokens_decoder.items()
        if token.special or token.content in written
    }
    token_ids = {token: index for token, index in token_ids.items() if token.strip()}
    return Frame(around_system, prompt[0], prompt[1], chat[1], chat[2], token_ids)


def around(text: str, *sentinels: str) -> list[str] | None:
    """The pieces of `text` around the sentinels, or None unless each occurs exactly once, in this order."""
    pattern = re.compile("|".join(sentinels))
    return pattern.split(text) if pattern.findall(text) == list(sentinels) else None


def any_of(literals: set[str]) -> re.Pattern[str]:
    """A pattern of any of the literals, the longest first; it never matches without literals.

    They are grouped by their first character: tokenizers have thousands, and each would be tried at each place of a text.
    """
    groups: dict[str, list[str]] = {}
    for literal in sorted(literals, key=lambda s: (-len(s), s)):
        groups.setdefault(literal[:1], []).append(re.escape(literal[1:]))
    return re.compile("|".join(f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in groups.items()) or r"(?!)")


def _upto_token(text: str, tokens: dict[str, int]) -> tuple[str, str | None]:
    match = any_of(set(tokens)).search(text)
    return (text, None) if match is None else (text[: match.start()], match[0])
