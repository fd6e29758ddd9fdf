"""What may be published of an arena: its values without servers, and without the paths and addresses of machines."""

import re
from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path
from typing import Any

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import is_local
from warrior_dagster.inference.identity import folder_identity

PATH = re.compile(r"(?:~|\.{1,2})?(?:/[^/\s=,:\"']+){2,}/?")
ADDRESS = re.compile(r"\b\w+://\S+")
NOT_PUBLISHED: dict[str, Any] = {
    **dict.fromkeys(("warehouse", "engine", "export", "schedule", "automation"), True),
    "competitors": {"__all__": {"serve"}},
}
"""Where tables and files are, how models are served, when work starts and what it may cost (pydantic's `exclude`)."""


def public_names(arena: Arena) -> dict[str, str]:
    """For each local folder or file that the arena names: its own name, and what identifies its content if it exists."""
    models = [*(competitor.model for competitor in arena.competitors), arena.embedding.model]
    sources = [reference.source for reference in (*arena.analysis.references, *arena.export.benchmarks)]
    return {path: public_name(path) for path in (*models, *sources) if is_local(path)}


def public_name(path: str) -> str:
    """The name of a folder or file, and what identifies its content if it exists."""
    try:
        if Path(path).is_file():
            with Path(path).open("rb") as file:
                identity = f"sha256 {file_digest(file, 'sha256').hexdigest()[:32]}"
        else:
            identity = folder_identity(path)
    except OSError:
        return Path(path).name
    return f"{Path(path).name} ({identity})"


def public(value: Any, names: Mapping[str, str]) -> Any:
    """The same value without addresses, with `names` for the paths that are its keys, and with only the last part of other
    paths that are a whole text. Prompts may name paths.
    """
    if isinstance(value, str):
        if value in names:
            return names[value]
        return value.rstrip("/").rsplit("/", 1)[-1] if PATH.fullmatch(value) else ADDRESS.sub("(an address)", value)
    if isinstance(value, Mapping):
        return {name: public(item, names) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [public(item, names) for item in value]
    return value
