"""Reading an arena's YAML. Each mistake is one line with the file, the line, the key and what was expected."""

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import is_local


class ArenaError(ValueError):
    """An arena's file is invalid; the message has one line per mistake."""


def load_arena(path: Path | str) -> Arena:
    """Read and validate an arena. Raises ArenaError, with all mistakes at once."""
    path = Path(path)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArenaError(f"{path}: expected a readable UTF-8 YAML file: {error}") from error
    try:
        document = yaml.compose(text, Loader=yaml.SafeLoader)
        refuse_repeated_keys(document, path)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ArenaError(f"{path}: expected YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ArenaError(f"{path}: expected a mapping of an arena's keys at the top level")
    try:
        arena = Arena.model_validate(values)
    except ValidationError as error:
        raise ArenaError("\n".join(explain(e, document, path) for e in first_causes(error.errors()))) from error
    return located(arena, path.resolve().parent)


def located(arena: Arena, folder: Path) -> Arena:
    """The arena with absolute paths: relative ones are resolved against the folder of its YAML."""

    def absolute(path: str) -> str:
        return path if "://" in path else str((folder / Path(path).expanduser()).resolve())

    values, data = arena.model_dump(), f"data/{arena.name}"
    warehouse = values["warehouse"] = absolute(arena.warehouse or data)
    values["export"]["folder"] = absolute(arena.export.folder or default_exports(warehouse, data, arena.name))
    references = (*values["export"]["benchmarks"], *values["analysis"]["references"])
    for section in (*values["competitors"], values["embedding"], *references):
        key = "model" if "model" in section else "source"
        section[key] = absolute(section[key]) if is_local(section[key]) else section[key]
    return Arena.model_validate(values)


def default_exports(warehouse: str, data: str, name: str) -> str:
    """The folder of an arena's exports in its warehouse, or in `data` if that is no folder.

    A warehouse may be that of several arenas. Only the one that it is named after has `exports` for itself.
    """
    if "://" in warehouse:
        return f"{data}/exports"
    return f"{warehouse}/exports" if Path(warehouse).name == name else f"{warehouse}/exports.{name}"


def refuse_repeated_keys(node: yaml.Node | None, path: Path) -> None:
    """Raise ArenaError for a key that occurs twice: YAML silently keeps the last one."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise ArenaError(f"{path}:{key.start_mark.line + 1}: {key.value}: expected each key once")
            seen.add(key.value)
            refuse_repeated_keys(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            refuse_repeated_keys(value, path)


def first_causes(errors: list[Any]) -> list[Any]:
    """The errors, without "too short" for a list whose items have errors themselves."""
    paths = [error["loc"] for error in errors]
    return [
        error
        for error in errors
        if error["type"] != "too_short" or not any(p[: len(error["loc"])] == error["loc"] and p != error["loc"] for p in paths)
    ]


def place(loc: tuple[int | str, ...], path: Path) -> str:
    """Where the value of some keys stands in an arena's file: file, line and key."""
    return place_in(loc, yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader), path)


def place_in(loc: tuple[int | str, ...], document: yaml.Node | None, path: Path) -> str:
    """File, line and key of a path of keys in a document."""
    steps, line = locate(loc, document)
    key = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).lstrip(".") or "arena"
    return f"{path}:{line}: {key}"


def explain(error: Any, document: yaml.Node | None, path: Path) -> str:
    """A pydantic error as one line: file, line, key, what was expected, and what was found."""
    given = error["input"]
    if error["type"] == "extra_forbidden":
        expected = "expected a key of the schema; this one is unknown"
    elif error["type"] == "missing":
        expected = "expected a value; found none"
    elif error["type"] == "value_error":
        expected = str(error["ctx"]["error"])
    else:
        expected = re.sub(r"^\w+ should ", "expected to ", error["msg"]).removesuffix(" after validation")
        if isinstance(given, str | int | float | bool | None):
            expected += f"; found {given!r}"
    return f"{place_in(error['loc'], document, path)}: {expected}"


def locate(loc: tuple[int | str, ...], document: yaml.Node | None) -> tuple[list[int | str], int]:
    """The keys and the line of pydantic's path in the YAML; steps that are no keys (a union's tag) are left out."""
    node, line, steps = document, 1, list[int | str]()
    for step in loc:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        elif isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == step), None)
            if pair is None and step in [v.value for k, v in node.value if k.value == "kind"]:
                continue
            node = pair[1] if pair else None
            line = pair[0].start_mark.line + 1 if pair else line
        steps.append(step)
    return steps, line
