"""Checks of single values of an arena: numbers that are written as such, and places that this machine can reach."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator
from pydantic.fields import FieldInfo

OBJECT_STORES = ("s3", "s3+ddb", "gs", "az", "abfss", "oss", "cos", "goosefs")
"""The schemes of object stores that Lance opens by the environment's credentials."""


def without_guesses(values: dict[str, Any], fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """A section's values, with text that is refused instead of what would become a number by a guess.

    Pydantic takes `yes` for 1. YAML 1.1 takes 010 for 8, and others for 10. Integers of more than 64 bits fit no table.
    """

    def readable(name: str, value: Any) -> Any:
        annotation = fields[name].annotation if name in fields else None
        if not {int, float} & {annotation, *get_args(annotation)}:
            return value
        guessed = isinstance(value, bool) or (isinstance(value, str) and re.match(r"\s*[-+]?0[0-9_]", value))
        return repr(value) if guessed else math.inf if isinstance(value, int) and abs(value) >= 2**63 else value

    return {name: readable(name, value) for name, value in values.items()}


def as_written(path: str) -> str:
    """Refuse '~name' if this machine has no such user, a password, and variables of the environment: they are not filled in."""
    if re.search(r"//[^/\s]*:[^/\s]*@", path):
        raise ValueError("expected no password: credentials of object stores and hubs come from the environment")
    if variable := re.search(r"\$(\w+|\{\w+\})", path):
        raise ValueError(f"expected a path without variables, which are not filled in; found {variable[0]}")
    try:
        Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"expected a user of this machine after '~'; found {path!r}") from error
    return path


def in_object_store(uri: str) -> str:
    """Refuse a URI that is none of an object store; paths are not touched."""
    scheme, separator, _ = uri.partition("://")
    if separator and scheme not in OBJECT_STORES:
        known = ", ".join(f"{known}://" for known in OBJECT_STORES)
        raise ValueError(f"expected a folder without a scheme, or one of {known}; found {uri!r}")
    return uri


def on_this_machine(folder: str) -> str:
    """Refuse a URI where a folder is written."""
    if "://" in folder:
        raise ValueError(f"expected a folder of this machine, without a scheme; found {folder!r}")
    return folder


Place = Annotated[str, AfterValidator(as_written)]
"""A hub id, or a path."""
WarehousePlace = Annotated[Place, AfterValidator(in_object_store)]
"""A folder, or the URI of an object store."""
Folder = Annotated[Place, AfterValidator(on_this_machine)]
