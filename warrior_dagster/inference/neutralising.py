"""Keeps text from models inside its turn: before it is rendered, and once more by what the template has made of it."""

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from warrior_dagster.config.messages import on_one_line
from warrior_dagster.inference.chat_template import USER_SENTINEL, ChatTemplate, any_of, around, frame_of, render

# Breaking a literal can create another only if that one contains a space. Two passes are the most that were ever seen.
_MAX_PASSES = 16


def neutralise(template: ChatTemplate, text: str) -> str:
    """`text` with a space before the last character of everything that could act as part of the template's frame.

    That is all special tokens, the added tokens that the template uses, and the frame's plain text ("[/INST]", "User:"). Bare
    words ("assistant" after a token) stay. Idempotent. Raises ValueError if spaces do not help (no such tokenizer is known).
    """
    pattern = _frame_pattern(template)
    for _ in range(_MAX_PASSES):
        broken = pattern.sub(lambda match: _broken(match[0]), text)
        if broken == text and _matches_normalised(template):
            pieces, at = list[str](), 0
            for start, end in _special_spans(template, text):
                pieces += [text[at:start], _broken(text[start:end])]
                at = end
            broken = "".join([*pieces, text[at:]])
        if broken == text:
            return text
        text = broken
    raise ValueError(f"{template.name}: a text still has special tokens after {_MAX_PASSES} passes")


def turns_changed(template: ChatTemplate, user: str, system: str | None, prompt: str) -> str:
    """Why `render` of a user's text gave a prompt with other turn tokens than that of a plain word; "" if they are the same.

    A template that edits its texts can make a token of pieces that were harmless. Tokens that `user` has itself are expected.
    """
    before, after = _around_user(template, system)
    for tokens_in in _readings(template):
        found, expected = tokens_in(prompt), [*tokens_in(before), *tokens_in(user), *tokens_in(after)]
        if found != expected:
            more = on_one_line(", ".join(sorted(Counter(found) - Counter(expected))))
            made = f"makes {more} of it" if more else "writes other turns around it than around a word"
            return f"not sent, because the text would leave its turn: the chat template {made}"
    return ""


@lru_cache(maxsize=64)
def _around_user(template: ChatTemplate, system: str | None) -> tuple[str, str]:
    pieces = around(render(template, USER_SENTINEL, system), USER_SENTINEL)
    if pieces is None:
        raise ValueError(f"{template.name}: with this system prompt, the chat template does not write the user's text once")
    return pieces[0], pieces[1]


@lru_cache(maxsize=64)
def _readings(template: ChatTemplate) -> list[Callable[[str], list[str]]]:
    """What finds parts of the frame in a text: a pattern, and the tokenizer too if it normalises texts first."""

    def by_tokenizer(text: str) -> list[str]:
        return [text[start:end] for start, end in _special_spans(template, text)]

    by_letters = _frame_pattern(template).findall
    return [by_letters, by_tokenizer] if _matches_normalised(template) else [by_letters]


@lru_cache(maxsize=64)
def _frame_pattern(template: ChatTemplate) -> re.Pattern[str]:
    frame = frame_of(template)
    tokens = any_of(set(frame.token_ids))
    openings = [frame.around_system[1]] if frame.around_system else []
    literals = set(frame.token_ids)
    for text in [frame.prompt_end, frame.user_to_assistant, frame.assistant_to_user, *openings]:
        pieces = [piece.strip() for line in text.splitlines() for piece in tokens.split(line)]
        # Require a letter and a sign, so that "user" and "---" are not broken in ordinary text.
        literals |= {piece for piece in pieces if re.search(r"[^\W_]", piece) and re.search(r"[^\w\s]", piece)}
    return any_of(literals)


def _broken(literal: str) -> str:
    return f"{literal[:-1]} {literal[-1]}" if len(literal) > 1 else "\N{REPLACEMENT CHARACTER}"


@lru_cache(maxsize=64)
def _matches_normalised(template: ChatTemplate) -> bool:
    """Whether special tokens are searched after normalising: with NFKC, for example, fullwidth letters also spell a token."""
    backend = getattr(template.tokenizer, "backend_tokenizer", None)
    normalised = any(token.special and token.normalized for token in template.tokenizer.added_tokens_decoder.values())
    return normalised and backend is not None and backend.normalizer is not None


def _special_spans(template: ChatTemplate, text: str) -> list[tuple[int, int]]:
    """Where the tokenizer finds special tokens in `text`, except the token for unknown characters."""
    special = set(frame_of(template).token_ids.values()) - {template.tokenizer.unk_token_id}
    encoded = template.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    pairs = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    return [(start, end) for token, (start, end) in pairs if token in special and end > start]
