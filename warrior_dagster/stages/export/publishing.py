"""What may be published of an arena: its values without the paths and addresses of machines."""

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


def public(value: Any, names: Mapping[str, str], key: str = "") -> Any:
    """The same value without server addresses, with `names` for the paths that are its keys, and with only the last part of
    other paths: of those that are a whole text, and of those in arguments of a server. Prompts may name paths.
    """
    if isinstance(value, str):
        if value in names:
            return names[value]
        if key == "extra_args":
            return PATH.sub(lambda found: last_part(found[0]), ADDRESS.sub("(an address)", value))
        return last_part(value) if PATH.fullmatch(value) else ADDRESS.sub("(an address)", value)
    if isinstance(value, Mapping):
        return {name: public(item, names, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [public(item, names, key) for item in value]
    return value


def last_part(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]
