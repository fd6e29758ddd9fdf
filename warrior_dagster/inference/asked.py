"""What a competitor's texts depend on, apart from what it is asked."""

import json
from typing import Any

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Competitor
from warrior_dagster.inference.request import served_model

CHANGES_NO_TEXT = {"name", "license", "serve"}
IN_THE_IDENTITY = {"model", "revision"}


def text_settings(arena: Arena, competitor: Competitor) -> dict[str, Any]:
    """The identity of a competitor's model, how its answers are sampled, and all its other settings that change its texts.

    Settings at their default are left out, so that a new setting changes nothing where nobody uses it. Raises OSError if a
    local model has no files.
    """
    own = competitor.model_dump(mode="json", exclude=CHANGES_NO_TEXT | IN_THE_IDENTITY, exclude_defaults=True)
    sampling = arena.answer_sampling(competitor).model_dump(mode="json")
    return own | {"model": served_model(arena, competitor).identity, "sampling": sampling}


def canonical(settings: dict[str, Any]) -> str:
    """Settings as text: equal for equal settings."""
    return json.dumps(settings, sort_keys=True)
