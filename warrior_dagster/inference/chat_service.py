"""Services that only chat (`/v1/chat/completions`): messages in place of a rendered prompt, and replies in completions' shape.

Their chat template is not known here. So they cannot be mined, and text from models is neutralised for all known families.
"""

import json
import re
from typing import Any

from warrior_dagster.config.serving import Sampling
from warrior_dagster.inference.failures import Refused, WrongAnswer
from warrior_dagster.turn_tokens import ANGLED, SQUARE

LIKELIEST_TOKENS = 20  # whose log-probabilities are asked for: the most that OpenAI and DeepSeek give
FRAME_TOKENS = re.compile(rf"{ANGLED}|{SQUARE}|</?(?:think|pad|unk|start_of_image)>")


def messages(user: str, system: str | None) -> str:
    """The messages of one user turn as canonical JSON: the prompt in a completion's key."""
    turns = [{"role": "system", "content": system}] if system else []
    return json.dumps([*turns, {"role": "user", "content": user}], sort_keys=True, separators=(",", ":"))


def neutralise(text: str) -> str:
    """`text` with a space before the last character of all that is a special token in a known family of models. Idempotent."""
    while True:  # repeated for a token inside of another: `<|[INST]|>`
        before, text = text, FRAME_TOKENS.sub(lambda match: f"{match[0][:-1]} {match[0][-1]}", text)
        if text == before:
            return text


def params(sampling: Sampling, *, probabilities: bool) -> str:
    """Sampling parameters as canonical JSON; only names that all services know. `probabilities`: of the first token."""
    values: dict[str, Any] = {name: getattr(sampling, name) for name in ("temperature", "top_p", "max_tokens")}
    if probabilities:
        values |= {"logprobs": True, "top_logprobs": LIKELIEST_TOKENS}
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def as_completions(response: dict[str, Any]) -> dict[str, Any]:
    """A response of a chat service in the shape of /v1/completions.

    Raises Refused if the service withheld a reply, and WrongAnswer for another shape.
    """
    try:
        choices = [as_choice(choice) for choice in response.get("choices") or []]
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise WrongAnswer(f"the answer does not have the shape of chat completions: {error!r}") from error
    return {"choices": choices, "usage": response.get("usage")}


def as_choice(choice: dict[str, Any]) -> dict[str, Any]:
    """One choice. Reasoning is stored before the answer, in a block that stays open if the reply ended inside it."""
    message, reason = choice["message"], choice.get("finish_reason")
    if reason == "content_filter" or message.get("refusal"):
        raise Refused(f"the service withheld the reply: {message.get('refusal') or reason}")
    if reason in ("tool_calls", "function_call") or message.get("tool_calls"):
        raise Refused("the reply is a tool call, and no tools were offered")
    content = text_of(message.get("content"))
    if reasoning := text_of(message.get("reasoning_content") or message.get("reasoning")):
        cut_off = reason == "length" and not content.strip()
        reasoning = reasoning.replace("</think>", "</think >")  # the answer begins at the first end of the block
        content = f"<think>\n{reasoning}" + ("" if cut_off else f"\n</think>\n{content}")
    tokens = (choice.get("logprobs") or {}).get("content") or []
    first = {one["token"]: one["logprob"] for one in tokens[0].get("top_logprobs") or []} if tokens else None
    return {"text": content, "finish_reason": reason, "logprobs": {"top_logprobs": [first]}}


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or a list of parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    if not isinstance(content, str | None):
        raise TypeError(f"expected text; found {type(content).__name__}")
    return content or ""
