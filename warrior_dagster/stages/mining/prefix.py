"""The mining prefix: a chat template, cut where the user's message would begin. An aligned model that gets only this prefix
completes it with what a user would ask: an instruction of its own distribution (METHOD section 2).
"""

from warrior_dagster.inference.chat_template import USER_SENTINEL, ChatTemplate, default_system, render


def user_turn_prefix(template: ChatTemplate, system: str | None) -> str:
    """The rendered prompt up to the user's message, including BOS. Nothing is stripped.

    If the template has no system turn, the prefix ends with the system text and a blank line in the user's turn.
    Raises ValueError if the template does not write the user's message.
    """
    prefix, sentinel, _ = render(template, USER_SENTINEL, system).partition(USER_SENTINEL)
    if not sentinel:
        raise ValueError(f"{template.name}: the chat template does not write the user's message")
    return prefix


def mining_system_prompt(template: ChatTemplate, persona: str | None, language_prompt: str) -> str:
    """The system prompt of mining: the competitor's own (`persona`, which may be empty) or, if that is None, the template's
    default, and then the language's. A model trained with a default (Qwen2.5) has hardly seen a user's turn without it.
    """
    before = (default_system(template) or "") if persona is None else persona
    return "\n\n".join(part for part in (before.strip(), language_prompt.strip()) if part)
