"""What a competitor's texts depend on besides the requests: its model, and those of its own settings that change texts."""

from typing import Any

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Competitor
from warrior_dagster.inference.request import served_model

CHANGES_NO_TEXT = {"name", "license"}
IN_THE_IDENTITY = {"model", "revision", "serve"}
OF_ANSWERS = {"sampling"}


def text_settings(arena: Arena, competitor: Competitor) -> dict[str, Any]:
    """The identity of a competitor's model, and its own settings that change what it says, besides how its answers are sampled.

    Settings at their default are left out, so that a new setting changes nothing where nobody uses it.
    """
    own = answer_settings(arena, competitor)
    return {name: value for name, value in own.items() if name not in OF_ANSWERS}


def answer_settings(arena: Arena, competitor: Competitor) -> dict[str, Any]:
    """All of its own settings that change its answers, and the identity of its model."""
    try:
        identity = served_model(arena, competitor).identity
    except (OSError, ValueError):  # no files, or an identity that two models adopt: the competitor fails by name
        identity = competitor.model
    own = competitor.model_dump(mode="json", exclude=CHANGES_NO_TEXT | IN_THE_IDENTITY, exclude_defaults=True)
    return own | {"model": identity}
