"""Reading an arena's YAML. Each mistake is one line with the file, the line, the key and what was expected."""

import os
from functools import reduce
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.messages import on_one_line
from warrior_dagster.config.mistakes import explain, first_causes, locate
from warrior_dagster.config.serving import is_local
from warrior_dagster.config.suggestions import near_path
from warrior_dagster.config.yaml_values import Mistake, compose, joined, kind_of, value_of

LARGEST = 2**19
"""The most bytes of a file: many times the largest arena."""
MOST = 100
"""The most mistakes that are listed."""
MOST_NAMED = 3
"""The most files of a folder that are named in place of it."""


class ArenaError(ValueError):
    """An arena's file is invalid; the message has one line per mistake."""


def load_arena(path: Path | str) -> Arena:
    """Read and validate an arena. Raises ArenaError, with all mistakes at once."""
    path = Path(path)
    document, mistakes = compose(text_of(path))
    if not isinstance(document, yaml.MappingNode):
        found = kind_of(document) if document else "nothing: the file is empty"
        wrong = Mistake(1, "", f"expected a mapping of an arena's keys at the top level; found {found}")
        raise refused(path, mistakes or [wrong])
    values = value_of(document, mistakes)
    try:
        arena = Arena.model_validate(values)
    except ValidationError as error:
        unread = {mistake.key for mistake in mistakes}
        invalid = [explain(e, document) for e in first_causes(error.errors())[:MOST]]
        mistakes += [mistake for mistake in invalid if mistake.key not in unread]
    else:
        mistakes += [explain(error, document) for error in folders_as_hub_ids(arena, path.resolve().parent)]
    if mistakes:
        raise refused(path, mistakes)
    try:
        return located(arena, path.resolve().parent)
    except (OSError, RuntimeError) as error:  # a loop of symbolic links
        raise refused(path, [Mistake(1, "", f"expected paths that can be resolved: {error}")]) from error


def folders_as_hub_ids(arena: Arena, folder: Path) -> list[dict[str, Any]]:
    """An error, as pydantic's, for each model that reads as a hub id but is a folder beside the file or where we are."""
    models: dict[tuple[str | int, ...], str] = {("competitors", i, "model"): c.model for i, c in enumerate(arena.competitors)}
    errors = []
    for loc, model in (models | {("embedding", "model"): arena.embedding.model}).items():
        places = [place / model for place in (folder, Path.cwd()) if (place / model / "config.json").is_file()]
        if places and not is_local(model):
            path = os.path.relpath(places[0], folder)
            path = path if path.startswith(".") else f"./{path}"
            expected = f"expected a hub id, or a path that starts with '.', '/' or '~'; for the folder {model} write {path}"
            errors.append({"type": "value_error", "loc": loc, "msg": expected, "input": model, "ctx": {"error": expected}})
    return errors


def text_of(path: Path) -> str:
    """The text of an arena's file, with line feeds as line breaks. Raises ArenaError."""
    if not path.exists():
        in_arenas = path.parent / "arenas" / path.name
        hint = f"; did you mean {in_arenas}?" if in_arenas.is_file() else near_path(path)
        raise ArenaError(f"{path}: expected an arena's YAML file; there is no such file{hint}")
    if path.is_dir():
        inside = [str(file) for file in sorted(path.glob("*.yaml"))[:MOST_NAMED]]
        hint = f"; did you mean {' or '.join(inside)}?" if inside else ""
        raise ArenaError(f"{path}: expected an arena's YAML file; this is a folder{hint}")
    if not path.is_file():
        raise ArenaError(f"{path}: expected an arena's YAML file; this is a device")
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise ArenaError(f"{path}: expected a file that can be read: {error.strerror}") from error
    if len(data) > LARGEST:
        raise ArenaError(f"{path}: expected at most {LARGEST} bytes; it has more")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        wrong = f"expected text in UTF-8; found the byte 0x{data[error.start]:02X}: save the file as UTF-8"
        raise refused(path, [Mistake(line, "", wrong)]) from error


def refused(path: Path, mistakes: list[Mistake]) -> ArenaError:
    """The error of an arena with these mistakes: a line for each, in the order of the file."""
    return ArenaError(
        "\n".join(
            f"{path}:{mistake.line}: {on_one_line(mistake.key) or 'arena'}: {on_one_line(mistake.expected)}"
            for mistake in sorted(mistakes[:MOST], key=lambda mistake: mistake.line)
        )
    )


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


def place(loc: tuple[int | str, ...], path: Path) -> str:
    """Where the value of some keys stands in an arena's file: file, line and key."""
    document, _ = compose(text_of(path))
    assert document is not None
    steps, line, _ = locate(loc, document)
    return f"{path}:{line}: {reduce(joined, steps, '')}"
