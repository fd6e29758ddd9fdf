"""What a reply is made of: the reasoning of a model that thinks before it answers, and the answer.

Answers, verdicts and tests are read from the answer alone. A template shows its delimiters when it renders a turn with
reasoning, or has them in its source; a reply to another template may still open with one of the known pairs.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from warrior_dagster.inference.chat_template import ChatTemplate, any_of, frame_of, token_ids, with_reasoning
from warrior_dagster.inference.request import Completion

ENDED_IN_REASONING = "reasoning"
"""The finish reason of a completion that never closed its reasoning."""
KNOWN_PAIRS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("[THINK]", "[/THINK]"),
    ("<|channel>thought", "<channel|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("Here is my thought process:", "Here is my response:"),
)
"""What opens and closes the reasoning of published models."""


@dataclass(frozen=True, slots=True)
class ReplyFormat:
    """How the replies to one template are divided."""

    pairs: tuple[tuple[str, str], ...] = KNOWN_PAIRS
    """What opens and closes reasoning, the template's own pair first; what opens it may be empty or unknown."""
    opened: bool = False
    """Whether the prompt ends inside the reasoning, so that only the end of it is in the reply."""
    header: str = ""
    """What the template writes before an answer without reasoning, such as the name of a channel."""
    special: re.Pattern[str] | None = None
    """Special tokens, if the delimiters are some: a request has to keep them in the text, and another one ends the answer."""
    inside: frozenset[int] = frozenset()
    """Tokens that end a message between two channels of one reply, and so not the turn."""
    to_answer: str = ""
    """What a prompt needs at its end so that the next token is one of the answer."""


@lru_cache(maxsize=64)
def reply_format(template: ChatTemplate, tags: tuple[str, str] | None = None) -> ReplyFormat:
    """The format of the replies to a template; `tags` opens and closes reasoning where the template does not show it."""
    frame = frame_of(template)
    start, end = frame.prompt_end, frame.user_to_assistant
    header = end[len(start) :] if end.startswith(start) and end[len(start) :].strip() else ""
    pair, to_answer = (tags, f"{tags[1]}\n\n") if tags else own_pair(template)
    if pair is None:
        return ReplyFormat(header=header.strip(), to_answer=header)
    opening, closing = pair
    # A model may write several channels before the one of the answer: the next one decides whether the reasoning goes on.
    closing = closing.removesuffix(header.strip()).strip() or closing
    opened = start.rfind(opening) > start.rfind(closing) if opening else bool(to_answer)
    tokens = set(template.tokenizer.all_special_tokens)
    special = any_of(tokens | {token.content for token in template.tokenizer.added_tokens_decoder.values() if token.special})
    delimits = special.search(f"{opening}\n{closing}\n{header}")
    return ReplyFormat(
        pairs=((opening, closing), *(one for one in KNOWN_PAIRS if one != pair)),
        opened=opened,
        header="" if opened else header.strip(),
        special=special if delimits else None,
        inside=frozenset(token_ids(template, closing)) if delimits else frozenset(),
        to_answer=to_answer if opened else header,
    )


def own_pair(template: ChatTemplate) -> tuple[tuple[str, str] | None, str]:
    """What opens and closes reasoning by the template itself, and the text from reasoning to answer; (None, "") if unknown.

    What opens it is "" if the template writes it only as the end of each prompt.
    """
    start = frame_of(template).prompt_end
    if (shown := with_reasoning(template)) and (closing := shown[1].strip()):
        by_closing = {known_closing: known for known, known_closing in KNOWN_PAIRS}
        opening = shown[0].removeprefix(start).strip() if shown[0].startswith(start) else ""
        opening = opening or by_closing.get(closing, "")
        inside = start.startswith(shown[0]) and closing not in start
        return (opening, closing), shown[1] if opening or inside else ""
    source = template.tokenizer.get_chat_template()
    return next(((pair, f"{pair[1]}\n\n") for pair in KNOWN_PAIRS if pair[1] in source), (None, ""))


def answer_of(completion: Completion, format: ReplyFormat | None) -> Completion:
    """The completion with the answer as its text and the reasoning apart. Without reasoning it is returned as it is.

    If the reasoning never ended, the text is empty and the finish reason is ENDED_IN_REASONING.
    """
    if format is None or completion.error is not None:
        return completion
    answer, reasoning = divided(completion.text, format)
    if answer is None:
        return replace(completion, text="", reasoning=reasoning, finish_reason=ENDED_IN_REASONING)
    if format.special and (ending := format.special.search(answer)):
        answer = answer[: ending.start()].rstrip()
    if answer == completion.text.strip() and not reasoning:
        return completion
    return replace(completion, text=answer, reasoning=reasoning or None)


def divided(text: str, format: ReplyFormat) -> tuple[str | None, str]:
    """The answer in a reply, or None if its reasoning never ends, and the reasoning."""
    thoughts, at, opened = list[str](), past_space(text, 0), format.opened
    while not (format.header and text.startswith(format.header, at)):
        pair = format.pairs[0] if opened else next((one for one in format.pairs if begins(text, at, one[0], format)), None)
        if pair is None:
            return text[at:].rstrip(), "\n\n".join(thoughts)
        opening, closing = pair
        at += len(opening) if text.startswith(opening, at) else 0
        end = text.find(closing, at)
        thoughts.append(text[at : None if end < 0 else end].strip())
        if end < 0:
            return None, "\n\n".join(thoughts)
        at, opened = past_space(text, end + len(closing)), False
    return text[at + len(format.header) :].strip(), "\n\n".join(thoughts)


def begins(text: str, at: int, opening: str, format: ReplyFormat) -> bool:
    """Whether reasoning begins at a place of the text. A model may write another channel than the template does, so of a
    sequence of special tokens the first is enough.
    """
    first = format.special.match(opening) if format.special else None
    return bool(opening) and text.startswith(first[0] if first else opening, at)


def past_space(text: str, at: int) -> int:
    """The place of the next character that is no white space."""
    while at < len(text) and text[at].isspace():
        at += 1
    return at
