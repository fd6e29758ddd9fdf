"""Finds the files of installed modules that sandboxed code may import beside the standard library."""

import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions


class ModuleMissing(LookupError):
    """A module that code may import is not installed, or not as files of its own."""


@cache
def module_files(modules: tuple[str, ...]) -> dict[str, str]:
    """The top-level files and folders of some modules' distributions and of all that these depend on: real path by name.

    A folder that several distributions share, such as a namespace package, is left out. Raises ModuleMissing.
    """
    owners = packages_distributions() if modules else {}
    found = dict[str, str]()
    for module in modules:
        if module in sys.stdlib_module_names:
            continue
        if module not in owners:
            raise ModuleMissing(f"expected an installed module; {module!r} is not installed")
        for one in with_dependencies(owners[module][0]):
            names = {file.parts[0] for file in one.files or () if file.parts and not file.is_absolute()}
            paths = {name: os.path.realpath(str(one.locate_file(name))) for name in names - {"..", "__pycache__"}}
            own = {n: p for n, p in paths.items() if os.path.exists(p) and len(set(owners.get(n.partition(".")[0], ()))) < 2}
            found |= {name: path for name, path in own.items() if not name.endswith(".pth")}
        if module not in {name.partition(".")[0] for name in found}:
            raise ModuleMissing(f"expected a module whose distribution has its files; {module!r} is shared or linked")
    return dict(sorted(found.items()))


def with_dependencies(name: str) -> Iterator[Distribution]:
    """A distribution and all that it requires on this machine, without extras. Raises ModuleMissing."""
    from packaging.requirements import Requirement  # the sandbox itself needs the standard library only

    waiting, seen = [name], set[str]()
    while waiting:
        current = waiting.pop()
        if current.lower() in seen:
            continue
        seen.add(current.lower())
        try:
            one = distribution(current)
        except PackageNotFoundError as error:
            raise ModuleMissing(f"expected all that {name} requires; {current!r} is not installed") from error
        yield one
        required = map(Requirement, one.requires or ())
        waiting += [r.name for r in required if r.marker is None or r.marker.evaluate({"extra": ""})]
