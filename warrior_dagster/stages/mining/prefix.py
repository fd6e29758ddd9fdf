"""The text that makes a chat model write a user's message: its template, cut where that message would begin.

METHOD section 2. Given nothing but this prefix, an aligned model completes what a user would ask: an instruction of its
own distribution.
"""

from typing import TYPE_CHECKING

from warrior_dagster.inference.chat_template import USER_SENTINEL, default_system, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def user_turn_prefix(tokenizer: "PreTrainedTokenizerBase", system: str | None) -> str:
    """The rendered prompt up to the first character of the user's message, BOS included, nothing stripped.

    Where the template takes no system turn, the prefix ends with the system text and a blank line in the user's turn.
    Raises ValueError if the template does not write the user's message.
    """
    prefix, sentinel, _ = render(tokenizer, USER_SENTINEL, system).partition(USER_SENTINEL)
    if not sentinel:
        raise ValueError(f"{tokenizer.name_or_path}: the chat template does not write the user's message")
    return prefix


def mining_system_prompt(tokenizer: "PreTrainedTokenizerBase", persona: str | None, language_prompt: str) -> str:
    """The system prompt to mine with: the competitor's own (`persona`) or else the template's default; the language's.

    A model trained with a default system prompt (Qwen2.5) has hardly seen a user's turn without it. "" as persona means
    neither.
    """
    before = (default_system(tokenizer) or "") if persona is None else persona
    return "\n\n".join(part for part in (before.strip(), language_prompt.strip()) if part)
