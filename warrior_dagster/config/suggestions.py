"""What a reader may have meant by a name that is unknown: a name that exists and is like it."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

Loc = Sequence[str | int]
"""Pydantic's path to a value: keys, indexes, and the tag of a union, which is no key."""
MOST_PLACES = 3
ALIKE = 0.55
"""The least similarity of a name that is suggested: two swapped letters of seven, as in `lisence`, leave 0.57."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?` with the known name that is most like a name; empty if none is alike."""
    found = nearest(name, known)
    return f"; did you mean {found}?" if found else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like a name, whatever its case and hyphens; None if none is alike."""
    plain = {folded(one): one for one in known}
    found = get_close_matches(folded(name), plain, n=1, cutoff=ALIKE)
    return plain[found[0]] if found else None


def folded(name: str) -> str:
    return name.casefold().replace("-", "_").replace(" ", "_")


def near_path(path: Path) -> str:
    """`; did you mean PATH?` with what exists and has nearly the name of a missing path; empty if nothing has."""
    missing = path
    while not missing.parent.is_dir() and missing != missing.parent:
        missing = missing.parent
    try:
        beside = {one.stem: one for one in missing.parent.iterdir()}
    except OSError:
        return ""
    found = nearest(missing.stem, beside)
    candidate = beside[found] / path.relative_to(missing) if found else path
    return f"; did you mean {candidate}?" if candidate.exists() else ""


def near_key(schema: type[BaseModel], loc: Loc) -> str:
    """What an unknown key may have been: one beside it that is like it, the same key elsewhere, or the keys that exist here."""
    *above, last = loc
    key, known = str(last), list(dict.fromkeys(name for one in sections(schema, above) for name in one.model_fields))
    start, colon, value = key.partition(":")
    if colon and start in known:
        return f"; a colon needs a space after it: `{start}: {value}`"
    if elsewhere := [place for place, name in keys(schema) if name == key]:
        others = " and others" if len(elsewhere) > MOST_PLACES else ""
        if not above and len(elsewhere) == 1:
            return f"; it is a key of {elsewhere[0]}: indent it below that"
        return f"; it is a key of {', '.join(elsewhere[:MOST_PLACES])}{others}"
    return did_you_mean(key, known) or f"; the keys here are {', '.join(known)}"


def sections(schema: type[BaseModel], loc: Loc) -> list[type[BaseModel]]:
    """The sections that a schema may have at a path: several where a union's tag is not known."""
    found = [schema]
    for step in loc:
        if isinstance(step, str):
            fields = [one.model_fields[step].annotation for one in found if step in one.model_fields]
            tagged = [
                one for one in found if "kind" in one.model_fields and step in literals(one.model_fields["kind"].annotation)
            ]
            found = [inner for field in fields for inner in models_in(field)] if fields else tagged
    return found


@cache
def keys(schema: type[BaseModel]) -> list[tuple[str, str]]:
    """Each key below the top level of a schema, with the section that it is in, such as `answers.sampling`."""

    def below(section: type[BaseModel], place: str) -> Iterator[tuple[str, str]]:
        for name, field in section.model_fields.items():
            inner = f"{place}.{name}".lstrip(".")
            if place:
                yield place, name
            for one in models_in(field.annotation):
                yield from below(one, inner)

    return list(dict.fromkeys(below(schema, "")))


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a field's annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


def literals(annotation: Any) -> list[str]:
    """The words that a field's annotation allows."""
    return [part for part in get_args(annotation) if isinstance(part, str)]
